//! What goes wrong in a database.

use std::error::Error;
use std::fmt;

use thiserror::Error;

use crate::store::StoreError;

/// Wraps the error of a database.
pub(in crate::store) fn failed(error: sqlx::Error) -> StoreError {
    StoreError::new(DatabaseError(error))
}

/// An error of `sqlx` whose `Debug` is its message: PostgreSQL's errors have the values of the
/// refused row, such as the digest, in their details.
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
        // Not the error itself, whose `Debug` is what this type is there to hide.
        self.0.source()
    }
}

/// The error of a row that is no record: nothing is known of its key then, least of all that it
/// has fewer restrictions.
#[derive(Debug, Error)]
#[error("the row of key {id:?} cannot be read: `{column}`: {source}")]
pub(super) struct UnreadableRow {
    pub(super) id: Box<str>,
    pub(super) column: &'static str,
    pub(super) source: Box<dyn Error + Send + Sync>,
}

/// The error of a record that no row can keep.
#[derive(Debug, Error)]
#[error("the record of key {id:?} cannot be kept: {reason}")]
pub(super) struct UnwritableRecord {
    pub(super) id: Box<str>,
    pub(super) reason: Box<str>,
}
