//! A list as a statement.

use super::statements::{Statement, Statements, constant, is_suspended, select_with_use};
use super::time::{not_after, not_before};
use super::value::Value;
use crate::store::{KeyCursor, KeyQuery, KeyState, TenantFilter};

impl Statements {
    /// Lists the rows that a query matches, with `last_used_at`, and one more than a page has.
    pub(in crate::store) fn list(&self, query: &KeyQuery) -> Statement {
        let mut filter = Filter { conditions: Vec::new(), values: Vec::new() };
        filter.add_tenant(&query.tenant);
        if let Some(state) = query.state {
            filter.add_state(state, not_after(query.at), &is_suspended(&self.tables));
        }
        if let Some(time) = query.unused_since {
            let time = filter.bind(Value::Time(Some(not_before(time))));
            filter.add(format!("created_at < {time}"));
            filter.add(format!("(last_used_at IS NULL OR last_used_at < {time})"));
        }
        if let Some(time) = query.rotation_due_by {
            let time = filter.bind(Value::Time(Some(not_after(time))));
            filter.add(format!("rotation_due_at <= {time}"));
        }
        if let Some(after) = &query.after {
            filter.add_cursor(after);
        }
        let limit = i64::try_from(query.page_size() + 1).unwrap_or(i64::MAX);
        let limit = filter.bind(Value::Number(limit));
        let (select, filters) = (select_with_use(&self.tables), filter.conditions());
        let sql = format!("{select}{filters} ORDER BY created_at DESC, id DESC LIMIT {limit}");
        Statement { sql: constant(sql), values: filter.values }
    }
}

struct Filter {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Filter {
    fn add(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn add_tenant(&mut self, tenant: &TenantFilter) {
        match tenant {
            TenantFilter::Any => {}
            TenantFilter::Of(tenant) => {
                let tenant = self.bind(Value::Text(Some(tenant.as_str().to_owned())));
                self.add(format!("tenant = {tenant}"));
            }
            TenantFilter::Nobody => self.add("tenant IS NULL"),
        }
    }

    /// Says the same as [`KeyRecord::state`](crate::KeyRecord::state).
    fn add_state(&mut self, state: KeyState, at: i64, is_suspended: &str) {
        match state {
            KeyState::Revoked => self.add("revoked_at IS NOT NULL"),
            KeyState::Disabled => self.add("revoked_at IS NULL AND disabled"),
            KeyState::Expired => {
                let at = self.bind(Value::Time(Some(at)));
                self.add(format!("revoked_at IS NULL AND NOT disabled AND expires_at <= {at}"));
            }
            KeyState::Active | KeyState::Suspended => {
                let at = self.bind(Value::Time(Some(at)));
                self.add("revoked_at IS NULL AND NOT disabled");
                self.add(format!("(expires_at IS NULL OR expires_at > {at})"));
                let not = if state == KeyState::Active { "NOT " } else { "" };
                self.add(format!("{not}{is_suspended}"));
            }
        }
    }

    fn add_cursor(&mut self, after: &KeyCursor) {
        let created_at = self.bind(Value::Time(Some(not_before(after.created_at()))));
        let id = self.bind(Value::Text(Some(after.id().as_str().to_owned())));
        self.add(format!("(created_at, id) < ({created_at}, {id})"));
    }

    fn conditions(&self) -> String {
        if self.conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.conditions.join(" AND "))
        }
    }
}
