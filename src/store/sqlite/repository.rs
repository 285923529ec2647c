//! The store traits of [`SqliteStore`].

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Row as _, SqliteConnection, query};

use super::SqliteStore;
use crate::key::{KeyDigest, KeyId, TenantId};
use crate::store::sql::{
    KeyRow, Statement, Step, Tables, Value, constant, failed, in_order, place, read_suspended,
};
use crate::store::{
    AuditEvent, AuditPage, AuditQuery, CommitError, EndedPage, EndedQuery, KeyChange, KeyCursor,
    KeyPage, KeyQuery, KeyRecord, KeyRepository, KeyStore, KeyUse, RecordUses, StoreError,
    StoredKey, SuspendedTenant, UsageStore,
};

#[async_trait]
impl KeyStore for SqliteStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let found = bound(&self.statements.find(digest)).fetch_optional(&self.pool).await;
        let Some(row) = found.map_err(failed)? else { return Ok(None) };
        read(&row).map_err(failed)?.read().map(Some)
    }

    async fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
        let mut found = Vec::with_capacity(digests.len());
        for find in self.statements.find_many(digests) {
            let rows = bound(&find).persistent(false).fetch_all(&self.pool).await;
            for row in &rows.map_err(failed)? {
                found.push(read(row).map_err(failed)?.read()?);
            }
        }
        Ok(in_order(digests, found))
    }
}

#[async_trait]
impl KeyRepository for SqliteStore {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        let found = bound(&self.statements.get(id)).fetch_optional(&self.pool).await;
        found.map_err(failed)?.as_ref().map(read_with_use).transpose()
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        query.check().map_err(StoreError::answered)?;
        let _place = self.share.for_list().await?;
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let mut list = self.statements.list(query);
        loop {
            // Of the many forms that they may have, none is worth to be kept.
            let end = match list.window() {
                Some(window) => {
                    let row = bound(&window).persistent(false).fetch_optional(&mut *connection);
                    row.await.map_err(failed)?.as_ref().map(read_place).transpose()?
                }
                None => None,
            };
            let rows = bound(&list.rows(end.as_ref())).persistent(false);
            let rows = rows.fetch_all(&mut *connection).await.map_err(failed)?;
            let keys = rows.iter().map(read_with_use).collect::<Result<_, _>>()?;
            if let Some(page) = list.take(keys, end) {
                return Ok(page);
            }
        }
    }

    async fn ended(&self, query: &EndedQuery) -> Result<EndedPage, StoreError> {
        let ended = self.statements.ended(query)?;
        let _place = self.share.for_list().await?;
        let rows = bound(&ended).fetch_all(&self.pool).await.map_err(failed)?;
        let keys = rows.iter().map(|row| read(row).map_err(failed)?.read());
        Ok(EndedPage::in_order(keys.collect::<Result<_, _>>()?, query))
    }

    /// Stores the events in the table `api_key_audit`.
    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        let steps = self.statements.steps(changes, events)?;
        let mut writing = self.writers.begin().await.map_err(failed)?;
        match take(&steps, writing.connection()).await.map_err(failed)? {
            Ok(()) => Ok(writing.commit().await.map_err(failed)?),
            Err(refusal) => {
                writing.roll_back().await.map_err(failed)?;
                Err(refusal)
            }
        }
    }

    /// Has the caches of all processes that hear of changes forget what they know.
    async fn invalidate_everywhere(&self) -> Result<(), StoreError> {
        let changes = self.statements.tables.changes();
        let note = constant(format!("INSERT INTO {changes} (digest) VALUES (NULL)"));
        let mut writing = self.writers.take().await.map_err(failed)?;
        query(note).execute(writing.connection()).await.map_err(failed)?;
        writing.give_back();
        Ok(())
    }

    async fn set_suspended(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
        events: &[AuditEvent],
    ) -> Result<bool, CommitError> {
        let (set, events) = self.statements.set_suspended(tenant, since, events)?;
        let mut writing = self.writers.begin().await.map_err(failed)?;
        let rows = bound(&set).execute(writing.connection()).await.map_err(failed)?.rows_affected();
        if rows == 0 {
            writing.roll_back().await.map_err(failed)?;
            return Ok(false);
        }
        match take(&events, writing.connection()).await.map_err(failed)? {
            Ok(()) => writing.commit().await.map_err(failed)?,
            Err(refusal) => {
                writing.roll_back().await.map_err(failed)?;
                return Err(refusal);
            }
        }
        Ok(true)
    }

    async fn suspended(&self) -> Result<Vec<SuspendedTenant>, StoreError> {
        let _place = self.share.for_list().await?;
        let rows = bound(&self.statements.suspended()).fetch_all(&self.pool).await;
        let rows = rows.map_err(failed)?;
        let read = |row: &SqliteRow| -> sqlx::Result<(String, i64)> {
            Ok((row.try_get("tenant")?, row.try_get("suspended_at")?))
        };
        rows.iter()
            .map(|row| {
                let (tenant, since) = read(row).map_err(failed)?;
                read_suspended(&tenant, since)
            })
            .collect()
    }

    async fn audit_log(&self, query: &AuditQuery) -> Result<Option<AuditPage>, StoreError> {
        query.check().map_err(StoreError::answered)?;
        self.events(query).await.map(Some)
    }

    async fn prune_audit_log(
        &self,
        before: SystemTime,
        at_most: usize,
    ) -> Result<Option<usize>, StoreError> {
        self.remove_events(before, at_most).await.map(Some)
    }

    fn usage_store(&self) -> Option<&dyn UsageStore> {
        Some(self)
    }
}

#[async_trait]
impl RecordUses for SqliteStore {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let note = self.statements.note_object(uses, note_uses)?;
        let mut writing = self.writers.take().await.map_err(failed)?;
        bound(&note).execute(writing.connection()).await.map_err(failed)?;
        writing.give_back();
        Ok(())
    }
}

/// Takes all steps, or says why one may not be taken.
async fn take(
    steps: &[Step],
    connection: &mut SqliteConnection,
) -> sqlx::Result<Result<(), CommitError>> {
    for step in steps {
        let statement = bound(&step.statement).persistent(step.is_common);
        // Of a statement that finds, the driver counts the rows that the one before has changed.
        let rows = if step.finds {
            statement.fetch_all(&mut *connection).await?.len() as u64
        } else {
            statement.execute(&mut *connection).await?.rows_affected()
        };
        if let Err(refusal) = step.check(rows) {
            return Ok(Err(refusal));
        }
    }
    Ok(Ok(()))
}

/// Goes through the object once, and finds each key by its index: a join of two lists would compare each
/// id with all others.
pub(super) fn note_uses(tables: &Tables) -> String {
    let (keys, uses) = (tables.keys(), tables.uses());
    format!(
        "INSERT INTO {uses} (key_id, last_used_at) \
         SELECT known.id, used.value FROM json_each($1) AS used \
         CROSS JOIN {keys} AS known ON known.id = used.key WHERE true \
         ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at \
         WHERE excluded.last_used_at > last_used_at"
    )
}

pub(super) fn bound(statement: &Statement) -> Query<'static, Sqlite, SqliteArguments> {
    let values = statement.values.iter().cloned();
    values.fold(query(statement.sql.clone()), |query, value| match value {
        Value::Text(text) | Value::Json(text) => query.bind(text),
        Value::Texts(texts) => query.bind(serde_json::Value::from(texts).to_string()),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Number(number) => query.bind(number),
        Value::Flag(flag) => query.bind(flag),
        Value::Time(time) => query.bind(time),
        #[cfg(feature = "postgres")]
        Value::Times(times) | Value::Numbers(times) => {
            query.bind(serde_json::Value::from(times).to_string())
        }
    })
}

fn read_place(row: &SqliteRow) -> Result<KeyCursor, StoreError> {
    place(row.try_get("created_at").map_err(failed)?, row.try_get("id").map_err(failed)?)
}

fn read_with_use(row: &SqliteRow) -> Result<StoredKey, StoreError> {
    let last_used_at = row.try_get("last_used_at").map_err(failed)?;
    read(row).map_err(failed)?.read_with_use(last_used_at)
}

fn read(row: &SqliteRow) -> sqlx::Result<KeyRow> {
    let abilities = serde_json::from_str(row.try_get("abilities")?);
    let undecodable = |error| sqlx::Error::ColumnDecode {
        index: "abilities".to_owned(),
        source: Box::new(error),
    };
    Ok(KeyRow {
        id: row.try_get("id")?,
        digest: row.try_get("digest")?,
        hint: row.try_get("hint")?,
        name: row.try_get("name")?,
        tenant: row.try_get("tenant")?,
        stage: row.try_get("stage")?,
        kind: row.try_get("kind")?,
        abilities: abilities.map_err(undecodable)?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
        disabled: row.try_get("disabled")?,
        rotation_due_at: row.try_get("rotation_due_at")?,
        successor: row.try_get("successor")?,
        limits: row.try_get("limits")?,
        restrictions: row.try_get("restrictions")?,
        metadata: row.try_get("metadata")?,
        revision: row.try_get("revision")?,
        counted_as: row.try_get("counted_as")?,
        created_by: row.try_get("created_by")?,
        suspended: row.try_get("suspended")?,
    })
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, query_scalar};

    use super::*;

    #[tokio::test]
    async fn a_lookup_searches_two_indices_and_scans_nothing() {
        let store = SqliteStore::in_memory().await.unwrap();
        let find = store.statements.find(&KeyDigest::from_bytes([7; 32]));
        let plan = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", find.sql.as_str()));
        let plan = query(plan).bind(vec![7_u8; 32]).fetch_all(&store.pool).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        let searches: Vec<_> = steps.iter().filter(|step| step.starts_with("SEARCH")).collect();
        assert!(searches[0].contains("(digest=?)"), "{steps:?}");
        assert!(searches[1].contains("PRIMARY KEY (tenant=?)"), "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains("SCAN")), "{steps:?}");
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'api_key_suspensions'";
        assert_eq!(query_scalar::<_, i64>(tables).fetch_one(&store.pool).await.unwrap(), 1);
    }
}
