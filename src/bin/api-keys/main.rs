//! Issues, lists and revokes API keys in a database.

fn main() {}
