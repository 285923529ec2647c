//! The third version of the tables in PostgreSQL.

use super::channel::notify_of_tenants;
use crate::store::sql::Tables;

/// Adds what many keys and many owners need: one part for each.
pub(super) fn script(tables: &Tables) -> String {
    let parts: [fn(&Tables) -> String; 1] = [suspend_tenants];
    parts.map(|part| part(tables)).join("\n")
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
