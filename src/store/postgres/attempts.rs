//! [`Attempts`]: which errors are retried, and over which connection.

use super::connections::Connections;
use super::lease::Lease;

/// How often to retry a transaction that the server rolled back because of another.
const ATTEMPTS: usize = 5;

/// The attempts at one change.
pub(super) struct Attempts<'a> {
    connections: &'a Connections,
    left: usize,
    has_changed_server: bool,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(connections: &'a Connections) -> Self {
        Self { connections, left: ATTEMPTS - 1, has_changed_server: false }
    }

    /// Returns the connection of an attempt to the pool, and returns the result unless another attempt
    /// follows.
    pub(super) fn end<T>(
        &mut self,
        outcome: sqlx::Result<T>,
        lease: Lease,
    ) -> Option<sqlx::Result<T>> {
        match outcome {
            Err(error) if is_read_only(&error) => {
                // A server that makes no changes is no longer the primary, unless the role may not
                // change anything: new connections lead to the current one.
                lease.close();
                self.connections.turn_over();
                let again = !std::mem::replace(&mut self.has_changed_server, true);
                (!again).then_some(Err(error))
            }
            Err(error) if gave_way(&error) && self.left > 0 => {
                lease.give_back();
                self.left -= 1;
                None
            }
            outcome => {
                lease.give_back();
                Some(outcome)
            }
        }
    }
}

/// Tells whether the server rolled a transaction back because of another: `serialization_failure`,
/// `deadlock_detected`, or `foreign_key_violation` of a key that was used and has been removed meanwhile.
fn gave_way(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("40001" | "40P01" | "23503"))
}

/// Tells whether the server makes no changes: `read_only_sql_transaction`.
fn is_read_only(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("25006")
}

fn code(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}
