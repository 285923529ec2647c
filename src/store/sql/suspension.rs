//! Suspended tenants, as statements.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::changes::{Refusal, Step};
use super::statements::{Statement, Statements, constant};
use super::time::{from_microseconds, to_microseconds};
use super::value::Value;
use crate::key::TenantId;
use crate::store::{AuditEvent, CommitError, KeyChange, StoreError, SuspendedTenant};

impl Statements {
    /// Asks whether the tenants of new keys are not suspended.
    pub(super) fn tenants_of_new_keys(&self, changes: &[KeyChange]) -> impl Iterator<Item = Step> {
        let new = changes.iter().filter(|change| matches!(change, KeyChange::Insert(_)));
        let tenants: BTreeSet<_> = new.filter_map(|new| new.record().tenant.clone()).collect();
        let suspensions = self.tables.suspensions();
        let sql = constant(format!(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM {suspensions} WHERE tenant = $1)"
        ));
        tenants.into_iter().map(move |tenant| Step {
            statement: Statement { sql: sql.clone(), values: vec![text(&tenant)] },
            finds: true,
            is_common: true,
            rows: 1,
            refusal: Refusal::Suspended,
        })
    }

    /// Suspends a tenant or resumes it; no row is changed if that was done before. The events follow.
    pub(in crate::store) fn set_suspended(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
        events: &[AuditEvent],
    ) -> Result<(Statement, Vec<Step>), CommitError> {
        let suspensions = self.tables.suspensions();
        let (sql, values) = match since {
            Some(since) => {
                let since = to_microseconds(since).map_err(StoreError::answered)?;
                let insert = format!(
                    "INSERT INTO {suspensions} (tenant, suspended_at) VALUES ($1, $2) \
                     ON CONFLICT DO NOTHING"
                );
                (insert, vec![text(tenant), Value::Time(Some(since))])
            }
            None => {
                let delete = format!("DELETE FROM {suspensions} WHERE tenant = $1");
                (delete, vec![text(tenant)])
            }
        };
        Ok((Statement { sql: constant(sql), values }, self.steps(&[], events)?))
    }

    /// Lists the suspended tenants.
    pub(in crate::store) fn suspended(&self) -> Statement {
        let suspensions = self.tables.suspensions();
        let sql = format!("SELECT tenant, suspended_at FROM {suspensions} ORDER BY tenant");
        Statement { sql: constant(sql), values: Vec::new() }
    }
}

/// Reads a suspended tenant.
pub(in crate::store) fn read_suspended(
    tenant: &str,
    since: i64,
) -> Result<SuspendedTenant, StoreError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        StoreError::answered(format!("the suspended tenant {tenant:?} cannot be read: {error}"))
    };
    let id = tenant.parse().map_err(|error| unreadable(&error))?;
    let since = from_microseconds(since).map_err(|error| unreadable(&error))?;
    Ok(SuspendedTenant::new(id, since))
}

fn text(tenant: &TenantId) -> Value {
    Value::Text(Some(tenant.as_str().to_owned()))
}
