//! Errors of databases.

use std::error::Error;
use std::fmt;

use thiserror::Error;

use crate::store::StoreError;

/// Wraps the error of a database.
pub(in crate::store) fn failed(error: sqlx::Error) -> StoreError {
    if is_outage(&error) {
        StoreError::new(DatabaseError(error))
    } else {
        StoreError::answered(DatabaseError(error))
    }
}

/// Tells whether a database was not reached, or could not answer because of its state.
fn is_outage(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};

    let Database(error) = error else {
        let was_lost = matches!(error, Io(_) | Protocol(_) | Tls(_) | WorkerCrashed);
        return was_lost || matches!(error, PoolClosed | PoolTimedOut);
    };
    let code = error.code().unwrap_or_default();
    match code.parse::<u32>() {
        // SQLite: busy, locked, an input or output that failed, a file that cannot be opened.
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6 | 10 | 14),
        // PostgreSQL: connections, resources, shutdown, the system.
        _ => ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)),
    }
}

/// An error of `sqlx` whose `Debug` is its message: PostgreSQL's errors contain values of the refused
/// row, such as the digest, in their details.
struct DatabaseError(sqlx::Error);

impl fmt::Debug for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseError({:?})", self.0.to_string())
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for DatabaseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // Not the error itself, whose `Debug` this type hides.
        self.0.source()
    }
}

/// The error of a row that is not a record. Nothing is known of its key, so no restriction may be
/// assumed absent.
#[derive(Debug, Error)]
#[error("the row of key {id:?} cannot be read: `{column}`: {source}")]
pub(super) struct UnreadableRow {
    pub(super) id: Box<str>,
    pub(super) column: &'static str,
    pub(super) source: Box<dyn Error + Send + Sync>,
}

/// The error of a record that cannot be a row.
#[derive(Debug, Error)]
#[error("the record of key {id:?} cannot be kept: {reason}")]
pub(super) struct UnwritableRecord {
    pub(super) id: Box<str>,
    pub(super) reason: Box<str>,
}

#[cfg(all(test, feature = "cache"))]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_cannot_be_read_is_no_outage() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        for outage in [lost(), sqlx::Error::PoolTimedOut, sqlx::Error::WorkerCrashed] {
            assert!(failed(outage).is_outage());
        }
        let unreadable = || sqlx::Error::Decode("an infinite time".into());
        for answer in [unreadable(), sqlx::Error::ColumnNotFound("id".to_owned())] {
            assert!(!failed(answer).is_outage());
        }
    }
}
