//! Where records are kept.

mod audit;
#[cfg(feature = "cache")]
mod invalidation;
mod key_repository;
mod key_store;
mod memory;
mod new_key;
mod query;
mod record;
mod state;

pub use self::audit::{Actor, AuditAction, AuditEvent, AuditSink};
#[cfg(feature = "cache")]
pub use self::invalidation::{Invalidation, InvalidationSource, Subscription};
pub use self::key_repository::{CommitError, KeyChange, KeyRepository, KeyUse, Propagation};
pub use self::key_store::{KeyStore, StoreError};
pub use self::memory::{MemoryStore, UpdateError};
pub use self::new_key::{IssuedKey, NewKey};
pub use self::query::{KeyCursor, KeyPage, KeyQuery, ParseCursorError, StoredKey, TenantFilter};
pub use self::record::KeyRecord;
pub use self::state::KeyState;

pub(crate) use self::memory::FirstBytes;
