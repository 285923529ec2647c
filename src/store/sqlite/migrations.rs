//! The tables in SQLite.

use sqlx::{SqliteConnection, SqlitePool, query_as, query_scalar, raw_sql};

use super::migration_3;
use super::writing::Writers;
use crate::store::StoreError;
use crate::store::sql::{Found, Migration, Tables, constant, failed, pending};

static MIGRATIONS: [Migration; 3] = [
    Migration { script: create_tables, oldest: 1 },
    Migration { script: count_successors, oldest: 1 },
    Migration { script: migration_3::script, oldest: 1 },
];

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

/// Adds the key under which a successor's limits count, and the level of the tables.
fn count_successors(tables: &Tables) -> String {
    let [keys, migrations] = [tables.keys(), tables.migrations()];
    format!(
        "
        ALTER TABLE {keys} ADD COLUMN counted_as TEXT;
        ALTER TABLE {migrations} ADD COLUMN level INTEGER;
        "
    )
}

/// Brings the tables to the version that this crate knows.
pub(super) async fn migrate(
    pool: &SqlitePool,
    writers: &Writers,
    tables: &Tables,
    may_migrate: bool,
) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await.map_err(failed)?;
    let found = find(&mut connection, tables).await.map_err(failed)?;
    if pending(&MIGRATIONS, found, may_migrate).map_err(StoreError::new)?.is_empty() {
        return Ok(());
    }
    drop(connection);
    // Asks again now that no other process can write.
    let mut writing = writers.begin().await.map_err(failed)?;
    let found = find(writing.connection(), tables).await.map_err(failed)?;
    for migration in pending(&MIGRATIONS, found, true).map_err(StoreError::new)? {
        let script = constant(migration.script(tables));
        raw_sql(script).execute(writing.connection()).await.map_err(failed)?;
    }
    writing.commit().await.map_err(failed)
}

/// Returns how far the tables were migrated.
async fn find(connection: &mut SqliteConnection, tables: &Tables) -> sqlx::Result<Found> {
    let columns = "SELECT name FROM pragma_table_info($1)";
    let columns = query_scalar(columns).bind(tables.bare("api_key_migrations"));
    let columns: Vec<String> = columns.persistent(false).fetch_all(&mut *connection).await?;
    if columns.is_empty() {
        return Ok(Found::NOTHING);
    }
    let found = constant(Found::statement(&columns, tables));
    let found: (i64, i64) = query_as(found).persistent(false).fetch_one(connection).await?;
    Ok(found.into())
}
