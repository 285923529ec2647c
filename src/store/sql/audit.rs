//! The table of events: read, pruned and indexed.

use std::time::SystemTime;

use serde_json::Value as Json;

use super::Tables;
use super::list::Filter;
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
    /// Reads a page of events, and one more.
    pub(in crate::store) fn events(&self, query: &AuditQuery) -> Statement {
        let mut filter = Filter::default();
        filter.add_tenant(&query.tenant);
        if let Some(actor) = &query.actor {
            filter.add_text("actor", &actor.to_string());
        }
        if let Some(id) = &query.key_id {
            // A key has fewer events than a tenant or an actor, which SQLite cannot know.
            filter.use_no_index();
            filter.add_text("key_id", id.as_str());
        }
        for (operator, time) in [(">=", query.since), ("<", query.until)] {
            if let Some(time) = time {
                let time = filter.bind(Value::Time(Some(not_before(time))));
                filter.add(format!("at {operator} {time}"));
            }
        }
        let (after, order) = if query.newest_first { ("<", "DESC") } else { (">", "ASC") };
        if let Some(cursor) = &query.after {
            let at = filter.bind(Value::Time(Some(not_before(cursor.at()))));
            let id = filter.bind(Value::Number(cursor.number()));
            filter.add(format!("(at, id) {after} ({at}, {id})"));
        }
        let limit = i64::try_from(query.page_size() + 1).unwrap_or(i64::MAX);
        let limit = filter.bind(Value::Number(limit));
        let (audit, filters) = (self.tables.audit(), filter.conditions());
        let sql = format!(
            "SELECT id, at, actor, action, key_id, tenant, before, after FROM {audit}{filters} \
             ORDER BY at {order}, id {order} LIMIT {limit}"
        );
        Statement { sql: constant(sql), values: filter.values }
    }

    /// Removes the oldest events before a time, up to a number.
    pub(in crate::store) fn remove_events(&self, before: SystemTime, at_most: usize) -> Statement {
        let audit = self.tables.audit();
        let limit = i64::try_from(at_most).unwrap_or(i64::MAX);
        let values = vec![Value::Time(Some(not_before(before))), Value::Number(limit)];
        let sql = format!(
            "DELETE FROM {audit} WHERE id IN \
             (SELECT id FROM {audit} WHERE at < $1 ORDER BY at, id LIMIT $2)"
        );
        Statement { sql: constant(sql), values }
    }
}

/// Adds an index for each way in which events are asked for. The one over keys takes the place of the
/// one that was in the order of numbers.
pub(in crate::store) fn index_events(tables: &Tables) -> String {
    let (audit, old) = (tables.audit(), tables.name("api_key_audit_by_key"));
    let indexes = [
        ("api_key_audit_by_time", "at, id"),
        ("api_key_audit_by_tenant", "tenant, at, id"),
        ("api_key_audit_by_actor", "actor, at, id"),
        ("api_key_audit_of_key", "key_id, at, id"),
    ];
    let create = indexes.map(|(name, columns)| {
        format!("CREATE INDEX {} ON {audit} ({columns});", tables.part(name))
    });
    format!("{}\nDROP INDEX IF EXISTS {old};", create.join("\n"))
}

impl AuditRow {
    /// # Errors
    ///
    /// Returns an error that names the event if it does not have the form that this crate writes.
    pub(in crate::store) fn read(self) -> Result<AuditEntry, StoreError> {
        let unreadable = |column: &str, error: &dyn std::fmt::Display| {
            StoreError::answered(format!("event {}: `{column}` cannot be read: {error}", self.id))
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
