//! The store traits of [`PostgresStore`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Connection as _, PgConnection, Row as _, SqlStr, query};

use super::PostgresStore;
use super::attempts::Attempts;
use super::connections::Purpose;
use super::lease::Lease;
use super::types::{Json, Timestamp};
use crate::key::{KeyDigest, KeyHasher, KeyId, TenantId};
use crate::store::sql::{
    Dialect, KeyRow, Statement, Step, Tables, Value, constant, failed, in_order, place,
    read_suspended,
};
use crate::store::{
    AuditEvent, AuditPage, AuditQuery, CommitError, EndedPage, EndedQuery, KeyChange, KeyCursor,
    KeyPage, KeyQuery, KeyRecord, KeyRepository, KeyStore, KeyUse, Propagation, RecordUses,
    StoreError, StoredKey, SuspendedTenant, UsageStore,
};

/// The end of a `SELECT` that locks its rows against changes until the transaction ends. Uses of locked
/// keys can still be noted.
const FOR_NO_KEY_UPDATE: &str = " FOR NO KEY UPDATE";

/// The time of issue, as in the indexes of a tenant.
pub(super) const AGE_OF_TENANT: &str = "(created_at AT TIME ZONE 'UTC')";

pub(super) const DIALECT: Dialect = Dialect {
    age_of_tenant: AGE_OF_TENANT,
    time_of_tenant: |time| format!("({time} AT TIME ZONE 'UTC')"),
    by_index: |_| String::new(),
    locking: FOR_NO_KEY_UPDATE,
    // Independent of the locale of the database.
    lower_name: "lower(name COLLATE \"C\")",
    position: "strpos",
    keeps_zero: false,
};

/// Begins a transaction that waits at most three seconds for a lock, such as for a row that
/// another transaction has locked, and five for any statement. A shorter limit of the server, the role
/// or the connection stays.
///
/// Without a limit, the server would make a change when it gets the lock, even long after the caller has
/// stopped waiting: it does not notice that.
///
/// An acknowledged change is on the disk, even if the role or the database turns that off.
///
/// Each statement sees what was committed before it, and so before the locks were acquired.
const BEGIN: &str = "
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SELECT set_config(name, longest, true)
        FROM (VALUES ('lock_timeout', '3s'), ('statement_timeout', '5s')) AS limits (name, longest)
        WHERE current_setting(name)::interval NOT BETWEEN '1 ms' AND longest::interval;
    SELECT set_config('synchronous_commit', 'local', true)
        WHERE current_setting('synchronous_commit') = 'off';
";

/// The purpose of a lock of a tenant.
const SUSPENDS: &str = "suspends";
const COUNTS: &str = "counts";

#[async_trait]
impl KeyStore for PostgresStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let Some(row) = self.one(&self.statements.find(digest)).await? else { return Ok(None) };
        read(&row).map_err(failed)?.read().map(Some)
    }

    async fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
        let mut found = Vec::with_capacity(digests.len());
        for find in self.statements.find_many(digests) {
            let mut lease = Lease::of(&self.connections, Purpose::LookUp).await?;
            let rows = bound(&find).persistent(false).fetch_all(&mut **lease).await;
            lease.give_back();
            for row in &rows.map_err(failed)? {
                found.push(read(row).map_err(failed)?.read()?);
            }
        }
        Ok(in_order(digests, found))
    }
}

#[async_trait]
impl KeyRepository for PostgresStore {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        self.one(&self.statements.get(id)).await?.as_ref().map(read_with_use).transpose()
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        query.check().map_err(StoreError::answered)?;
        let mut lease = Lease::of(&self.connections, Purpose::List).await?;
        let page = self.page(query, &mut lease).await;
        lease.give_back();
        page
    }

    async fn ended(&self, query: &EndedQuery) -> Result<EndedPage, StoreError> {
        let ended = self.statements.ended(query)?;
        let mut lease = Lease::of(&self.connections, Purpose::List).await?;
        // Planned for its times: a generic plan would not use an index.
        let rows = bound(&ended).persistent(false).fetch_all(&mut **lease).await;
        lease.give_back();
        let rows = rows.map_err(failed)?;
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
        let begin = self.begin(changes);
        let lock = self.lock(changes);
        let mut attempts = Attempts::new(&self.connections);
        loop {
            let mut lease = Lease::for_transaction(&self.connections).await?;
            let outcome = transact(begin.clone(), lock.as_ref(), &steps, &mut lease).await;
            if let Some(outcome) = attempts.end(outcome, lease) {
                return outcome.map_err(failed)?;
            }
        }
    }

    async fn set_suspended(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
        events: &[AuditEvent],
    ) -> Result<bool, CommitError> {
        let (set, events) = self.statements.set_suspended(tenant, since, events)?;
        let lock = self.lock_of(SUSPENDS, tenant);
        let begin = constant(format!("{BEGIN}SELECT pg_advisory_xact_lock({lock});"));
        let mut attempts = Attempts::new(&self.connections);
        loop {
            let mut lease = Lease::for_transaction(&self.connections).await?;
            let outcome = suspend(begin.clone(), &set, &events, &mut lease).await;
            if let Some(outcome) = attempts.end(outcome, lease) {
                return outcome.map_err(failed)?;
            }
        }
    }

    async fn suspended(&self) -> Result<Vec<SuspendedTenant>, StoreError> {
        let mut lease = Lease::of(&self.connections, Purpose::List).await?;
        let rows = bound(&self.statements.suspended()).fetch_all(&mut **lease).await;
        lease.give_back();
        let read = |row: &PgRow| -> sqlx::Result<(String, Timestamp)> {
            Ok((row.try_get("tenant")?, row.try_get("suspended_at")?))
        };
        let rows = rows.map_err(failed)?;
        rows.iter()
            .map(|row| {
                let (tenant, since) = read(row).map_err(failed)?;
                read_suspended(&tenant, since.0)
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

    /// Sends `*` over the channel, like `TRUNCATE`.
    async fn invalidate_everywhere(&self) -> Result<(), StoreError> {
        let mut lease = Lease::of(&self.connections, Purpose::Change).await?;
        let notify = query("SELECT pg_notify($1, '*')").bind(&*self.channel);
        let notified = notify.execute(&mut **lease).await;
        lease.give_back();
        notified.map(drop).map_err(failed)
    }

    fn usage_store(&self) -> Option<&dyn UsageStore> {
        Some(self)
    }

    /// An [accepted](super::PostgresStoreBuilder::accept_standby) standby finds a change late.
    fn propagation(&self) -> Propagation {
        self.connections.max_lag().map_or(Propagation::Immediate, Propagation::Within)
    }
}

#[async_trait]
impl RecordUses for PostgresStore {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let note = self.statements.note(uses, note_uses)?;
        let mut attempts = Attempts::new(&self.connections);
        loop {
            let mut lease = Lease::of(&self.connections, Purpose::Change).await?;
            let noted = bound(&note).execute(&mut **lease).await;
            if let Some(noted) = attempts.end(noted, lease) {
                return noted.map(drop).map_err(failed);
            }
        }
    }
}

impl PostgresStore {
    async fn page(
        &self,
        query: &KeyQuery,
        connection: &mut PgConnection,
    ) -> Result<KeyPage, StoreError> {
        let mut list = self.statements.list(query);
        loop {
            // Not kept prepared, because the statements have many forms.
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

    async fn one(&self, statement: &Statement) -> Result<Option<PgRow>, StoreError> {
        let mut lease = Lease::of(&self.connections, Purpose::LookUp).await?;
        let found = bound(statement).fetch_optional(&mut **lease).await;
        lease.give_back();
        found.map_err(failed)
    }

    /// Begins changes for which tenants must not be suspended, and waits for transactions that suspend or
    /// resume them. Changes for the same tenant wait for each other only if they count its keys: only one
    /// transaction counts them at a time.
    ///
    /// Called before all else. It takes the locks against suspension first and then those for counting, in
    /// the order of their numbers, so that there are no deadlocks. Tenants with the same number wait for
    /// each other.
    fn begin(&self, changes: &[KeyChange]) -> SqlStr {
        let is_needed = |change: &&KeyChange| match change {
            KeyChange::Insert(_) | KeyChange::Require(_) => true,
            KeyChange::Replace(record) => record.revoked_at().is_none(),
            KeyChange::Remove(_) | KeyChange::Bound(_) | KeyChange::Unknown(_) => false,
        };
        let is_bound = |change: &&KeyChange| matches!(change, KeyChange::Bound(_));
        let shared = self.locks(SUSPENDS, changes.iter().filter(is_needed));
        let alone = self.locks(COUNTS, changes.iter().filter(is_bound));
        let shared =
            shared.iter().map(|lock| format!("SELECT pg_advisory_xact_lock_shared({lock});"));
        let alone = alone.iter().map(|lock| format!("SELECT pg_advisory_xact_lock({lock});"));
        constant([BEGIN.to_owned()].into_iter().chain(shared).chain(alone).collect())
    }

    /// Returns the locks of the tenants of changes.
    fn locks<'a>(
        &self,
        purpose: &str,
        changes: impl Iterator<Item = &'a KeyChange>,
    ) -> BTreeSet<i64> {
        let tenants = changes.filter_map(|change| change.record().tenant.as_ref());
        tenants.map(|tenant| self.lock_of(purpose, tenant)).collect()
    }

    /// Returns the number of a lock of a tenant.
    fn lock_of(&self, purpose: &str, tenant: &TenantId) -> i64 {
        let name = format!("tower-api-key {purpose} {} {tenant}", self.statements.tables.keys());
        let digest = KeyHasher::sha256().digest(&name);
        let [number, ..] = digest.as_bytes().as_chunks().0 else { return 0 };
        i64::from_be_bytes(*number)
    }

    /// Locks several keys in the order of their ids, like every transaction that locks several, so that
    /// there are no deadlocks.
    ///
    /// Required keys are locked, too, and no lock is shared: new shared locks of a row are granted while
    /// others exist, so a revocation of that key would wait for all of them.
    fn lock(&self, changes: &[KeyChange]) -> Option<Statement> {
        let id = |change: &KeyChange| match change {
            KeyChange::Insert(_) | KeyChange::Bound(_) | KeyChange::Unknown(_) => None,
            KeyChange::Replace(record) | KeyChange::Remove(record) | KeyChange::Require(record) => {
                Some(record.id.to_string())
            }
        };
        let ids: BTreeSet<_> = changes.iter().filter_map(id).collect();
        if ids.len() < 2 {
            return None;
        }
        let ids = ids.into_iter().collect();
        // The strongest lock that the changes need: a later upgrade would wait while other keys are locked.
        let removes = changes.iter().any(|change| matches!(change, KeyChange::Remove(_)));
        let mode = if removes { " FOR UPDATE" } else { FOR_NO_KEY_UPDATE };
        let keys = self.statements.tables.keys();
        let sql = format!("SELECT id FROM {keys} WHERE id = ANY($1) ORDER BY id{mode}");
        Some(Statement { sql: constant(sql), values: vec![Value::Texts(ids)] })
    }
}

/// Takes all steps, or none.
async fn transact(
    begin: SqlStr,
    lock: Option<&Statement>,
    steps: &[Step],
    connection: &mut PgConnection,
) -> sqlx::Result<Result<(), CommitError>> {
    let mut transaction = connection.begin_with(begin).await?;
    if let Some(lock) = lock {
        bound(lock).execute(&mut *transaction).await?;
    }
    if let Err(refusal) = take(steps, &mut transaction).await? {
        transaction.rollback().await?;
        return Ok(Err(refusal));
    }
    transaction.commit().await.map(Ok)
}

/// Suspends a tenant or resumes it. Returns whether that changed anything.
async fn suspend(
    begin: SqlStr,
    set: &Statement,
    events: &[Step],
    connection: &mut PgConnection,
) -> sqlx::Result<Result<bool, CommitError>> {
    let mut transaction = connection.begin_with(begin).await?;
    let rows = bound(set).execute(&mut *transaction).await?.rows_affected();
    if rows == 0 {
        transaction.rollback().await?;
        return Ok(Ok(false));
    }
    if let Err(refusal) = take(events, &mut transaction).await? {
        transaction.rollback().await?;
        return Ok(Err(refusal));
    }
    transaction.commit().await.map(|()| Ok(true))
}

/// Takes all steps, or returns why one is not allowed.
async fn take(
    steps: &[Step],
    connection: &mut PgConnection,
) -> sqlx::Result<Result<(), CommitError>> {
    for step in steps {
        let statement = bound(&step.statement).persistent(step.is_common);
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

/// Does not lock the keys, which would need the right to change them. If a key is removed in between, the
/// statement violates the foreign key, and the next attempt does not find the key.
pub(super) fn note_uses(tables: &Tables) -> String {
    let (keys, uses) = (tables.keys(), tables.uses());
    format!(
        "WITH used AS (SELECT * FROM unnest($1, $2) AS used (key_id, at)), \
         known AS (SELECT id FROM {keys} WHERE id IN (SELECT key_id FROM used) \
         ORDER BY id) \
         INSERT INTO {uses} AS noted (key_id, last_used_at) \
         SELECT id, max(at) FROM known JOIN used ON key_id = id GROUP BY id ORDER BY id \
         ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at \
         WHERE excluded.last_used_at > noted.last_used_at"
    )
}

pub(super) fn bound(statement: &Statement) -> Query<'static, Postgres, PgArguments> {
    let values = statement.values.iter().cloned();
    values.fold(query(statement.sql.clone()), |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Texts(texts) => query.bind(texts),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Number(number) => query.bind(number),
        Value::Flag(flag) => query.bind(flag),
        Value::Time(time) => query.bind(time.map(Timestamp)),
        Value::Times(times) => query.bind(times.into_iter().map(Timestamp).collect::<Vec<_>>()),
        Value::Numbers(numbers) => query.bind(numbers),
        Value::Json(json) => query.bind(json.map(Json)),
    })
}

fn read_place(row: &PgRow) -> Result<KeyCursor, StoreError> {
    let created_at: Timestamp = row.try_get("created_at").map_err(failed)?;
    place(created_at.0, row.try_get("id").map_err(failed)?)
}

fn read_with_use(row: &PgRow) -> Result<StoredKey, StoreError> {
    let last_used_at = optional_time(row, "last_used_at").map_err(failed)?;
    read(row).map_err(failed)?.read_with_use(last_used_at)
}

fn read(row: &PgRow) -> sqlx::Result<KeyRow> {
    Ok(KeyRow {
        id: row.try_get("id")?,
        digest: row.try_get("digest")?,
        hint: row.try_get("hint")?,
        name: row.try_get("name")?,
        tenant: row.try_get("tenant")?,
        stage: row.try_get("stage")?,
        kind: row.try_get("kind")?,
        abilities: row.try_get("abilities")?,
        created_at: row.try_get::<Timestamp, _>("created_at")?.0,
        expires_at: optional_time(row, "expires_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
        disabled: row.try_get("disabled")?,
        rotation_due_at: optional_time(row, "rotation_due_at")?,
        successor: row.try_get("successor")?,
        limits: row.try_get::<Json, _>("limits")?.0,
        restrictions: row.try_get::<Json, _>("restrictions")?.0,
        metadata: row.try_get::<Json, _>("metadata")?.0,
        revision: row.try_get("revision")?,
        counted_as: row.try_get("counted_as")?,
        created_by: row.try_get("created_by")?,
        suspended: row.try_get("suspended")?,
    })
}

fn optional_time(row: &PgRow, column: &str) -> sqlx::Result<Option<i64>> {
    Ok(row.try_get::<Option<Timestamp>, _>(column)?.map(|time| time.0))
}
