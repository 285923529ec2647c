//! The tables in PostgreSQL.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, query, query_as, query_scalar, raw_sql};

use super::channel::NOTIFY;
use super::migration_3;
use crate::key::KeyHasher;
use crate::store::StoreError;
use crate::store::sql::{Found, Migration, Tables, TablesError, constant, failed, pending, quoted};

static MIGRATIONS: [Migration; 3] = [
    Migration { script: create_tables, oldest: 1 },
    Migration { script: count_successors, oldest: 1 },
    Migration { script: migration_3::script, oldest: 1 },
];

/// How long a migration waits for other users of the tables, such as a backup. Look-ups wait behind it
/// meanwhile, so this must be less than the five seconds that a layer waits.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";

/// How often it waits, and for how long it lets others go first.
const ATTEMPTS: usize = 10;
const PAUSE: Duration = Duration::from_secs(1);

fn create_tables(tables: &Tables) -> String {
    let [keys, uses] = [tables.keys(), tables.uses()];
    let [audit, migrations] = [tables.audit(), tables.migrations()];
    format!(
        r#"
        CREATE TABLE {migrations} (
            version bigint PRIMARY KEY,
            applied_at timestamptz NOT NULL DEFAULT now()
        );

        -- Ids are compared byte by byte, as cursors are, whatever the locale of the database.
        CREATE TABLE {keys} (
            id text COLLATE "C" PRIMARY KEY,
            digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
            hint text NOT NULL DEFAULT '',
            name text NOT NULL,
            tenant text COLLATE "C",
            stage text,
            kind text NOT NULL DEFAULT 'secret',
            abilities text[] NOT NULL DEFAULT '{{}}',
            created_at timestamptz NOT NULL DEFAULT now() CHECK (isfinite(created_at)),
            expires_at timestamptz CHECK (isfinite(expires_at)),
            revoked_at timestamptz CHECK (isfinite(revoked_at)),
            disabled boolean NOT NULL DEFAULT false,
            rotation_due_at timestamptz CHECK (isfinite(rotation_due_at)),
            successor text,
            -- Not `jsonb`, which writes numbers in another way and has no \u0000.
            limits json NOT NULL DEFAULT '[]',
            restrictions json NOT NULL DEFAULT '{{}}',
            metadata json NOT NULL DEFAULT '{{}}',
            revision bigint NOT NULL DEFAULT 0 CHECK (revision >= 0)
        );
        CREATE INDEX {by_age} ON {keys} (created_at DESC, id DESC);
        CREATE INDEX {by_tenant} ON {keys} (tenant, created_at DESC, id DESC);

        CREATE TABLE {uses} (
            key_id text COLLATE "C" PRIMARY KEY
                REFERENCES {keys} (id) ON UPDATE CASCADE ON DELETE CASCADE,
            last_used_at timestamptz NOT NULL CHECK (isfinite(last_used_at))
        );

        CREATE TABLE {audit} (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL,
            actor text NOT NULL,
            action text NOT NULL,
            key_id text COLLATE "C",
            tenant text COLLATE "C",
            before json,
            after json
        );
        CREATE INDEX {audit_by_key} ON {audit} (key_id, id);

        -- So that whoever changes a key by plain SQL is noticed by those who read it before.
        CREATE FUNCTION {raise_revision}() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog AS $function$
        BEGIN
            IF NEW.revision <= OLD.revision THEN
                NEW.revision := OLD.revision + 1;
            END IF;
            RETURN NEW;
        END
        $function$;
        CREATE TRIGGER {raise_revision_trigger} BEFORE UPDATE ON {keys}
            FOR EACH ROW EXECUTE FUNCTION {raise_revision}();

        CREATE FUNCTION {notify}() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog AS $function${NOTIFY}$function$;
        CREATE TRIGGER {notify_trigger} AFTER INSERT OR UPDATE OR DELETE ON {keys}
            FOR EACH ROW EXECUTE FUNCTION {notify}();
        CREATE TRIGGER {notify_all_trigger} AFTER TRUNCATE ON {keys}
            FOR EACH STATEMENT EXECUTE FUNCTION {notify}();
        -- Also of what a replication writes.
        ALTER TABLE {keys} ENABLE ALWAYS TRIGGER {notify_trigger};
        ALTER TABLE {keys} ENABLE ALWAYS TRIGGER {notify_all_trigger};
        "#,
        by_age = tables.part("api_keys_by_age"),
        by_tenant = tables.part("api_keys_by_tenant"),
        audit_by_key = tables.part("api_key_audit_by_key"),
        raise_revision = tables.name("api_keys_raise_revision"),
        raise_revision_trigger = tables.part("api_keys_raise_revision"),
        notify = tables.name("api_keys_notify"),
        notify_trigger = tables.part("api_keys_notify"),
        notify_all_trigger = tables.part("api_keys_notify_all"),
    )
}

/// Adds the key under which a successor's limits count, and the level of the tables.
fn count_successors(tables: &Tables) -> String {
    let [keys, migrations] = [tables.keys(), tables.migrations()];
    format!(
        "
        ALTER TABLE {keys} ADD COLUMN counted_as text;
        ALTER TABLE {migrations} ADD COLUMN level bigint;
        "
    )
}

/// Brings the tables to the version that this crate knows.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    tables: &Tables,
    schema: &str,
    may_migrate: bool,
) -> Result<(), StoreError> {
    let found = find(connection, tables).await.map_err(failed)?;
    if pending(&MIGRATIONS, found, may_migrate).map_err(StoreError::new)?.is_empty() {
        return Ok(());
    }
    for _ in 1..ATTEMPTS {
        match try_migrate(connection, tables, schema).await {
            Err(error) if waited_too_long(&error) => tokio::time::sleep(PAUSE).await,
            outcome => return outcome.map_err(failed)?.map_err(StoreError::new),
        }
    }
    let outcome = try_migrate(connection, tables, schema).await;
    outcome.map_err(failed)?.map_err(StoreError::new)
}

async fn try_migrate(
    connection: &mut PgConnection,
    tables: &Tables,
    schema: &str,
) -> sqlx::Result<Result<(), TablesError>> {
    // A stricter isolation level would still see the state from before it waited for the lock.
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
    let mut transaction = connection.begin_with(begin).await?;
    lock(&mut transaction, tables).await?;
    create_schema(&mut transaction, schema).await?;
    // Asks again now that no other node migrates.
    let found = find(&mut transaction, tables).await?;
    let pending = match pending(&MIGRATIONS, found, true) {
        Ok(pending) => pending,
        Err(error) => return Ok(Err(error)),
    };
    raw_sql(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    for migration in pending {
        raw_sql(constant(migration.script(tables))).execute(&mut *transaction).await?;
    }
    transaction.commit().await.map(Ok)
}

/// Tells whether others used the tables for too long: `lock_not_available`.
fn waited_too_long(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("55P03")
}

/// Returns how far the tables were migrated.
async fn find(connection: &mut PgConnection, tables: &Tables) -> sqlx::Result<Found> {
    let columns = "SELECT attname::text FROM pg_catalog.pg_attribute \
                   WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
    let columns = query_scalar(columns).bind(tables.migrations()).persistent(false);
    let columns: Vec<String> = columns.fetch_all(&mut *connection).await?;
    if columns.is_empty() {
        return Ok(Found::NOTHING);
    }
    let found = constant(Found::statement(&columns, tables));
    let found: (i64, i64) = query_as(found).persistent(false).fetch_one(connection).await?;
    Ok(found.into())
}

/// Waits for other migrations of these tables, and excludes them until the end of the transaction.
async fn lock(connection: &mut PgConnection, tables: &Tables) -> sqlx::Result<()> {
    let name = format!("tower-api-key migrates {}", tables.keys());
    let digest = KeyHasher::sha256().digest(&name);
    let [number, ..] = digest.as_bytes().as_chunks().0 else { return Ok(()) };
    let lock = query("SELECT pg_advisory_xact_lock($1)").bind(i64::from_be_bytes(*number));
    lock.persistent(false).execute(connection).await.map(drop)
}

async fn create_schema(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    // `IF NOT EXISTS` needs the right to create schemas even if there is nothing to do.
    let exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    let exists = query_scalar(exists).bind(schema).persistent(false);
    if !exists.fetch_one(&mut *connection).await? {
        let create = constant(format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema)));
        raw_sql(create).execute(connection).await?;
    }
    Ok(())
}
