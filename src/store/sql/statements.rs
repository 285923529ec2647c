//! The statements, which are the same in every database but for the types of their values.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::row::COLUMNS;
use super::time::to_microseconds;
use super::{Tables, Value};
use crate::key::{KeyDigest, KeyId};
use crate::store::{KeyRecord, KeyUse, StoreError};

/// How many digests a statement has. SQLite binds 32 766 values, PostgreSQL 65 535.
const MOST: usize = 1000;

/// A statement and its values, `$1` and so on.
pub(in crate::store) struct Statement {
    pub(in crate::store) sql: SqlStr,
    pub(in crate::store) values: Vec<Value>,
}

/// What is not the same in every database.
#[derive(Clone, Copy)]
pub(in crate::store) struct Dialect {
    /// When a key was issued, as the indexes by tenant have it, and how a time is compared with that.
    pub(in crate::store) age_of_tenant: &'static str,
    pub(in crate::store) time_of_tenant: fn(String) -> String,
    /// What follows the name of a table that is to be read by an index, if that can be said.
    pub(in crate::store) by_index: fn(&str) -> String,
    /// What a `SELECT` ends with that holds its row until the transaction ends, in a database where
    /// others write meanwhile.
    pub(in crate::store) locking: &'static str,
    /// The name with `A` to `Z` as `a` to `z`, and nothing else changed.
    pub(in crate::store) lower_name: &'static str,
    /// The function that finds a text in another.
    pub(in crate::store) position: &'static str,
    /// Whether a text can have a zero byte.
    pub(in crate::store) keeps_zero: bool,
}

/// The statements over some tables. No text of a user is in them: the names of the tables are
/// checked and quoted, and all else is bound.
pub(in crate::store) struct Statements {
    pub(in crate::store) tables: Tables,
    pub(super) dialect: Dialect,
    find: SqlStr,
    get: SqlStr,
    pub(super) insert: SqlStr,
    pub(super) replace: SqlStr,
    pub(super) remove: SqlStr,
    pub(super) require: SqlStr,
    pub(super) audit: SqlStr,
}

impl Statements {
    pub(in crate::store) fn new(tables: Tables, dialect: Dialect) -> Self {
        let locking = dialect.locking;
        let (keys, audit) = (tables.keys(), tables.audit());
        let columns = COLUMNS.join(", ");
        let values: Vec<_> = (1..=COLUMNS.len()).map(|number| format!("${number}")).collect();
        // The id and the digest stay what they are.
        let changes = COLUMNS.iter().zip(&values).skip(2);
        let changes: Vec<_> =
            changes.map(|(column, value)| format!("{column} = {value}")).collect();
        Self {
            find: constant(format!("SELECT {columns} FROM {keys} WHERE digest = $1")),
            get: constant(format!("{} WHERE id = $1", select_with_use(&tables, &keys))),
            insert: constant(format!(
                "INSERT INTO {keys} ({columns}) VALUES ({}) ON CONFLICT DO NOTHING",
                values.join(", ")
            )),
            // The last condition holds by the one before, unless somebody disabled the trigger
            // that counts revisions: a revocation is not taken back even so.
            replace: constant(format!(
                "UPDATE {keys} SET {} WHERE id = $1 AND digest = $2 AND revision = $18 - 1 \
                 AND (revoked_at IS NULL OR revoked_at = $11)",
                changes.join(", ")
            )),
            remove: constant(format!(
                "DELETE FROM {keys} WHERE id = $1 AND digest = $2 AND revision = $3"
            )),
            require: constant(format!(
                "SELECT id FROM {keys} WHERE id = $1 AND digest = $2 AND revision = $3{locking}"
            )),
            audit: constant(format!(
                "INSERT INTO {audit} (at, actor, action, key_id, tenant, before, after) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)"
            )),
            tables,
            dialect,
        }
    }

    /// Finds the row of a digest.
    pub(in crate::store) fn find(&self, digest: &KeyDigest) -> Statement {
        let digest = Value::Bytes(digest.as_bytes().to_vec());
        Statement { sql: self.find.clone(), values: vec![digest] }
    }

    /// Finds the rows of several digests, in any order, by as few statements as the databases allow. Of
    /// the many forms that they may have, none is worth to be kept.
    pub(in crate::store) fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> impl Iterator<Item = Statement> {
        digests.chunks(MOST).map(|digests| self.find_some(digests))
    }

    fn find_some(&self, digests: &[KeyDigest]) -> Statement {
        let (columns, keys) = (COLUMNS.join(", "), self.tables.keys());
        let numbers: Vec<_> = (1..=digests.len()).map(|number| format!("${number}")).collect();
        let numbers = numbers.join(", ");
        let sql = format!("SELECT {columns} FROM {keys} WHERE digest IN ({numbers})");
        let values = digests.iter().map(|digest| Value::Bytes(digest.as_bytes().to_vec()));
        Statement { sql: constant(sql), values: values.collect() }
    }

    /// Notes uses by a statement over their ids and their times.
    ///
    /// # Errors
    ///
    /// Returns an error if a time cannot be kept.
    pub(in crate::store) fn note(
        &self,
        uses: &[KeyUse],
        sql: fn(&Tables) -> String,
    ) -> Result<Statement, StoreError> {
        let ids = uses.iter().map(|used| used.id.to_string()).collect();
        let times = uses.iter().map(|used| to_microseconds(used.at));
        let times = times.collect::<Result<_, _>>().map_err(StoreError::new)?;
        let values = vec![Value::Texts(ids), Value::Times(times)];
        Ok(Statement { sql: constant(sql(&self.tables)), values })
    }

    /// Finds the row of an id, with `last_used_at`.
    pub(in crate::store) fn get(&self, id: &KeyId) -> Statement {
        let id = Value::Text(Some(id.as_str().to_owned()));
        Statement { sql: self.get.clone(), values: vec![id] }
    }
}

/// Returns the records that were found, in the order of the digests that were asked for.
pub(in crate::store) fn in_order(
    digests: &[KeyDigest],
    found: impl IntoIterator<Item = Arc<KeyRecord>>,
) -> Vec<Option<Arc<KeyRecord>>> {
    let found: HashMap<_, _> = found.into_iter().map(|record| (record.digest, record)).collect();
    digests.iter().map(|digest| found.get(digest).cloned()).collect()
}

/// Selects rows of the table of keys, with `last_used_at`.
pub(super) fn select_with_use(tables: &Tables, keys: &str) -> String {
    let (columns, uses) = (COLUMNS.join(", "), tables.uses());
    // A subquery, since a join of a long list may read all uses first.
    let used = format!("(SELECT last_used_at FROM {uses} WHERE key_id = id)");
    format!("SELECT {columns}, {used} AS last_used_at FROM {keys}")
}

/// Marks a text that has no text of a user in it.
pub(in crate::store) fn constant(sql: String) -> SqlStr {
    // Shared, so that a clone copies nothing.
    AssertSqlSafe(Arc::<str>::from(sql)).into_sql_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_name_the_columns_that_they_mean() {
        assert_eq!(
            (COLUMNS[0], COLUMNS[1], COLUMNS[10], COLUMNS[17]),
            ("id", "digest", "revoked_at", "revision")
        );
    }

    #[test]
    fn many_are_found_by_one_statement_and_very_many_by_a_few() {
        let statements = Statements::new(Tables::new(None, "").unwrap(), "");
        for (digests, expected) in
            [(0, &[][..]), (1, &[1]), (100, &[100]), (2001, &[1000, 1000, 1])]
        {
            let digests = vec![KeyDigest::from_bytes([7; 32]); digests];
            let values = statements.find_many(&digests).map(|find| find.values.len());
            assert_eq!(values.collect::<Vec<_>>(), expected);
        }
    }
}
