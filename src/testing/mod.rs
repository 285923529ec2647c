//! Test helpers for servers and stores (feature `testing`).

mod act_as;
mod conformance;
mod fake_clock;
#[cfg(feature = "policy")]
mod policy;
mod repository;
mod verified_key;

pub use self::act_as::{ActAs, ActAsService};
pub use self::conformance::{check_key_store, check_key_store_without};
pub use self::fake_clock::FakeClock;
#[cfg(feature = "policy")]
pub use self::policy::assert_policy_covers;
pub use self::repository::{
    check_key_repository, check_key_repository_without, check_record_uses,
    check_record_uses_without, check_usage_store,
};
pub use self::verified_key::verified_key;
