//! The existing table of keys of the application, as a store and a repository.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteConnection};
use tower_api_key::store::{
    AuditEvent, CommitError, KeyBound, KeyChange, KeyCursor, KeyPage, KeyUse, RecordField,
    RecordUses, StoredKey, TenantFilter,
};
use tower_api_key::{
    AbilitySet, KeyDigest, KeyId, KeyQuery, KeyRecord, KeyRepository, KeyStore, StoreError,
};

/// Fields without a column in the table. A key with one of these is not issued. Only the first two, which are
/// shown to people, are dropped.
pub(crate) const NOT_KEPT: [RecordField; 10] = [
    RecordField::Hint,
    RecordField::CreatedBy,
    RecordField::Stage,
    RecordField::Kind,
    RecordField::Disabled,
    RecordField::RotationDueAt,
    RecordField::CountedAs,
    RecordField::Limits,
    RecordField::Restrictions,
    RecordField::Metadata,
];

/// The table of the application. Times are in microseconds.
pub(crate) const OLD_TABLE: &str = "
    CREATE TABLE api_tokens (
        id INTEGER PRIMARY KEY,
        account TEXT,
        title TEXT NOT NULL,
        token_hash TEXT NOT NULL UNIQUE,    -- SHA-256, in hexadecimal digits
        scopes TEXT NOT NULL DEFAULT '',    -- words, with spaces between
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        revoked_at INTEGER,
        last_used_at INTEGER
    )";

/// The additional columns to manage keys: the ids of new keys, which are not numbers; the revision, by which
/// writers notice each other; and the successor of a rotated key.
pub(crate) const NEW_COLUMNS: &str = "
    ALTER TABLE api_tokens ADD COLUMN key_id TEXT;
    ALTER TABLE api_tokens ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE api_tokens ADD COLUMN successor TEXT;
    CREATE UNIQUE INDEX api_tokens_key_id ON api_tokens (coalesce(key_id, CAST(id AS TEXT)))";

/// A statement that selects keys.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT coalesce(key_id, CAST(id AS TEXT)) AS public_id, account, title, token_hash, scopes, \
             created_at, expires_at, revoked_at, last_used_at, revision, successor FROM api_tokens ",
            $rest
        )
    };
}

/// Keys in the table `api_tokens`.
#[derive(Clone)]
pub(crate) struct OwnTable {
    pool: SqlitePool,
}

impl OwnTable {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl KeyStore for OwnTable {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let row = sqlx::query(select!("WHERE token_hash = $1"))
            .bind(digest.to_string())
            .fetch_optional(&self.pool)
            .await;
        Ok(row.map_err(failed)?.as_ref().map(read).transpose()?.map(|key| key.record))
    }
}

#[async_trait]
impl KeyRepository for OwnTable {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        by_id(&mut connection, id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        query.check().map_err(StoreError::new)?;
        let (any, tenant) = match &query.tenant {
            TenantFilter::Any => (true, None),
            TenantFilter::Of(tenant) => (false, Some(tenant.as_str())),
            _ => (false, None),
        };
        let (mut keys, mut visited) = (Vec::new(), 0);
        let mut after = query.after.as_ref().map(|after| {
            let created_at = microseconds(after.created_at());
            (created_at, after.id().as_str().to_owned())
        });
        // In portions, until the page is full: the state of a key is not a column.
        loop {
            let (created_at, id) = after.clone().unzip();
            let rows = sqlx::query(select!(
                "WHERE ($1 OR account IS $2) \
                 AND ($3 IS NULL OR (created_at, public_id) < ($3, $4)) \
                 ORDER BY created_at DESC, public_id DESC LIMIT 1000"
            ))
            .bind(any)
            .bind(tenant)
            .bind(created_at)
            .bind(id)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
            let Some(last) = rows.last() else { break };
            let last_id: String = last.try_get("public_id").map_err(failed)?;
            after = Some((last.try_get("created_at").map_err(failed)?, last_id));
            for row in &rows {
                let key = read(row)?;
                if query.matches(&key) {
                    keys.push(key);
                }
            }
            if keys.len() > query.page_size() {
                keys.truncate(query.page_size() + 1);
                break;
            }
            visited += rows.len();
            if visited >= query.visits() {
                let stopped_at = KeyCursor::of(&read(last)?.record);
                return Ok(query.page(keys, Some(stopped_at)));
            }
        }
        Ok(query.page(keys, None))
    }

    /// Keeps no audit log: the manager of the server writes events to its log.
    async fn commit(&self, changes: &[KeyChange], _: &[AuditEvent]) -> Result<(), CommitError> {
        // A write transaction from the start, so that rows stay the same until they are changed. It is rolled
        // back if this returns early.
        let mut writing = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        for change in changes {
            make(&mut writing, change).await?;
        }
        Ok(writing.commit().await.map_err(failed)?)
    }
}

#[async_trait]
impl RecordUses for OwnTable {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let mut writing = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        for used in uses {
            sqlx::query(
                "UPDATE api_tokens SET last_used_at = max(coalesce(last_used_at, 0), $2) \
                 WHERE coalesce(key_id, CAST(id AS TEXT)) = $1",
            )
            .bind(used.id.as_str())
            .bind(microseconds(used.at))
            .execute(&mut *writing)
            .await
            .map_err(failed)?;
        }
        writing.commit().await.map_err(failed)
    }
}

/// Makes one change, if its conditions hold.
async fn make(writing: &mut SqliteConnection, change: &KeyChange) -> Result<(), CommitError> {
    if let KeyChange::Bound(bound) = change {
        return check_bound(writing, bound).await;
    }
    let record = change.record();
    let of_id = by_id(writing, record.id()).await?;
    let has_digest: bool =
        sqlx::query_scalar("SELECT count(*) > 0 FROM api_tokens WHERE token_hash = $1")
            .bind(record.digest().to_string())
            .fetch_one(&mut *writing)
            .await
            .map_err(failed)?;
    let is_taken = of_id.is_some() || has_digest;
    let same = of_id.map(|key| key.record).filter(|same| same.digest() == record.digest());
    change.check(same.as_deref(), is_taken)?;
    match change {
        KeyChange::Insert(record) => {
            let insert = "INSERT INTO api_tokens \
                (key_id, token_hash, account, title, scopes, created_at, expires_at, revoked_at, \
                 successor, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
            write(writing, insert, record).await
        }
        KeyChange::Replace(record) => {
            let update = "UPDATE api_tokens SET account = $3, title = $4, scopes = $5, created_at = $6, \
                expires_at = $7, revoked_at = $8, successor = $9, revision = $10 \
                WHERE coalesce(key_id, CAST(id AS TEXT)) = $1 AND token_hash = $2";
            write(writing, update, record).await
        }
        KeyChange::Remove(record) => {
            sqlx::query("DELETE FROM api_tokens WHERE token_hash = $1")
                .bind(record.digest().to_string())
                .execute(writing)
                .await
                .map_err(failed)?;
            Ok(())
        }
        KeyChange::Require(_) => Ok(()),
        _ => Err(CommitError::Unsupported),
    }
}

/// Counts the keys of a tenant, where they are bounded.
async fn check_bound(writing: &mut SqliteConnection, bound: &KeyBound) -> Result<(), CommitError> {
    let Some(tenant) = bound.record.tenant() else { return Ok(()) };
    let count = "SELECT count(*) FROM api_tokens WHERE account = $1 AND revoked_at IS NULL \
        AND (expires_at IS NULL OR expires_at > $2)";
    let counted: i64 = sqlx::query_scalar(count)
        .bind(tenant.as_str())
        .bind(microseconds(bound.at))
        .fetch_one(writing)
        .await
        .map_err(failed)?;
    match u64::try_from(counted).map_err(StoreError::answered)? <= bound.at_most {
        true => Ok(()),
        false => Err(CommitError::Full(bound.at_most)),
    }
}

async fn write(
    writing: &mut SqliteConnection,
    statement: &'static str,
    record: &KeyRecord,
) -> Result<(), CommitError> {
    if let Some(field) = RecordField::first_set(&NOT_KEPT[2..], record) {
        return Err(StoreError::answered(format!("there is no column for {field}")).into());
    }
    let scopes: Vec<_> = record.abilities().iter().map(|ability| ability.as_str()).collect();
    sqlx::query(statement)
        .bind(record.id().as_str())
        .bind(record.digest().to_string())
        .bind(record.tenant().map(|tenant| tenant.as_str()))
        .bind(record.name())
        .bind(scopes.join(" "))
        .bind(microseconds(record.created_at()))
        .bind(record.expires_at().map(microseconds))
        .bind(record.revoked_at().map(microseconds))
        .bind(record.successor().map(|successor| successor.as_str()))
        .bind(i64::try_from(record.revision()).map_err(StoreError::answered)?)
        .execute(writing)
        .await
        .map_err(failed)?;
    Ok(())
}

async fn by_id(
    connection: &mut SqliteConnection,
    id: &KeyId,
) -> Result<Option<StoredKey>, StoreError> {
    let row = sqlx::query(select!("WHERE coalesce(key_id, CAST(id AS TEXT)) = $1"))
        .bind(id.as_str())
        .fetch_optional(connection)
        .await;
    row.map_err(failed)?.as_ref().map(read).transpose()
}

/// Makes the record of a row. One that cannot be read is an error, and no unknown key.
fn read(row: &SqliteRow) -> Result<StoredKey, StoreError> {
    let wrong = |error: &dyn std::fmt::Display| StoreError::answered(error.to_string());
    let text = |column: &str| row.try_get::<String, _>(column).map_err(failed);
    let optional = |column: &str| row.try_get::<Option<String>, _>(column).map_err(failed);
    let moment = |column: &str| {
        let time: Option<i64> = row.try_get(column).map_err(failed)?;
        time.map(|time| {
            let time = u64::try_from(time).map_err(|error| wrong(&error))?;
            Ok(SystemTime::UNIX_EPOCH + Duration::from_micros(time))
        })
        .transpose()
    };
    let id: KeyId = text("public_id")?.parse().map_err(|error| wrong(&error))?;
    let digest = text("token_hash")?.parse().map_err(|error| wrong(&error))?;
    let created_at = moment("created_at")?.ok_or_else(|| wrong(&"a key without a time"))?;
    let scopes = text("scopes")?;
    let scopes = scopes.split_whitespace().map(|scope| scope.parse());
    let scopes: Result<AbilitySet, _> = scopes.collect();

    let mut record = KeyRecord::new(id, digest, text("title")?, created_at);
    let account = optional("account")?.map(|account| account.parse()).transpose();
    record.set_tenant(account.map_err(|error| wrong(&error))?);
    record.set_abilities(scopes.map_err(|error| wrong(&error))?);
    record.set_expires_at(moment("expires_at")?);
    record.set_revoked_at(moment("revoked_at")?);
    let successor = optional("successor")?.map(|id| id.parse()).transpose();
    record.set_successor(successor.map_err(|error| wrong(&error))?);
    let revision: i64 = row.try_get("revision").map_err(failed)?;
    record.set_revision(u64::try_from(revision).map_err(|error| wrong(&error))?);
    Ok(StoredKey::new(Arc::new(record), moment("last_used_at")?))
}

pub(crate) fn microseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The error of a database that was not reached, or does not answer.
fn failed(error: sqlx::Error) -> StoreError {
    StoreError::new(error)
}
