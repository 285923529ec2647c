//! The third version of the tables in SQLite.

use crate::store::sql::Tables;

/// Adds what many keys and many owners need: one part for each.
pub(super) fn script(tables: &Tables) -> String {
    let parts: [fn(&Tables) -> String; 1] = [suspend_tenants];
    parts.map(|part| part(tables)).join("\n")
}

/// Adds the tenants whose keys are out of use, all of them.
fn suspend_tenants(tables: &Tables) -> String {
    let suspensions = tables.suspensions();
    format!(
        "
        CREATE TABLE {suspensions} (
            tenant TEXT NOT NULL PRIMARY KEY CHECK (length(tenant) BETWEEN 1 AND 128),
            suspended_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        "
    )
}
