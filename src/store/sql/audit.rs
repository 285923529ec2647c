//! The table of events, read.

use serde_json::Value as Json;

use super::statements::{Statement, Statements, constant};
use super::time::{from_microseconds, not_before};
use super::value::Value;
use crate::store::{AuditEntry, AuditQuery, StoreError};

/// An event as every database keeps it.
pub(in crate::store) struct AuditRow {
    pub(in crate::store) id: i64,
    pub(in crate::store) at: i64,
    pub(in crate::store) actor: String,
    pub(in crate::store) action: String,
    pub(in crate::store) key_id: Option<String>,
    pub(in crate::store) tenant: Option<String>,
    pub(in crate::store) before: Option<String>,
    pub(in crate::store) after: Option<String>,
}

impl Statements {
    /// Reads a page of events.
    pub(in crate::store) fn events(&self, query: &AuditQuery) -> Statement {
        let audit = self.tables.audit();
        let since = query.since.map_or(0, not_before);
        let values = vec![
            Value::Time(Some(since)),
            Value::Number(query.after.unwrap_or(i64::MIN)),
            Value::Number(query.limit.into()),
        ];
        let sql = format!(
            "SELECT id, at, actor, action, key_id, tenant, before, after FROM {audit} \
             WHERE at >= $1 AND id > $2 ORDER BY id LIMIT $3"
        );
        Statement { sql: constant(sql), values }
    }
}

impl AuditRow {
    /// # Errors
    ///
    /// Returns an error that names the event if it has not the form that this crate writes.
    pub(in crate::store) fn read(self) -> Result<AuditEntry, StoreError> {
        let unreadable = |column: &str, error: &dyn std::fmt::Display| {
            StoreError::new(format!("event {}: `{column}` cannot be read: {error}", self.id))
        };
        let json = |column: &str, text: &Option<String>| -> Result<Option<Json>, StoreError> {
            let read = text.as_deref().map(serde_json::from_str).transpose();
            read.map_err(|error| unreadable(column, &error))
        };
        let (before, after) = (json("before", &self.before)?, json("after", &self.after)?);
        let at = from_microseconds(self.at).map_err(|error| unreadable("at", &error))?;
        let Self { id, actor, action, key_id, tenant, .. } = self;
        Ok(AuditEntry { number: id, at, actor, action, key_id, tenant, before, after })
    }
}
