//! The tables in SQLite.

use sqlx::{SqliteConnection, SqlitePool, query_scalar};

use crate::store::StoreError;
use crate::store::sql::{Migration, Tables, constant, failed, pending};

static MIGRATIONS: [Migration; 1] = [create_tables];

fn create_tables(tables: &Tables) -> String {
    let [keys, uses] = [tables.keys(), tables.uses()];
    let [audit, migrations] = [tables.audit(), tables.migrations()];
    format!(
        "
        CREATE TABLE {migrations} (
            version INTEGER PRIMARY KEY,
            applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
        ) STRICT;

        CREATE TABLE {keys} (
            id TEXT NOT NULL PRIMARY KEY,
            digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
            hint TEXT NOT NULL DEFAULT '',
            name TEXT NOT NULL,
            tenant TEXT,
            stage TEXT,
            kind TEXT NOT NULL DEFAULT 'secret',
            abilities TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(abilities)),
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            revoked_at INTEGER,
            disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
            rotation_due_at INTEGER,
            successor TEXT,
            limits TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(limits)),
            restrictions TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(restrictions)),
            metadata TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(metadata)),
            revision INTEGER NOT NULL DEFAULT 0 CHECK (revision >= 0)
        ) STRICT;
        CREATE INDEX {by_age} ON {keys} (created_at DESC, id DESC);
        CREATE INDEX {by_tenant} ON {keys} (tenant, created_at DESC, id DESC);

        CREATE TABLE {uses} (
            key_id TEXT NOT NULL PRIMARY KEY
                REFERENCES {keys} (id) ON UPDATE CASCADE ON DELETE CASCADE,
            last_used_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE {audit} (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at INTEGER NOT NULL,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            key_id TEXT,
            tenant TEXT,
            before TEXT,
            after TEXT
        ) STRICT;
        CREATE INDEX {audit_by_key} ON {audit} (key_id, id);

        -- So that whoever changes a key by plain SQL is noticed by those who read it before.
        CREATE TRIGGER {raise_revision} AFTER UPDATE ON {keys}
        WHEN NEW.revision <= OLD.revision
        BEGIN
            UPDATE {keys} SET revision = OLD.revision + 1 WHERE id = NEW.id;
        END;
        ",
        by_age = tables.part("api_keys_by_age"),
        by_tenant = tables.part("api_keys_by_tenant"),
        audit_by_key = tables.part("api_key_audit_by_key"),
        raise_revision = tables.part("api_keys_raise_revision"),
    )
}

/// Brings the tables to the version that this crate knows.
pub(super) async fn migrate(
    pool: &SqlitePool,
    tables: &Tables,
    may_migrate: bool,
) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await.map_err(failed)?;
    let found = version(&mut connection, tables).await.map_err(failed)?;
    if pending(&MIGRATIONS, found, may_migrate).map_err(StoreError::new)?.is_empty() {
        return Ok(());
    }
    drop(connection);
    // Asks again now that nobody else can write.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let found = version(&mut transaction, tables).await.map_err(failed)?;
    for (version, script) in pending(&MIGRATIONS, found, true).map_err(StoreError::new)? {
        apply(&mut transaction, tables, version, script).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

/// Returns the version of the tables, 0 if there are none.
async fn version(connection: &mut SqliteConnection, tables: &Tables) -> sqlx::Result<i64> {
    // As SQLite compares the names of tables.
    let exists = "SELECT count(*) > 0 FROM sqlite_schema \
                  WHERE type = 'table' AND name = $1 COLLATE NOCASE";
    let exists = query_scalar(exists).bind(tables.bare("api_key_migrations"));
    if !exists.fetch_one(&mut *connection).await? {
        return Ok(0);
    }
    let newest = constant(format!("SELECT coalesce(max(version), 0) FROM {}", tables.migrations()));
    query_scalar(newest).persistent(false).fetch_one(connection).await
}

async fn apply(
    connection: &mut SqliteConnection,
    tables: &Tables,
    version: i64,
    script: Migration,
) -> sqlx::Result<()> {
    sqlx::raw_sql(constant(script(tables))).execute(&mut *connection).await?;
    let made = constant(format!("INSERT INTO {} (version) VALUES ($1)", tables.migrations()));
    sqlx::query(made).bind(version).persistent(false).execute(connection).await?;
    Ok(())
}
