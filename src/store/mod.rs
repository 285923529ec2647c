//! Stores of key records, and the traits that they implement.

mod actor;
mod audit;
mod audit_log;
#[cfg(feature = "cache")]
pub(crate) mod cached;
mod commit_error;
mod cursor;
mod editions;
mod ended;
mod hint;
#[cfg(feature = "cache")]
mod invalidation;
#[cfg(feature = "serde")]
mod json_lines_audit;
mod key_change;
mod key_changes;
pub(crate) mod key_repository;
pub(crate) mod key_store;
mod list_ended;
pub(crate) mod memory;
mod moment;
pub(crate) mod new_key;
mod or_store;
mod pool;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod public_text;
pub(crate) mod query;
pub(crate) mod record;
mod record_field;
mod record_uses;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod share;
mod size;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
mod state;
mod suspension;
mod terms;
mod token;
mod usage;
mod way;

pub use self::actor::{Actor, ActorName, ActorNameError, ParseActorError};
pub use self::audit::{AuditAction, AuditEvent, AuditSink};
pub use self::audit_log::{AuditCursor, AuditEntry, AuditPage, AuditQuery};
#[cfg(feature = "cache")]
pub use self::cached::CachedStoreBuilder;
pub use self::commit_error::CommitError;
pub use self::cursor::{KeyCursor, ParseCursorError};
pub use self::ended::{EndedCursor, EndedPage, EndedQuery};
pub use self::hint::KeyHint;
#[cfg(feature = "cache")]
pub use self::invalidation::{Invalidation, InvalidationSource, Subscription};
#[cfg(feature = "serde")]
pub use self::json_lines_audit::JsonLinesAudit;
pub use self::key_change::{KeyBound, KeyChange};
pub use self::key_changes::KeyChanges;
pub use self::key_repository::Propagation;
pub use self::memory::DuplicateRecord;
pub use self::or_store::{KeyStoreExt, OrStore};
#[cfg(all(feature = "postgres", feature = "cache"))]
pub use self::postgres::PostgresInvalidations;
#[cfg(feature = "postgres")]
pub use self::postgres::PostgresStoreBuilder;
#[cfg(feature = "pages")]
pub(crate) use self::public_text::public_text;
pub use self::query::{KeyPage, StoredKey, TenantFilter};
pub use self::record_field::RecordField;
pub use self::record_uses::{KeyUse, RecordUses};
#[cfg(all(feature = "redis", feature = "cache"))]
pub use self::redis::RedisInvalidations;
#[cfg(feature = "redis")]
pub use self::redis::RedisStoreBuilder;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::sql::TablesError;
#[cfg(all(feature = "sqlite", feature = "cache"))]
pub use self::sqlite::SqliteInvalidations;
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteStoreBuilder;
pub use self::state::KeyState;
pub use self::suspension::SuspendedTenant;
pub use self::token::Token;
pub use self::usage::{
    KeyUsage, UsageBatch, UsageBucket, UsageByKeyQuery, UsageCounts, UsageKind, UsageOf,
    UsageQuery, UsageRetention, UsageStep, UsageStore, UsageSums,
};

// Documented at the crate root, where users import them from.
#[cfg(feature = "cache")]
#[doc(hidden)]
pub use self::cached::CachedStore;
#[doc(hidden)]
pub use self::key_repository::KeyRepository;
#[doc(hidden)]
pub use self::key_store::{KeyStore, StoreError};
#[doc(hidden)]
pub use self::memory::MemoryStore;
#[doc(hidden)]
pub use self::new_key::{IssuedKey, NewKey};
#[cfg(feature = "postgres")]
#[doc(hidden)]
pub use self::postgres::PostgresStore;
#[doc(hidden)]
pub use self::query::KeyQuery;
#[doc(hidden)]
pub use self::record::KeyRecord;
#[cfg(feature = "redis")]
#[doc(hidden)]
pub use self::redis::RedisStore;
#[cfg(feature = "sqlite")]
#[doc(hidden)]
pub use self::sqlite::SqliteStore;

#[cfg(all(test, feature = "manage"))]
pub(crate) use self::audit::without_digest;
pub(crate) use self::ended::EndPlace;
pub(crate) use self::key_changes::Listen;
#[cfg(feature = "cache")]
pub(crate) use self::memory::{ByDigest, FirstBytes};
pub(crate) use self::size::size_of_record;
#[cfg(feature = "usage")]
pub(crate) use self::usage::Hour;
pub(crate) use self::way::{Noticing, Way, noticing};
