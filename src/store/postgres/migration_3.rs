//! The third version of the tables in PostgreSQL.

use crate::store::sql::Tables;

/// Adds what many keys and many owners need: one part for each.
pub(super) fn script(tables: &Tables) -> String {
    let parts: [fn(&Tables) -> String; 0] = [];
    parts.map(|part| part(tables)).join("\n")
}
