//! The third version of the tables in PostgreSQL.

use super::channel::notify_of_tenants;
use super::repository::AGE_OF_TENANT;
use super::usage;
use crate::store::sql::{Tables, index_ends, index_events};

/// Adds support for many keys and many owners, one part for each.
pub(super) fn script(tables: &Tables) -> String {
    let parts: [fn(&Tables) -> String; 6] = [
        note_the_issuer,
        index_what_is_rare,
        index_ends,
        index_events,
        suspend_tenants,
        usage::create_tables,
    ];
    parts.map(|part| part(tables)).join("\n")
}

/// Adds the actor that issued a key.
fn note_the_issuer(tables: &Tables) -> String {
    format!("ALTER TABLE {} ADD COLUMN created_by text;", tables.keys())
}

/// Adds an index for each list that matches few of many keys, so that others are not visited.
fn index_what_is_rare(tables: &Tables) -> String {
    let (by_tenant, keys) = (tables.part("api_keys_by_tenant_and_age"), tables.keys());
    // Lists of a tenant are in the order of an expression, which has no index without the tenant. By the
    // column, the server may choose to go along the keys of all tenants, and meet few of this one for
    // long: of several that are bounded, it takes keys to be spread evenly. The column itself is beside
    // it, so that the table need not be read for the end of a window.
    let columns = format!("(tenant, {AGE_OF_TENANT} DESC, id DESC) INCLUDE (created_at)");
    format!("CREATE INDEX {by_tenant} ON {keys} {columns};\n{}", tables.partial_indexes(&columns))
}

/// Adds the tenants whose keys are out of use, all of them. Nodes of the version before, which hear of a
/// tenant, forget everything.
fn suspend_tenants(tables: &Tables) -> String {
    let suspensions = tables.suspensions();
    let body = notify_of_tenants(&tables.bare("api_keys"));
    format!(
        r#"
        CREATE TABLE {suspensions} (
            tenant text COLLATE "C" PRIMARY KEY CHECK (octet_length(tenant) BETWEEN 1 AND 128),
            suspended_at timestamptz NOT NULL DEFAULT now() CHECK (isfinite(suspended_at))
        );
        CREATE FUNCTION {notify}() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog AS $function${body}$function$;
        CREATE TRIGGER {notify_trigger} AFTER INSERT OR UPDATE OR DELETE ON {suspensions}
            FOR EACH ROW EXECUTE FUNCTION {notify}();
        CREATE TRIGGER {notify_all_trigger} AFTER TRUNCATE ON {suspensions}
            FOR EACH STATEMENT EXECUTE FUNCTION {notify}();
        ALTER TABLE {suspensions} ENABLE ALWAYS TRIGGER {notify_trigger};
        ALTER TABLE {suspensions} ENABLE ALWAYS TRIGGER {notify_all_trigger};
        "#,
        notify = tables.name("api_key_suspensions_notify"),
        notify_trigger = tables.part("api_key_suspensions_notify"),
        notify_all_trigger = tables.part("api_key_suspensions_notify_all"),
    )
}
