//! The audit events of [`SqliteStore`].

use std::time::SystemTime;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::repository::bound;
use crate::store::sql::{AuditRow, failed};
use crate::store::{AuditPage, AuditQuery, StoreError};

impl SqliteStore {
    pub(super) async fn events(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        // Not kept prepared, because the statement has many forms.
        let events = bound(&self.statements.events(query)).persistent(false);
        let _place = self.share.for_list().await?;
        let rows = events.fetch_all(&self.pool).await.map_err(failed)?;
        let entries = rows.iter().map(|row| read(row).map_err(failed)?.read());
        Ok(query.page(entries.collect::<Result<_, _>>()?))
    }

    pub(super) async fn remove_events(
        &self,
        before: SystemTime,
        at_most: usize,
    ) -> Result<usize, StoreError> {
        let remove = self.statements.remove_events(before, at_most);
        let mut writing = self.writers.take().await.map_err(failed)?;
        let removed = bound(&remove).execute(writing.connection()).await.map_err(failed)?;
        writing.give_back();
        usize::try_from(removed.rows_affected()).map_err(StoreError::new)
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
