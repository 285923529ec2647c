//! [`KeyManager`]: issuing, listing, changing, rotating and revoking keys in any
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
mod import;
mod issue;
mod issue_all;
#[cfg(feature = "leaks")]
pub mod leaks;
mod manager;
mod name;
#[cfg(feature = "manage")]
mod once;
mod owner;
#[cfg(feature = "pages")]
pub mod pages;
mod prune;
mod read;
mod revoke;
mod revoke_all;
mod rotate;
mod suspend;
mod turns;
mod update;
mod usage;

#[cfg(feature = "tracing")]
mod trace_events;
#[cfg(feature = "serde")]
mod usage_view;
#[cfg(feature = "serde")]
mod view;

pub use self::change::ChangedKey;
pub use self::error::ManageError;
pub use self::excess::Excess;
pub use self::import::{ImportOutcome, ImportRefusal, Importer};
pub use self::issue_all::IssueAllError;
pub use self::manager::KeyManager;
pub use self::owner::Owner;
pub use self::prune::PruneProgress;
pub use self::revoke::RevokedKey;
pub use self::revoke_all::RevokedTenant;
pub use self::rotate::RotatedKey;
pub use self::suspend::ChangedTenant;
#[cfg(feature = "tracing")]
pub use self::trace_events::TraceEvents;
pub use self::update::KeyUpdate;
pub use self::usage::{Usage, UsagePeriod};
#[cfg(feature = "serde")]
pub use self::usage_view::{BucketView, CountsView, UsageView};
#[cfg(feature = "serde")]
pub use self::view::KeyView;
