//! Changes as the statements of a transaction.

use super::row::KeyRow;
use super::statements::{Statement, Statements, constant};
use super::time::{not_after, to_microseconds};
use super::value::Value;
use crate::store::audit::without_digest;
use crate::store::{AuditEvent, CommitError, KeyBound, KeyChange, KeyRecord, StoreError};

/// A statement that changes or finds one row, or else the transaction is over.
pub(in crate::store) struct Step {
    pub(in crate::store) statement: Statement,
    /// Whether it finds a row.
    pub(in crate::store) finds: bool,
    refusal: Refusal,
}

/// What it means that there is no such row.
#[derive(Clone, Copy)]
enum Refusal {
    Exists,
    Conflict,
    Full(u64),
    EventLost,
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Exists => Self::Exists,
            Refusal::Conflict => Self::Conflict,
            Refusal::Full(at_most) => Self::Full(at_most),
            Refusal::EventLost => StoreError::new("an event was not kept").into(),
        }
    }
}

impl Step {
    /// Judges by how many rows were changed or found.
    pub(in crate::store) fn check(&self, rows: u64) -> Result<(), CommitError> {
        if rows == 1 { Ok(()) } else { Err(self.refusal.into()) }
    }
}

impl Statements {
    /// Returns what a transaction has to do.
    ///
    /// # Errors
    ///
    /// Returns an error, before anything is done, if a record cannot be kept or a change is of a kind
    /// that is not known.
    pub(in crate::store) fn steps(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<Vec<Step>, CommitError> {
        let changes = changes.iter().map(|change| self.change(change));
        let events = events.iter().map(|event| Ok(self.event(event)?));
        changes.chain(events).collect()
    }

    fn change(&self, change: &KeyChange) -> Result<Step, CommitError> {
        let (sql, record, refusal) = match change {
            KeyChange::Insert(record) => (&self.insert, record, Refusal::Exists),
            KeyChange::Replace(record) => (&self.replace, record, Refusal::Conflict),
            KeyChange::Remove(record) => (&self.remove, record, Refusal::Conflict),
            KeyChange::Require(record) => (&self.require, record, Refusal::Conflict),
            KeyChange::Bound(bound) => return Ok(self.bound(bound)),
            KeyChange::Unknown(_) => return Err(CommitError::Unsupported),
        };
        let values = match change {
            KeyChange::Remove(_) | KeyChange::Require(_) => identity(record),
            _ => KeyRow::of(record)?.into_values(),
        };
        let statement = Statement { sql: sql.clone(), values };
        Ok(Step { statement, finds: change.is_requirement(), refusal })
    }

    /// Finds a row if no more keys count than the bound allows, and looks at one more at most.
    fn bound(&self, bound: &KeyBound) -> Step {
        let keys = self.tables.keys();
        let sql = format!(
            "SELECT 1 WHERE (SELECT count(*) FROM (SELECT 1 FROM {keys} WHERE tenant = $1 \
             AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) LIMIT $3) AS counted) \
             < $3"
        );
        let tenant = bound.record.tenant.as_ref().map(ToString::to_string);
        let one_more = i64::try_from(bound.at_most).unwrap_or(i64::MAX).saturating_add(1);
        let values = vec![
            Value::Text(tenant),
            Value::Time(Some(not_after(bound.at))),
            Value::Number(one_more),
        ];
        let statement = Statement { sql: constant(sql), values };
        Step { statement, finds: true, refusal: Refusal::Full(bound.at_most) }
    }

    fn event(&self, event: &AuditEvent) -> Result<Step, StoreError> {
        let at = to_microseconds(event.at).map_err(StoreError::new)?;
        let text = |text: &str| Value::Text(Some(text.to_owned()));
        let values = vec![
            Value::Time(Some(at)),
            text(&event.actor.to_string()),
            text(event.action.as_str()),
            Value::Text(event.key_id().map(ToString::to_string)),
            Value::Text(event.tenant().map(ToString::to_string)),
            Value::Json(event.before.as_deref().map(json).transpose()?),
            Value::Json(event.after.as_deref().map(json).transpose()?),
        ];
        let statement = Statement { sql: self.audit.clone(), values };
        Ok(Step { statement, finds: false, refusal: Refusal::EventLost })
    }
}

/// Returns by which values a record is found that is at its revision.
fn identity(record: &KeyRecord) -> Vec<Value> {
    vec![
        Value::Text(Some(record.id.to_string())),
        Value::Bytes(record.digest.as_bytes().to_vec()),
        // No row is at a revision that is too large for one, and none at this.
        Value::Number(i64::try_from(record.revision).unwrap_or(-1)),
    ]
}

fn json(record: &KeyRecord) -> Result<String, StoreError> {
    Ok(without_digest(record).map_err(StoreError::new)?.to_string())
}
