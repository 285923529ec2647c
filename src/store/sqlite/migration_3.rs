//! The third version of the tables in SQLite.

use super::usage;
use crate::store::sql::Tables;

/// Adds what many keys and many owners need: one part for each.
pub(super) fn script(tables: &Tables) -> String {
    let parts: [fn(&Tables) -> String; 1] = [usage::create_tables];
    parts.map(|part| part(tables)).join("\n")
}
