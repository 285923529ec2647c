//! The events that [`PostgresStore`] has kept.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::connections::Purpose;
use super::lease::Lease;
use super::repository::bound;
use super::types::{Json, Timestamp};
use crate::store::sql::{AuditRow, failed};
use crate::store::{AuditEntry, AuditQuery, StoreError};

impl PostgresStore {
    /// Returns a page of the events of changes, the oldest first.
    ///
    /// What is being committed meanwhile may be missing, although later events are there.
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails, or if an event cannot be read.
    pub async fn audit_log(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let mut lease = Lease::of(&self.connections, Purpose::List).await?;
        let rows = bound(&self.statements.events(query)).fetch_all(&mut **lease).await;
        lease.give_back();
        let rows = rows.map_err(failed)?;
        rows.iter().map(|row| read(row).map_err(failed)?.read()).collect()
    }
}

fn read(row: &PgRow) -> sqlx::Result<AuditRow> {
    let json = |column| -> sqlx::Result<Option<String>> {
        Ok(row.try_get::<Option<Json>, _>(column)?.map(|json| json.0))
    };
    Ok(AuditRow {
        id: row.try_get("id")?,
        at: row.try_get::<Timestamp, _>("at")?.0,
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        key_id: row.try_get("key_id")?,
        tenant: row.try_get("tenant")?,
        before: json("before")?,
        after: json("after")?,
    })
}
