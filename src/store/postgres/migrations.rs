//! The tables in PostgreSQL.

use sqlx::{Connection as _, PgConnection, query, query_scalar, raw_sql};

use super::channel::NOTIFY;
use crate::key::KeyHasher;
use crate::store::StoreError;
use crate::store::sql::{Migration, Tables, constant, failed, pending, quoted};

static MIGRATIONS: [Migration; 1] = [create_tables];

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

/// Brings the tables to the version that this crate knows.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    tables: &Tables,
    schema: &str,
    may_migrate: bool,
) -> Result<(), StoreError> {
    let found = version(connection, tables).await.map_err(failed)?;
    if pending(&MIGRATIONS, found, may_migrate).map_err(StoreError::new)?.is_empty() {
        return Ok(());
    }
    // A stricter one would go on seeing what there was before it waited for the lock.
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
    let mut transaction = connection.begin_with(begin).await.map_err(failed)?;
    lock(&mut transaction, tables).await.map_err(failed)?;
    create_schema(&mut transaction, schema).await.map_err(failed)?;
    // Asks again now that nobody else migrates.
    let found = version(&mut transaction, tables).await.map_err(failed)?;
    for (version, script) in pending(&MIGRATIONS, found, true).map_err(StoreError::new)? {
        apply(&mut transaction, tables, version, script).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

/// Returns the version of the tables, 0 if there are none.
async fn version(connection: &mut PgConnection, tables: &Tables) -> sqlx::Result<i64> {
    let exists = query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(tables.migrations());
    if !exists.persistent(false).fetch_one(&mut *connection).await? {
        return Ok(0);
    }
    let newest = constant(format!("SELECT coalesce(max(version), 0) FROM {}", tables.migrations()));
    query_scalar(newest).persistent(false).fetch_one(connection).await
}

/// Waits until nobody else migrates these tables, until the end of the transaction.
async fn lock(connection: &mut PgConnection, tables: &Tables) -> sqlx::Result<()> {
    let name = format!("tower-api-key migrates {}", tables.keys());
    let digest = KeyHasher::sha256().digest(&name);
    let [number, ..] = digest.as_bytes().as_chunks().0 else { return Ok(()) };
    let lock = query("SELECT pg_advisory_xact_lock($1)").bind(i64::from_be_bytes(*number));
    lock.persistent(false).execute(connection).await.map(drop)
}

async fn create_schema(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    // `IF NOT EXISTS` asks for the right to create schemas also where there is nothing to do.
    let exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    let exists = query_scalar(exists).bind(schema).persistent(false);
    if !exists.fetch_one(&mut *connection).await? {
        let create = constant(format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema)));
        raw_sql(create).execute(connection).await?;
    }
    Ok(())
}

async fn apply(
    connection: &mut PgConnection,
    tables: &Tables,
    version: i64,
    script: Migration,
) -> sqlx::Result<()> {
    raw_sql(constant(script(tables))).execute(&mut *connection).await?;
    let made = constant(format!("INSERT INTO {} (version) VALUES ($1)", tables.migrations()));
    query(made).bind(version).persistent(false).execute(connection).await.map(drop)
}
