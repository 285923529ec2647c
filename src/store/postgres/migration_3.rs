//! The third version of the tables in PostgreSQL.

use super::repository::AGE_OF_TENANT;
use crate::store::sql::{Tables, index_ends, index_events};

/// Adds what many keys and many owners need: one part for each.
pub(super) fn script(tables: &Tables) -> String {
    let parts: [fn(&Tables) -> String; 4] =
        [note_the_issuer, index_what_is_rare, index_ends, index_events];
    parts.map(|part| part(tables)).join("\n")
}

/// Adds who issued a key.
fn note_the_issuer(tables: &Tables) -> String {
    format!("ALTER TABLE {} ADD COLUMN created_by text;", tables.keys())
}

/// Adds an index for each list of keys that are few among many, so that others are not visited.
fn index_what_is_rare(tables: &Tables) -> String {
    let (by_tenant, keys) = (tables.part("api_keys_by_tenant_and_age"), tables.keys());
    // Lists of a tenant are in the order of an expression, which has no index without the tenant. By the
    // column, the server may choose to go along the keys of all tenants, and meet few of this one for
    // long: of several that are bounded, it takes keys to be spread evenly. The column itself is beside
    // it, so that the table need not be read for the end of a window.
    let columns = format!("(tenant, {AGE_OF_TENANT} DESC, id DESC) INCLUDE (created_at)");
    format!("CREATE INDEX {by_tenant} ON {keys} {columns};\n{}", tables.partial_indexes(&columns))
}
