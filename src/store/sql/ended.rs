//! The keys that ended: listed, and the index for that.

use super::Tables;
use super::list::Filter;
use super::statements::{Statement, Statements, constant, selected};
use super::time::not_before;
use super::value::Value;
use crate::store::{EndPlace, EndedQuery, StoreError};

/// When a key ends. The index over it has the same expression.
const ENDS_AT: &str = "coalesce(revoked_at, expires_at)";

/// Adds the indexes for pruning, of all keys and of one tenant's keys. Keys that never end are not in
/// them.
pub(in crate::store) fn index_ends(tables: &Tables) -> String {
    let keys = tables.keys();
    let indexes = [("api_keys_ended", ""), ("api_keys_ended_by_tenant", "tenant, ")];
    let create = indexes.map(|(name, tenant)| {
        let index = tables.part(name);
        format!(
            "CREATE INDEX {index} ON {keys} ({tenant}({ENDS_AT}), id) WHERE {ENDS_AT} IS NOT NULL;"
        )
    });
    create.join("\n")
}

impl Statements {
    /// Lists the rows of keys that ended, the earliest first, by the index of when keys end.
    ///
    /// # Errors
    ///
    /// Returns an error if the cursor is not of this store.
    pub(in crate::store) fn ended(&self, query: &EndedQuery) -> Result<Statement, StoreError> {
        let mut filter = Filter::default();
        let before = filter.bind(Value::Time(Some(not_before(query.before))));
        filter.add(format!("{ENDS_AT} < {before}"));
        filter.add_tenant(&query.tenant);
        if let Some(EndPlace { at, id }) = query.after_place().map_err(StoreError::answered)? {
            let at = i64::try_from(at).map_err(StoreError::answered)?;
            let at = filter.bind(Value::Time(Some(at)));
            let id = filter.bind(Value::Text(Some(id.as_str().to_owned())));
            // The first condition is the one for which SQLite uses the index.
            filter.add(format!("{ENDS_AT} >= {at} AND ({ENDS_AT} > {at} OR id > {id})"));
        }
        let limit = i64::try_from(query.page_size()).unwrap_or(i64::MAX);
        let limit = filter.bind(Value::Number(limit));
        let (columns, keys, filters) =
            (selected(&self.tables), self.tables.keys(), filter.conditions());
        let sql =
            format!("SELECT {columns} FROM {keys}{filters} ORDER BY {ENDS_AT}, id LIMIT {limit}");
        Ok(Statement { sql: constant(sql), values: filter.values })
    }
}
