//! The statements, which differ between databases only in the types of their values and in the dialect.

#[cfg(feature = "sqlite")]
use std::collections::BTreeMap;
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

/// The differences between the databases.
#[derive(Clone, Copy)]
pub(in crate::store) struct Dialect {
    /// The time of issue, as in the indexes by tenant, and how a time is compared with it.
    pub(in crate::store) age_of_tenant: &'static str,
    pub(in crate::store) time_of_tenant: fn(String) -> String,
    /// The text after the name of a table that names the index to use, if the database supports it.
    pub(in crate::store) by_index: fn(&str) -> String,
    /// The end of a `SELECT` that locks its row until the transaction ends, in a database with concurrent
    /// writers.
    pub(in crate::store) locking: &'static str,
    /// The name with `A` to `Z` as `a` to `z`, and nothing else changed.
    pub(in crate::store) lower_name: &'static str,
    /// The function that finds a text in another.
    pub(in crate::store) position: &'static str,
    /// Whether a text can have a zero byte.
    pub(in crate::store) keeps_zero: bool,
}

/// The effect of a statement on each of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Insert,
    Replace,
    Remove,
    Require,
    /// Stores an event.
    Note,
}

/// The statements over some tables. No text of a user is in them: the names of the tables are
/// checked and quoted, and all else is bound.
pub(in crate::store) struct Statements {
    pub(in crate::store) tables: Tables,
    pub(super) dialect: Dialect,
    find: SqlStr,
    get: SqlStr,
    insert: SqlStr,
    replace: SqlStr,
    remove: SqlStr,
    require: SqlStr,
    audit: SqlStr,
    /// Writes the parameter of a number, in statements of many rows.
    parameter: fn(usize) -> String,
}

const AUDIT_COLUMNS: &str = "at, actor, action, key_id, tenant, before, after";

impl Statements {
    pub(in crate::store) fn new(tables: Tables, dialect: Dialect) -> Self {
        let locking = dialect.locking;
        let (keys, audit) = (tables.keys(), tables.audit());
        let selected = selected(&tables);
        let columns = COLUMNS.join(", ");
        let values: Vec<_> = (1..=COLUMNS.len()).map(|number| format!("${number}")).collect();
        // The id and the digest never change.
        let changes = COLUMNS.iter().zip(&values).skip(2);
        let changes: Vec<_> =
            changes.map(|(column, value)| format!("{column} = {value}")).collect();
        Self {
            find: constant(format!("SELECT {selected} FROM {keys} WHERE digest = $1")),
            get: constant(format!("{} WHERE id = $1", select_with_use(&tables, &keys))),
            insert: constant(format!(
                "INSERT INTO {keys} ({columns}) VALUES ({}) ON CONFLICT DO NOTHING",
                values.join(", ")
            )),
            replace: constant(format!(
                "UPDATE {keys} SET {} WHERE {}",
                changes.join(", "),
                replaceable(&tables, numbered)
            )),
            remove: constant(format!("DELETE FROM {keys} WHERE {}", unchanged(numbered))),
            require: constant(format!(
                "SELECT id FROM {keys} WHERE {}{locking}",
                required(&tables, numbered)
            )),
            audit: constant(format!(
                "INSERT INTO {audit} ({AUDIT_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)"
            )),
            tables,
            dialect,
            parameter: numbered,
        }
    }

    /// Uses parameters without numbers in statements of many rows: SQLite compares each `$1` with all
    /// others, so its time grows with the square of their number.
    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn with_plain_parameters(self) -> Self {
        Self { parameter: |_| "?".to_owned(), ..self }
    }

    /// Returns the statement that does something with one row.
    pub(super) const fn one(&self, verb: Verb) -> &SqlStr {
        match verb {
            Verb::Insert => &self.insert,
            Verb::Replace => &self.replace,
            Verb::Remove => &self.remove,
            Verb::Require => &self.require,
            Verb::Note => &self.audit,
        }
    }

    /// Returns a statement that does the same with `count` rows of so many values.
    ///
    /// The columns of `VALUES` are called `column1` and so on, in every database.
    pub(super) fn many(&self, verb: Verb, count: usize, width: usize) -> SqlStr {
        let (keys, audit) = (self.tables.keys(), self.tables.audit());
        let row = |row: usize| {
            let row = row * width;
            let numbers = (row + 1..=row + width).map(self.parameter);
            format!("({})", numbers.collect::<Vec<_>>().join(", "))
        };
        let rows = (0..count).map(row).collect::<Vec<_>>().join(", ");
        let columns = COLUMNS.join(", ");
        let given = |number| format!("given.column{number}");
        constant(match verb {
            Verb::Insert => {
                format!("INSERT INTO {keys} ({columns}) VALUES {rows} ON CONFLICT DO NOTHING")
            }
            Verb::Replace => {
                let changes = (1..).zip(COLUMNS).skip(2);
                let changes: Vec<_> = changes
                    .map(|(number, column)| format!("{column} = {}", given(number)))
                    .collect();
                format!(
                    "UPDATE {keys} SET {} FROM (VALUES {rows}) AS given WHERE {}",
                    changes.join(", "),
                    replaceable(&self.tables, given)
                )
            }
            // Not `(id, …) IN (VALUES …)`, for which SQLite reads the whole table.
            Verb::Remove => format!(
                "DELETE FROM {keys} WHERE id IN \
                 (SELECT id FROM (VALUES {rows}) AS given JOIN {keys} ON {})",
                unchanged(given)
            ),
            // Others cannot change the rows: those of several keys were locked before.
            Verb::Require => format!(
                "SELECT id FROM (VALUES {rows}) AS given JOIN {keys} ON {}",
                required(&self.tables, given)
            ),
            Verb::Note => format!("INSERT INTO {audit} ({AUDIT_COLUMNS}) VALUES {rows}"),
        })
    }

    /// Finds the row of a digest.
    pub(in crate::store) fn find(&self, digest: &KeyDigest) -> Statement {
        let digest = Value::Bytes(digest.as_bytes().to_vec());
        Statement { sql: self.find.clone(), values: vec![digest] }
    }

    /// Finds the rows of several digests, in any order, by as few statements as the databases allow. They
    /// are not kept prepared, because they have many forms.
    pub(in crate::store) fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> impl Iterator<Item = Statement> {
        digests.chunks(MOST).map(|digests| self.find_some(digests))
    }

    fn find_some(&self, digests: &[KeyDigest]) -> Statement {
        let (columns, keys) = (selected(&self.tables), self.tables.keys());
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
    #[cfg(feature = "postgres")]
    pub(in crate::store) fn note(
        &self,
        uses: &[KeyUse],
        sql: fn(&Tables) -> String,
    ) -> Result<Statement, StoreError> {
        let ids = uses.iter().map(|used| used.id.to_string()).collect();
        let times = uses.iter().map(|used| to_microseconds(used.at));
        let times = times.collect::<Result<_, _>>().map_err(StoreError::answered)?;
        let values = vec![Value::Texts(ids), Value::Times(times)];
        Ok(Statement { sql: constant(sql(&self.tables)), values })
    }

    /// Notes uses by a statement over one object of JSON, which has the last time of each id.
    ///
    /// # Errors
    ///
    /// Returns an error if a time cannot be kept.
    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn note_object(
        &self,
        uses: &[KeyUse],
        sql: fn(&Tables) -> String,
    ) -> Result<Statement, StoreError> {
        let mut last = BTreeMap::new();
        for KeyUse { id, at } in uses {
            let at = to_microseconds(*at).map_err(StoreError::answered)?;
            last.entry(id.as_str())
                .and_modify(|last: &mut i64| *last = at.max(*last))
                .or_insert(at);
        }
        let object = serde_json::to_string(&last).map_err(StoreError::new)?;
        let values = vec![Value::Json(Some(object))];
        Ok(Statement { sql: constant(sql(&self.tables)), values })
    }

    /// Finds the row of an id, with `last_used_at`.
    pub(in crate::store) fn get(&self, id: &KeyId) -> Statement {
        let id = Value::Text(Some(id.as_str().to_owned()));
        Statement { sql: self.get.clone(), values: vec![id] }
    }
}

fn numbered(number: usize) -> String {
    format!("${number}")
}

/// Returns the condition for replacing a row by values, one for each column. It is the same for one row and
/// for many.
fn replaceable(tables: &Tables, value: impl Fn(usize) -> String) -> String {
    let (id, digest, revision) = (value(1), value(2), value(18));
    let (tenant, revoked_at, disabled) = (value(5), value(11), value(12));
    let (keys, suspensions) = (tables.keys(), tables.suspensions());
    // The revision implies the condition after it, unless the trigger that counts revisions is disabled:
    // no revocation is undone even then. Keys of a suspended tenant can only be revoked or disabled.
    format!(
        "id = {id} AND digest = {digest} AND revision = {revision} - 1 \
         AND (revoked_at IS NULL OR revoked_at = {revoked_at}) \
         AND ({revoked_at} IS NOT NULL OR ({disabled} AND NOT disabled) OR NOT EXISTS \
         (SELECT 1 FROM {suspensions} AS s WHERE s.tenant IN ({keys}.tenant, {tenant})))"
    )
}

/// Returns the condition for a row at the revision of three values.
fn unchanged(value: impl Fn(usize) -> String) -> String {
    format!("id = {} AND digest = {} AND revision = {}", value(1), value(2), value(3))
}

/// Returns the condition for a row at the revision of three values, whose tenant is not suspended.
fn required(tables: &Tables, value: impl Fn(usize) -> String) -> String {
    format!("{} AND NOT {}", unchanged(value), is_suspended(tables))
}

/// Returns the found records, in the order of the digests.
pub(in crate::store) fn in_order(
    digests: &[KeyDigest],
    found: impl IntoIterator<Item = Arc<KeyRecord>>,
) -> Vec<Option<Arc<KeyRecord>>> {
    let found: HashMap<_, _> = found.into_iter().map(|record| (record.digest, record)).collect();
    digests.iter().map(|digest| found.get(digest).cloned()).collect()
}

/// Returns the selected columns of a row of keys.
pub(super) fn selected(tables: &Tables) -> String {
    format!("{}, {} AS suspended", COLUMNS.join(", "), is_suspended(tables))
}

/// Tells whether the tenant of a row of keys is suspended, by one probe of an index.
///
/// Not by `EXISTS`, which PostgreSQL may make a join of that goes through more rows than a page has, and
/// not by `IS NULL`, which it takes for rare: it then sorts what it would have found in order.
pub(super) fn is_suspended(tables: &Tables) -> String {
    let (keys, suspensions) = (tables.keys(), tables.suspensions());
    format!("coalesce((SELECT TRUE FROM {suspensions} AS s WHERE s.tenant = {keys}.tenant), FALSE)")
}

/// Selects rows of the table of keys, with `last_used_at`.
pub(super) fn select_with_use(tables: &Tables, keys: &str) -> String {
    let (columns, uses) = (selected(tables), tables.uses());
    // A subquery, since a join of a long list may read all uses first.
    let used = format!("(SELECT last_used_at FROM {uses} WHERE key_id = id)");
    format!("SELECT {columns}, {used} AS last_used_at FROM {keys}")
}

/// Marks a statement that contains no text of a user.
pub(in crate::store) fn constant(sql: String) -> SqlStr {
    // Shared, so that a clone copies nothing.
    AssertSqlSafe(Arc::<str>::from(sql)).into_sql_str()
}

#[cfg(test)]
impl Statements {
    pub(super) fn of_no_database() -> Self {
        let dialect = Dialect {
            age_of_tenant: "created_at",
            time_of_tenant: |time| time,
            by_index: |_| String::new(),
            locking: "",
            lower_name: "lower(name)",
            position: "instr",
            keeps_zero: true,
        };
        Self::new(Tables::new(None, "").unwrap(), dialect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_name_the_columns_that_they_mean() {
        assert_eq!(
            (COLUMNS[0], COLUMNS[1], COLUMNS[4], COLUMNS[10], COLUMNS[11], COLUMNS[17]),
            ("id", "digest", "tenant", "revoked_at", "disabled", "revision")
        );
    }

    #[test]
    fn many_are_found_by_one_statement_and_very_many_by_a_few() {
        let statements = Statements::of_no_database();
        for (digests, expected) in
            [(0, &[][..]), (1, &[1]), (100, &[100]), (2001, &[1000, 1000, 1])]
        {
            let digests = vec![KeyDigest::from_bytes([7; 32]); digests];
            let values = statements.find_many(&digests).map(|find| find.values.len());
            assert_eq!(values.collect::<Vec<_>>(), expected);
        }
    }
}
