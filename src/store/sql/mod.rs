//! The shared parts of the stores for SQL databases: tables, statements, and rows of records.

mod audit;
mod changes;
mod ended;
mod error;
mod list;
mod migration;
mod row;
mod statements;
mod suspension;
mod tables;
mod time;
pub(super) mod usage;
pub(super) mod usage_days;
mod value;

pub(super) use self::audit::{AuditRow, index_events};
pub(super) use self::changes::Step;
pub(super) use self::ended::index_ends;
pub(super) use self::error::failed;
pub use self::migration::TablesError;
pub(super) use self::migration::{Found, Migration, pending};
pub(super) use self::row::{KeyRow, place};
pub(super) use self::statements::{Dialect, Statement, Statements, constant, in_order};
pub(super) use self::suspension::read_suspended;
pub(super) use self::tables::Tables;
#[cfg(feature = "postgres")]
pub(super) use self::tables::quoted;
#[cfg(feature = "postgres")]
pub(super) use self::time::{from_microseconds, to_microseconds};
pub(super) use self::value::Value;
