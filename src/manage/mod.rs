//! The rules for the life of a key, from issue to revocation, over any
//! [repository](crate::store::KeyRepository).

#[cfg(feature = "manage")]
pub mod api;
mod attempts;
mod audit_log;
mod authority;
mod change;
mod deadline;
mod error;
mod excess;
mod issue;
mod issue_all;
mod manager;
mod name;
#[cfg(feature = "pages")]
mod once;
mod owner;
#[cfg(feature = "pages")]
pub mod pages;
mod prune;
mod read;
mod revoke;
mod rotate;
mod turns;
mod update;

#[cfg(feature = "tracing")]
mod trace_events;
#[cfg(feature = "serde")]
mod view;

pub use self::change::ChangedKey;
pub use self::error::ManageError;
pub use self::excess::Excess;
pub use self::issue_all::IssueAllError;
pub use self::manager::KeyManager;
pub use self::owner::Owner;
pub use self::prune::PruneProgress;
pub use self::revoke::RevokedKey;
pub use self::rotate::RotatedKey;
#[cfg(feature = "tracing")]
pub use self::trace_events::TraceEvents;
pub use self::update::KeyUpdate;
#[cfg(feature = "serde")]
pub use self::view::KeyView;
