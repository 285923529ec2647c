//! Changes as the statements of a transaction.

use serde_json::Value as Json;

use super::row::KeyRow;
use super::statements::{Statement, Statements, Value};
use super::time::to_microseconds;
use crate::store::{AuditEvent, CommitError, KeyChange, KeyRecord, StoreError};

/// A statement that changes one row, or else the transaction is over.
pub(in crate::store) struct Step {
    pub(in crate::store) statement: Statement,
    refusal: fn() -> CommitError,
}

impl Step {
    /// Judges by how many rows were changed.
    pub(in crate::store) fn check(&self, rows: u64) -> Result<(), CommitError> {
        if rows == 1 { Ok(()) } else { Err((self.refusal)()) }
    }
}

impl Statements {
    /// Returns what a transaction has to do.
    ///
    /// # Errors
    ///
    /// Returns an error, before anything is done, if a record cannot be kept.
    pub(in crate::store) fn steps(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<Vec<Step>, StoreError> {
        let changes = changes.iter().map(|change| self.change(change));
        let events = events.iter().map(|event| self.event(event));
        changes.chain(events).collect()
    }

    fn change(&self, change: &KeyChange) -> Result<Step, StoreError> {
        let (sql, record, refusal): (_, _, fn() -> _) = match change {
            KeyChange::Insert(record) => (&self.insert, record, || CommitError::Exists),
            KeyChange::Replace(record) => (&self.replace, record, || CommitError::Conflict),
            KeyChange::Remove(record) => (&self.remove, record, || CommitError::Conflict),
        };
        let row = KeyRow::of(record)?;
        let values = if let KeyChange::Remove(_) = change {
            vec![Value::Text(Some(row.id)), Value::Bytes(row.digest), Value::Number(row.revision)]
        } else {
            row.into_values()
        };
        Ok(Step { statement: Statement { sql: sql.clone(), values }, refusal })
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
            Value::Json(event.before.as_deref().map(without_digest).transpose()?),
            Value::Json(event.after.as_deref().map(without_digest).transpose()?),
        ];
        let statement = Statement { sql: self.audit.clone(), values };
        Ok(Step { statement, refusal: || StoreError::new("an event was not kept").into() })
    }
}

/// Returns a record as JSON for people: who reads the events need not know how keys are found.
fn without_digest(record: &KeyRecord) -> Result<String, StoreError> {
    let mut json = serde_json::to_value(record).map_err(StoreError::new)?;
    if let Json::Object(fields) = &mut json {
        fields.remove("digest");
    }
    Ok(json.to_string())
}
