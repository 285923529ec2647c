//! Which migrations a database needs, and which nodes may work without them.
//!
//! The migrator of `sqlx` does not fit: over SQLite it takes no lock, so that two processes that start
//! at once both create the tables. Over PostgreSQL its lock belongs to the session, which a pooler such
//! as PgBouncer splits. And it asks for the right to create tables even if there is nothing to do.
//!
//! A migration adds (*expand*), and keeps what previous versions read and write, so that nodes of both
//! work at the same time. A later migration removes what no version needs any more (*contract*). The
//! table of migrations has two numbers for that: `version`, the oldest version whose code may use the
//! tables (the largest counts); and `level`, the version to which they were migrated since. The
//! first version of this crate knows only `version`, so it also starts over expanded tables.

use thiserror::Error;

use super::Tables;

/// A step from one version of the tables to the next. The first makes version 1 of version 0, which
/// has no tables.
pub(in crate::store) struct Migration {
    /// Returns the script. Released scripts never change.
    pub(in crate::store) script: fn(&Tables) -> String,
    /// The oldest version whose code may use the tables afterwards.
    pub(in crate::store) oldest: i64,
}

/// A migration, and the version that it makes.
pub(in crate::store) struct PendingMigration {
    version: i64,
    migration: &'static Migration,
}

impl PendingMigration {
    /// Returns the statements to run in one transaction.
    pub(in crate::store) fn script(&self, tables: &Tables) -> String {
        let Self { version, migration: Migration { script, oldest } } = self;
        let (script, migrations) = (script(tables), tables.migrations());
        let note =
            format!("INSERT INTO {migrations} (version) VALUES ({oldest}) ON CONFLICT DO NOTHING;");
        if oldest == version {
            return format!("{script}\n{note}");
        }
        format!(
            "{script}\n{note}\nUPDATE {migrations} SET level = {version} WHERE version = {oldest};"
        )
    }
}

/// How far tables were migrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Found {
    /// The version of the tables.
    pub(in crate::store) version: i64,
    /// The oldest version whose code may use them.
    pub(in crate::store) oldest: i64,
}

impl Found {
    /// There are no tables.
    pub(in crate::store) const NOTHING: Self = Self { version: 0, oldest: 0 };

    /// Returns the statement that selects the oldest version and the version of the tables, for a table
    /// of migrations with these columns.
    pub(in crate::store) fn statement(columns: &[String], tables: &Tables) -> String {
        let level = if columns.iter().any(|column| column == "level") {
            "coalesce(level, version)"
        } else {
            "version"
        };
        format!(
            "SELECT coalesce(max(version), 0), coalesce(max({level}), 0) FROM {}",
            tables.migrations()
        )
    }
}

impl From<(i64, i64)> for Found {
    /// Creates it from the result of the [statement](Self::statement).
    fn from((oldest, level): (i64, i64)) -> Self {
        Self { version: level.max(oldest), oldest }
    }
}

/// The error of a database with a version that this crate cannot use.
///
/// It is the source of the [`StoreError`](crate::StoreError) of opening the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TablesError {
    /// A newer version of this crate migrated the tables incompatibly. The found version, and the
    /// newest known one.
    #[error(
        "the tables for API keys are of version {0}, and this version of tower-api-key knows \
         those up to {1}: use the newer version of tower-api-key that migrated them"
    )]
    Newer(i64, i64),
    /// The tables have to be created or migrated, which is not allowed here. The found version (0 is
    /// none), and the needed one.
    #[error(
        "the tables for API keys are of version {0} (0: there are none), version {1} is needed, \
         and migrating them is not allowed here: run `api-keys init` first"
    )]
    Older(i64, i64),
}

/// Returns the migrations that a database needs. It needs none if a newer crate migrated it compatibly.
///
/// # Errors
///
/// Returns an error if a newer crate migrated the database incompatibly, or if it needs migrations and
/// may not be migrated.
pub(in crate::store) fn pending(
    migrations: &'static [Migration],
    found: Found,
    may_migrate: bool,
) -> Result<Vec<PendingMigration>, TablesError> {
    let all = (1..).zip(migrations);
    let pending: Vec<_> = all
        .filter(|(version, _)| *version > found.version)
        .map(|(version, migration)| PendingMigration { version, migration })
        .collect();
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found.oldest > known {
        Err(TablesError::Newer(found.version, known))
    } else if !may_migrate && !pending.is_empty() {
        Err(TablesError::Older(found.version, known))
    } else {
        Ok(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FOUR: [Migration; 4] = [
        Migration { script: |_| "create".to_owned(), oldest: 1 },
        Migration { script: |_| "expand".to_owned(), oldest: 1 },
        Migration { script: |_| "contract".to_owned(), oldest: 2 },
        Migration { script: |_| "break".to_owned(), oldest: 4 },
    ];

    fn versions(known: usize, found: (i64, i64), may: bool) -> Result<Vec<i64>, TablesError> {
        let pending = pending(&FOUR[..known], found.into(), may)?;
        Ok(pending.into_iter().map(|pending| pending.version).collect())
    }

    #[test]
    fn what_is_missing_is_pending() {
        assert_eq!(versions(2, (0, 0), true), Ok(vec![1, 2]));
        assert_eq!(versions(2, (1, 1), true), Ok(vec![2]));
        assert_eq!(versions(2, (1, 2), false), Ok(vec![]));
        assert_eq!(versions(2, (1, 1), false), Err(TablesError::Older(1, 2)));
    }

    #[test]
    fn code_goes_on_over_newer_tables_unless_they_are_too_new_for_it() {
        for may_migrate in [true, false] {
            assert_eq!(versions(1, (1, 2), may_migrate), Ok(vec![]));
            assert_eq!(versions(2, (2, 3), may_migrate), Ok(vec![]));
            assert_eq!(versions(1, (2, 3), may_migrate), Err(TablesError::Newer(3, 1)));
            assert_eq!(versions(3, (4, 4), may_migrate), Err(TablesError::Newer(4, 3)));
            // Of a version that knew no levels.
            assert_eq!(versions(2, (7, 7), may_migrate), Err(TablesError::Newer(7, 2)));
        }
    }

    #[test]
    fn a_migration_notes_who_may_go_on() {
        let tables = Tables::new(None, "").unwrap();
        let notes: Vec<_> = pending(&FOUR, Found::NOTHING, true)
            .unwrap()
            .iter()
            .map(|pending| pending.script(&tables).replace("\"api_key_migrations\"", "m"))
            .collect();
        let insert = |version: i64| {
            format!("INSERT INTO m (version) VALUES ({version}) ON CONFLICT DO NOTHING;")
        };
        let update = |level: i64, version: i64| {
            format!("UPDATE m SET level = {level} WHERE version = {version};")
        };
        assert_eq!(notes[0], format!("create\n{}", insert(1)));
        assert_eq!(notes[1], format!("expand\n{}\n{}", insert(1), update(2, 1)));
        assert_eq!(notes[2], format!("contract\n{}\n{}", insert(2), update(3, 2)));
        assert_eq!(notes[3], format!("break\n{}", insert(4)));
    }
}
