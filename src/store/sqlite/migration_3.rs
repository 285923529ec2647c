//! The third version of the tables in SQLite.

use super::change_log;
use crate::store::sql::Tables;

/// Adds what many keys and many owners need: one part for each.
pub(super) fn script(tables: &Tables) -> String {
    let parts: [fn(&Tables) -> String; 1] = [change_log::add];
    parts.map(|part| part(tables)).join("\n")
}
