//! The events that [`SqliteStore`] has kept.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::repository::bound;
use crate::store::sql::{AuditRow, failed};
use crate::store::{AuditEntry, AuditQuery, StoreError};

impl SqliteStore {
    /// Returns a page of the events of changes, the oldest first.
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails, or if an event cannot be read.
    pub async fn audit_log(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let _place = self.share.for_list().await?;
        let rows = bound(&self.statements.events(query)).fetch_all(&self.pool).await;
        let rows = rows.map_err(failed)?;
        rows.iter().map(|row| read(row).map_err(failed)?.read()).collect()
    }
}

fn read(row: &SqliteRow) -> sqlx::Result<AuditRow> {
    Ok(AuditRow {
        id: row.try_get("id")?,
        at: row.try_get("at")?,
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        key_id: row.try_get("key_id")?,
        tenant: row.try_get("tenant")?,
        before: row.try_get("before")?,
        after: row.try_get("after")?,
    })
}
