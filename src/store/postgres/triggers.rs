//! The triggers that notify of changes, also of replicated ones.

use sqlx::{Connection as _, PgConnection, query_as, raw_sql};
use thiserror::Error;

use crate::store::StoreError;
use crate::store::sql::{Tables, constant, failed};

/// How long to wait for other users of the table.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";

/// A trigger of the table of keys, or of that of suspended tenants.
struct Trigger {
    name: &'static str,
    table: fn(&Tables) -> String,
    /// When and how often it is called; `{table}` stands for the table.
    event: &'static str,
    function: &'static str,
    /// Its state when it works: `A` is always, and `O` excludes replicated changes.
    enabled: &'static [&'static str],
}

const TRIGGERS: [Trigger; 5] = [
    Trigger {
        name: "api_keys_notify",
        table: Tables::keys,
        event: "AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW",
        function: "api_keys_notify",
        enabled: &["A"],
    },
    Trigger {
        name: "api_keys_notify_all",
        table: Tables::keys,
        event: "AFTER TRUNCATE ON {table} FOR EACH STATEMENT",
        function: "api_keys_notify",
        enabled: &["A"],
    },
    // Replicated rows have their revision already.
    Trigger {
        name: "api_keys_raise_revision",
        table: Tables::keys,
        event: "BEFORE UPDATE ON {table} FOR EACH ROW",
        function: "api_keys_raise_revision",
        enabled: &["A", "O"],
    },
    Trigger {
        name: "api_key_suspensions_notify",
        table: Tables::suspensions,
        event: "AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW",
        function: "api_key_suspensions_notify",
        enabled: &["A"],
    },
    Trigger {
        name: "api_key_suspensions_notify_all",
        table: Tables::suspensions,
        event: "AFTER TRUNCATE ON {table} FOR EACH STATEMENT",
        function: "api_key_suspensions_notify",
        enabled: &["A"],
    },
];

/// The error of a trigger that does not work.
#[derive(Debug, Error)]
#[error(
    "the trigger {name} of the table {table} {state}, so changes may not be notified: run `api-keys init` as \
     the owner of the table, or the statement `{cure}`"
)]
struct TriggerError {
    name: String,
    table: String,
    state: &'static str,
    cure: String,
    #[source]
    source: Option<StoreError>,
}

/// Checks that the triggers exist and are enabled, also for replicated changes. A restore may have left
/// them disabled or ordinary, which heartbeats do not reveal.
///
/// # Errors
///
/// Returns an error if a trigger does not work and cannot be repaired.
pub(super) async fn check(
    connection: &mut PgConnection,
    tables: &Tables,
    may_mend: bool,
) -> Result<(), StoreError> {
    let faults = faults(connection, tables).await.map_err(failed)?;
    for mut fault in faults {
        if may_mend {
            match mend(connection, &fault.cure).await {
                Ok(()) => continue,
                Err(error) => fault.source = Some(failed(error)),
            }
        }
        return Err(StoreError::new(fault));
    }
    Ok(())
}

async fn faults(connection: &mut PgConnection, tables: &Tables) -> sqlx::Result<Vec<TriggerError>> {
    let found = "SELECT tgname::text, tgenabled::text FROM pg_catalog.pg_trigger \
                 WHERE tgrelid IN (to_regclass($1), to_regclass($2)) AND NOT tgisinternal";
    let found = query_as(found).bind(tables.keys()).bind(tables.suspensions()).persistent(false);
    let found: Vec<(String, String)> = found.fetch_all(connection).await?;
    let fault = |trigger: &Trigger| {
        let (bare, name) = (tables.bare(trigger.name), tables.part(trigger.name));
        let state = found.iter().find(|(found, _)| *found == bare).map(|(_, state)| &**state);
        let state = match state {
            Some(state) if trigger.enabled.contains(&state) => return None,
            Some("D") => "is disabled",
            Some(_) => "is not called for what a replication writes",
            None => "is missing",
        };
        let table = (trigger.table)(tables);
        let mut cure = format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}");
        if state == "is missing" {
            let (event, function) =
                (trigger.event.replace("{table}", &table), tables.name(trigger.function));
            let create = format!("CREATE TRIGGER {name} {event} EXECUTE FUNCTION {function}()");
            cure = format!("{create}; {cure}");
        }
        Some(TriggerError { name, table, state, cure, source: None })
    };
    Ok(TRIGGERS.iter().filter_map(fault).collect())
}

async fn mend(connection: &mut PgConnection, cure: &str) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    raw_sql(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    raw_sql(constant(cure.to_owned())).execute(&mut *transaction).await?;
    transaction.commit().await
}
