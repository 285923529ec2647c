//! The audit events of [`PostgresStore`].

use std::time::SystemTime;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::attempts::Attempts;
use super::connections::Purpose;
use super::lease::Lease;
use super::repository::bound;
use super::types::{Json, Timestamp};
use crate::store::sql::{AuditRow, failed};
use crate::store::{AuditPage, AuditQuery, StoreError};

impl PostgresStore {
    pub(super) async fn events(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        // Not kept prepared, because the statement has many forms.
        let events = bound(&self.statements.events(query)).persistent(false);
        let mut lease = Lease::of(&self.connections, Purpose::List).await?;
        let rows = events.fetch_all(&mut **lease).await;
        lease.give_back();
        let rows = rows.map_err(failed)?;
        let entries = rows.iter().map(|row| read(row).map_err(failed)?.read());
        Ok(query.page(entries.collect::<Result<_, _>>()?))
    }

    pub(super) async fn remove_events(
        &self,
        before: SystemTime,
        at_most: usize,
    ) -> Result<usize, StoreError> {
        let remove = self.statements.remove_events(before, at_most);
        let mut attempts = Attempts::new(&self.connections);
        loop {
            let mut lease = Lease::of(&self.connections, Purpose::Change).await?;
            let removed = bound(&remove).persistent(false).execute(&mut **lease).await;
            if let Some(removed) = attempts.end(removed, lease) {
                let removed = removed.map_err(failed)?.rows_affected();
                return usize::try_from(removed).map_err(StoreError::new);
            }
        }
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
