//! Changes as the statements of a transaction.

use super::row::KeyRow;
use super::statements::{Statement, Statements};
use super::time::to_microseconds;
use super::value::Value;
use crate::store::audit::without_digest;
use crate::store::{AuditEvent, CommitError, KeyChange, KeyRecord, StoreError};

/// A statement that changes or finds one row, or else the transaction is over.
pub(in crate::store) struct Step {
    pub(in crate::store) statement: Statement,
    /// Whether it finds a row.
    pub(in crate::store) finds: bool,
    pub(super) refusal: fn() -> CommitError,
}

impl Step {
    /// Judges by how many rows were changed or found.
    pub(in crate::store) fn check(&self, rows: u64) -> Result<(), CommitError> {
        if rows == 1 { Ok(()) } else { Err((self.refusal)()) }
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
        let tenants = self.tenants_of_new_keys(changes).map(Ok);
        let changes = changes.iter().map(|change| self.change(change));
        let events = events.iter().map(|event| Ok(self.event(event)?));
        tenants.chain(changes).chain(events).collect()
    }

    fn change(&self, change: &KeyChange) -> Result<Step, CommitError> {
        let (sql, record, refusal): (_, _, fn() -> _) = match change {
            KeyChange::Insert(record) => (&self.insert, record, || CommitError::Exists),
            KeyChange::Replace(record) => (&self.replace, record, || CommitError::Conflict),
            KeyChange::Remove(record) => (&self.remove, record, || CommitError::Conflict),
            KeyChange::Require(record) => (&self.require, record, || CommitError::Conflict),
            KeyChange::Unknown(_) => return Err(CommitError::Unsupported),
        };
        let values = match change {
            KeyChange::Remove(_) | KeyChange::Require(_) => identity(record),
            _ => KeyRow::of(record)?.into_values(),
        };
        let statement = Statement { sql: sql.clone(), values };
        Ok(Step { statement, finds: change.is_requirement(), refusal })
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
        let refusal = || StoreError::new("an event was not kept").into();
        Ok(Step { statement, finds: false, refusal })
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
