//! The third version of the tables in SQLite.

use crate::store::sql::{Tables, index_ends, index_events};

/// Adds what many keys and many owners need: one part for each.
pub(super) fn script(tables: &Tables) -> String {
    let parts: [fn(&Tables) -> String; 2] = [index_ends, index_events];
    parts.map(|part| part(tables)).join("\n")
}
