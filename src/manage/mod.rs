//! The rules for the life of a key, from issue to revocation, over any
//! [repository](crate::store::KeyRepository).

mod authority;
mod change;
mod error;
mod issue;
mod manager;
mod name;
mod prune;
mod rotate;
mod update;

#[cfg(feature = "tracing")]
mod trace_events;
#[cfg(feature = "serde")]
mod view;

pub use self::change::ChangedKey;
pub use self::error::ManageError;
pub use self::manager::KeyManager;
pub use self::rotate::RotatedKey;
#[cfg(feature = "tracing")]
pub use self::trace_events::TraceEvents;
pub use self::update::KeyUpdate;
#[cfg(feature = "serde")]
pub use self::view::KeyView;
