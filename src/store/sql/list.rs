//! A list as statements that each visit a bounded number of rows.
//!
//! The rows of an index are the *scope* of a query: the rows of a tenant, or the revoked ones. If
//! every row of the scope matches, one statement is enough. If the query has other conditions, such as a
//! part of the name, rows are visited window by window: one statement finds the last row of a window, by the
//! index alone, and the next one lists the matching rows up to it. So the number of visited rows is bounded
//! even if rows are inserted or removed in between, and an aborted page continues where its window ended.

use super::statements::{Dialect, Statement, Statements, constant, is_suspended, select_with_use};
use super::time::{not_after, not_before};
use super::value::Value;
use crate::store::{KeyCursor, KeyPage, KeyQuery, KeyState, StoredKey, TenantFilter};

/// How many rows the first window has: enough where most rows match. The second has the rest.
const FIRST_WINDOW: usize = 1000;

/// A running list.
pub(in crate::store) struct List<'a> {
    statements: &'a Statements,
    query: &'a KeyQuery,
    /// The place after which the next window begins.
    after: Option<KeyCursor>,
    /// How many rows may still be visited.
    left: usize,
    keys: Vec<StoredKey>,
}

impl Statements {
    /// Lists the rows that a query matches.
    pub(in crate::store) fn list<'a>(&'a self, query: &'a KeyQuery) -> List<'a> {
        let (after, left) = (query.after.clone(), query.visits());
        List { statements: self, query, after, left, keys: Vec::new() }
    }
}

impl List<'_> {
    /// Returns the statement that says in which row the next window ends, if it has to be asked. It
    /// finds no row if no more are left than fit in the window.
    pub(in crate::store) fn window(&self) -> Option<Statement> {
        if self.is_exact() {
            return None;
        }
        let mut filter = self.scope();
        let last = i64::try_from(self.size() - 1).unwrap_or(i64::MAX);
        let last = filter.bind(Value::Number(last));
        let keys = self.table();
        let (filters, order) = (filter.conditions(), self.order());
        let sql =
            format!("SELECT created_at, id FROM {keys}{filters} {order} LIMIT 1 OFFSET {last}");
        Some(Statement { sql: constant(sql), values: filter.values })
    }

    /// Returns the statement that lists the rows up to the end of the window, one more than the page
    /// has if there are so many, with `last_used_at`.
    pub(in crate::store) fn rows(&self, end: Option<&KeyCursor>) -> Statement {
        let mut filter = self.scope();
        self.add_rest(&mut filter);
        if let Some(end) = end {
            self.add_place(&mut filter, ">=", place(end));
        }
        let limit = self.query.page_size() + 1 - self.keys.len();
        let limit = filter.bind(Value::Number(i64::try_from(limit).unwrap_or(i64::MAX)));
        let (filters, order) = (filter.conditions(), self.order());
        let select = select_with_use(&self.statements.tables, &self.table());
        let sql = format!("{select}{filters} {order} LIMIT {limit}");
        Statement { sql: constant(sql), values: filter.values }
    }

    /// Takes the rows of a window, and returns the page unless it needs another window.
    pub(in crate::store) fn take(
        &mut self,
        rows: Vec<StoredKey>,
        end: Option<KeyCursor>,
    ) -> Option<KeyPage> {
        self.keys.extend(rows);
        self.left -= self.size();
        if self.keys.len() <= self.query.page_size() && end.is_some() && self.left > 0 {
            self.after = end;
            return None;
        }
        Some(self.query.page(std::mem::take(&mut self.keys), end))
    }

    /// Returns the time of issue, as in the indexes by which the keys of these tenants are listed.
    fn age(&self) -> &'static str {
        match self.query.tenant {
            TenantFilter::Any => "created_at",
            _ => self.statements.dialect.age_of_tenant,
        }
    }

    fn order(&self) -> String {
        // With the tenant, although it is the same for all rows: PostgreSQL does not know that of rows
        // without a tenant.
        let tenant = if self.query.tenant == TenantFilter::Any { "" } else { "tenant, " };
        format!("ORDER BY {tenant}{} DESC, id DESC", self.age())
    }

    /// Tells whether every visited row matches.
    fn is_exact(&self) -> bool {
        let mut filter = self.scope();
        let conditions = filter.conditions.len();
        self.add_rest(&mut filter);
        filter.conditions.len() == conditions
    }

    /// Returns how many rows the next window has.
    fn size(&self) -> usize {
        let is_first = self.left == self.query.visits();
        if is_first { self.left.min(FIRST_WINDOW) } else { self.left }
    }

    /// Selects the visited rows, by the columns of an index.
    fn scope(&self) -> Filter {
        let mut filter = Filter::default();
        filter.add_tenant(&self.query.tenant);
        filter.conditions.extend(self.kept_apart().iter().map(|condition| (*condition).to_owned()));
        if let Some(place) = self.start() {
            self.add_place(&mut filter, "<", place);
        }
        filter
    }

    /// Returns the partial index that has the fewest rows for the query, and its conditions.
    fn partial(&self) -> Option<(&'static str, &'static [&'static str])> {
        Some(match self.query.state {
            Some(KeyState::Revoked) => ("revoked", &["revoked_at IS NOT NULL"]),
            Some(KeyState::Disabled) => ("disabled", &["revoked_at IS NULL", "disabled"]),
            _ if self.query.rotation_due_by.is_some() => {
                ("rotating", &["rotation_due_at IS NOT NULL"])
            }
            Some(KeyState::Expired) => {
                ("expiring", &["revoked_at IS NULL", "expires_at IS NOT NULL"])
            }
            Some(KeyState::Active | KeyState::Suspended)
                if self.query.tenant != TenantFilter::Any =>
            {
                ("not_revoked", &["revoked_at IS NULL"])
            }
            _ => return None,
        })
    }

    fn kept_apart(&self) -> &'static [&'static str] {
        self.partial().map_or(&[], |(_, conditions)| conditions)
    }

    /// Names the table, and the index if the database accepts that. Otherwise, if several indexes fit, such
    /// as those of disabled keys and of keys that are not revoked, it may use the one with more rows.
    fn table(&self) -> String {
        let Statements { tables, dialect, .. } = self.statements;
        let is_of_tenant = self.query.tenant != TenantFilter::Any;
        let index = match (self.partial(), is_of_tenant) {
            (None, false) => "by_age".to_owned(),
            (None, true) => "by_tenant".to_owned(),
            (Some((name, _)), false) => name.to_owned(),
            (Some((name, _)), true) => format!("{name}_by_tenant"),
        };
        let index = tables.part(&format!("api_keys_{index}"));
        format!("{}{}", tables.keys(), (dialect.by_index)(&index))
    }

    /// Returns where visiting begins, as the values of the columns: behind the cursor, and where keys
    /// have to be unused for some time, not before those that are so old.
    fn start(&self) -> Option<(i64, String)> {
        let after = self.after.as_ref().map(place);
        let oldest = self.query.unused_since.map(|time| (not_before(time), String::new()));
        match (after, oldest) {
            (Some(after), Some(oldest)) => Some(after.min(oldest)),
            (after, oldest) => after.or(oldest),
        }
    }

    /// Selects the rows on one side of a place.
    fn add_place(&self, filter: &mut Filter, side: &str, (time, id): (i64, String)) {
        let mut time = filter.bind(Value::Time(Some(time)));
        if self.query.tenant != TenantFilter::Any {
            time = (self.statements.dialect.time_of_tenant)(time);
        }
        let id = filter.bind(Value::Text(Some(id)));
        filter.add(format!("({}, id) {side} ({time}, {id})", self.age()));
    }

    /// Adds the other conditions of the query.
    fn add_rest(&self, filter: &mut Filter) {
        let query = self.query;
        if let Some(state) = query.state {
            filter.add_state(state, not_after(query.at), self.kept_apart());
            let is_suspended = is_suspended(&self.statements.tables);
            match state {
                KeyState::Active => filter.add(format!("NOT {is_suspended}")),
                KeyState::Suspended => filter.add(is_suspended),
                KeyState::Revoked | KeyState::Disabled | KeyState::Expired => {}
            }
        }
        if let Some(part) = &query.name {
            filter.add_name(part, self.statements.dialect);
        }
        if let Some(stage) = &query.stage {
            filter.add_text("stage", stage.as_str());
        }
        if let Some(kind) = query.kind {
            filter.add_text("kind", &kind.to_string());
        }
        if let Some(actor) = &query.created_by {
            filter.add_text("created_by", &actor.to_string());
        }
        if let Some(time) = query.unused_since {
            let time = filter.bind(Value::Time(Some(not_before(time))));
            let uses = self.statements.tables.uses();
            // A subquery, which runs for each visited row, and is never joined as a whole.
            filter.add(format!(
                "((SELECT last_used_at FROM {uses} WHERE key_id = id) < {time}) IS NOT FALSE"
            ));
        }
        if let Some(time) = query.rotation_due_by {
            let time = filter.bind(Value::Time(Some(not_after(time))));
            filter.add(format!("rotation_due_at <= {time}"));
        }
    }
}

/// Returns a place as the values of the columns.
fn place(cursor: &KeyCursor) -> (i64, String) {
    (not_before(cursor.created_at()), cursor.id().as_str().to_owned())
}

/// The conditions of a statement, and the values that they are about.
#[derive(Default)]
pub(super) struct Filter {
    conditions: Vec<String>,
    pub(super) values: Vec<Value>,
}

impl Filter {
    pub(super) fn add(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    /// Prevents that an index is used for the conditions so far.
    pub(super) fn use_no_index(&mut self) {
        for condition in &mut self.conditions {
            *condition = format!("({condition}) IS TRUE");
        }
    }

    pub(super) fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    pub(super) fn add_text(&mut self, column: &str, text: &str) {
        let text = self.bind(Value::Text(Some(text.to_owned())));
        self.add(format!("{column} = {text}"));
    }

    pub(super) fn add_tenant(&mut self, tenant: &TenantFilter) {
        match tenant {
            TenantFilter::Any => {}
            TenantFilter::Of(tenant) => self.add_text("tenant", tenant.as_str()),
            TenantFilter::Nobody => self.add("tenant IS NULL"),
        }
    }

    fn add_name(&mut self, part: &str, dialect: Dialect) {
        if part.contains('\0') && !dialect.keeps_zero {
            return self.add("1 = 0");
        }
        let part = self.bind(Value::Text(Some(part.to_ascii_lowercase())));
        self.add(format!("{}({}, {part}) > 0", dialect.position, dialect.lower_name));
    }

    /// Adds the conditions of [`KeyRecord::state`](crate::KeyRecord::state), except those in `said` and
    /// that of the tenant.
    fn add_state(&mut self, state: KeyState, at: i64, said: &[&str]) {
        let conditions: &[&str] = match state {
            KeyState::Revoked => &["revoked_at IS NOT NULL"],
            KeyState::Disabled => &["revoked_at IS NULL", "disabled"],
            KeyState::Expired | KeyState::Active | KeyState::Suspended => {
                &["revoked_at IS NULL", "NOT disabled"]
            }
        };
        let rest = conditions.iter().filter(|condition| !said.contains(condition));
        rest.for_each(|condition| self.add(*condition));
        if matches!(state, KeyState::Revoked | KeyState::Disabled) {
            return;
        }
        let at = self.bind(Value::Time(Some(at)));
        self.add(match state {
            KeyState::Expired => format!("expires_at <= {at}"),
            _ => format!("(expires_at IS NULL OR expires_at > {at})"),
        });
    }

    pub(super) fn conditions(&self) -> String {
        if self.conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.conditions.join(" AND "))
        }
    }
}
