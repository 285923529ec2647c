//! Where records are kept.

mod key_store;
mod memory;
mod new_key;
mod record;

pub use self::key_store::{KeyStore, StoreError};
pub use self::memory::{MemoryStore, UpdateError};
pub use self::new_key::{IssuedKey, NewKey};
pub use self::record::KeyRecord;

pub(crate) use self::memory::FirstBytes;
