//! Which migrations a database needs.
//!
//! `sqlx` has a migrator, which does not fit here: over SQLite it takes no lock, so that two
//! processes that start at once both create the tables; over PostgreSQL its lock belongs to the
//! session, which a pooler such as PgBouncer takes apart; and it asks for the right to create
//! tables even where there is nothing to do.

use thiserror::Error;

use super::Tables;

/// Returns the script of a migration. The first makes version 1 of version 0, which has no
/// tables. Scripts that were released are never changed.
pub(in crate::store) type Migration = fn(&Tables) -> String;

/// The error of a database that is not of the version that this crate knows.
///
/// It is the source of the [`StoreError`](crate::StoreError) of who opened the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TablesError {
    /// A newer version of this crate migrated the tables. The version that was found, and the
    /// newest that is known.
    #[error(
        "the tables for API keys are of version {0}, and this version of tower-api-key knows \
         those up to {1}: a newer one migrated them"
    )]
    Newer(i64, i64),
    /// The tables need to be made or migrated, which is not allowed here. The version that was
    /// found, of which 0 is none, and the one that is needed.
    #[error(
        "the tables for API keys are of version {0} (0: there are none), version {1} is needed, \
         and migrating them is not allowed here"
    )]
    Older(i64, i64),
}

/// Returns the migrations that a database of version `found` needs, each with the version that it
/// makes.
///
/// # Errors
///
/// Returns an error if a newer crate migrated the database, or if it needs migrations and may not
/// be migrated.
pub(in crate::store) fn pending(
    migrations: &'static [Migration],
    found: i64,
    may_migrate: bool,
) -> Result<Vec<(i64, Migration)>, TablesError> {
    let versions = (1..).zip(migrations.iter().copied());
    let pending: Vec<_> = versions.filter(|(version, _)| *version > found).collect();
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        Err(TablesError::Newer(found, known))
    } else if !may_migrate && !pending.is_empty() {
        Err(TablesError::Older(found, known))
    } else {
        Ok(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_pending() {
        static TWO: [Migration; 2] = [|_| "one".to_owned(), |_| "two".to_owned()];
        let versions = |found, may_migrate| {
            let pending = pending(&TWO, found, may_migrate)?;
            Ok(pending.into_iter().map(|(version, _)| version).collect::<Vec<_>>())
        };
        assert_eq!(versions(0, true), Ok(vec![1, 2]));
        assert_eq!(versions(1, true), Ok(vec![2]));
        assert_eq!(versions(2, false), Ok(vec![]));
        assert_eq!(versions(1, false), Err(TablesError::Older(1, 2)));
        assert_eq!(versions(3, true), Err(TablesError::Newer(3, 2)));
    }
}
