//! The third version of the tables in SQLite.

use super::{change_log, usage};
use crate::store::sql::{Tables, index_ends, index_events};

/// Adds support for many keys and many owners, one part for each.
pub(super) fn script(tables: &Tables) -> String {
    let parts: [fn(&Tables) -> String; 7] = [
        note_the_issuer,
        index_what_is_rare,
        index_ends,
        index_events,
        suspend_tenants,
        change_log::add,
        usage::create_tables,
    ];
    parts.map(|part| part(tables)).join("\n")
}

/// Adds the actor that issued a key.
fn note_the_issuer(tables: &Tables) -> String {
    format!("ALTER TABLE {} ADD COLUMN created_by TEXT;", tables.keys())
}

/// Adds an index for each list that matches few of many keys, so that others are not visited.
fn index_what_is_rare(tables: &Tables) -> String {
    tables.partial_indexes("(tenant, created_at DESC, id DESC)")
}

/// Adds the suspended tenants.
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
