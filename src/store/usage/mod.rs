//! [`UsageStore`]: storing how often keys were used.

mod batch;
mod counts;
mod days;
mod hours;
mod query;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

pub use self::batch::{KeyUsage, UsageBatch, UsageRetention};
pub use self::counts::{UsageCounts, UsageKind};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use self::days::DayCounts;
pub(crate) use self::days::{Block, DAYS, additions, put_in_order};
#[cfg(feature = "redis")]
pub(crate) use self::hours::HOURS_PER_DAY;
pub(crate) use self::hours::Hour;
pub use self::query::{UsageBucket, UsageByKeyQuery, UsageOf, UsageQuery, UsageStep, UsageSums};
use super::{RecordUses, StoreError};
use crate::key::KeyId;

/// Stores usage: how many requests of each key were accepted and refused, by the hour in UTC.
///
/// # Contract
///
/// * **Separate.** No record and no revision changes. Usage is in tables or hashes of its own.
/// * **Once.** A [batch](UsageBatch) is added completely or not at all. It is added once, even if it is sent
///   again because its future was dropped or its answer was lost.
/// * **Summed up.** Several nodes may add usage at the same time.
/// * **Kept.** Usage outlives the record of its key, until the retention removes it.
///
/// The feature `testing` has a suite that checks a store against this contract.
#[async_trait]
pub trait UsageStore: RecordUses {
    /// Adds a batch to the stored usage, unless it was added before.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not known whether the batch was added. The caller may then send it again.
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError>;

    /// Returns the hours or days with usage, the oldest first.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError>;

    /// Returns the hours or days with usage of each of several keys, the oldest first. Keys without usage are
    /// left out, and so are requests on behalf of other tenants.
    ///
    /// It takes about as long as for one key: a database gets one query.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
    async fn usage_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError>;

    /// Returns how many requests of each of several keys were accepted and refused, without the reasons, by hours
    /// or days, the oldest first.
    ///
    /// This is [`usage_by_key`](Self::usage_by_key) for lists with a line of usage beside each key. A store
    /// that overrides it reads and sends less: the stores of this crate keep the days of a key together, 32 in a
    /// row, and a database returns one row for each key. They return such days until all days of the row are older
    /// than the retention.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
    async fn sums_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageSums>>, StoreError> {
        Ok(sums_of(self.usage_by_key(query).await?))
    }

    /// Sums up old hours to days, and deletes old days, by the age at `now`. It stops after about `at_most`
    /// rows of each kind, so that nothing waits long for it. Several nodes may call it at the same time.
    ///
    /// Returns how many rows were deleted. If that is `at_most` or more, call it again: there may be others.
    /// A store in which usage expires by itself has nothing to do.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
    async fn prune_usage(
        &self,
        retention: UsageRetention,
        now: SystemTime,
        at_most: u32,
    ) -> Result<u64, StoreError>;
}

/// Leaves out the reasons.
pub(crate) fn sums_of(found: BTreeMap<KeyId, Vec<UsageBucket>>) -> BTreeMap<KeyId, Vec<UsageSums>> {
    let sums = |buckets: Vec<UsageBucket>| buckets.iter().map(UsageSums::from).collect();
    found.into_iter().map(|(id, buckets)| (id, sums(buckets))).collect()
}

macro_rules! forward_to_the_inner_store {
    ($pointer:ident) => {
        // By hand, because `#[async_trait]` would box the futures a second time.
        impl<T: UsageStore + ?Sized> UsageStore for $pointer<T> {
            fn add_usage<'a, 'b, 'c>(
                &'a self,
                batch: &'b UsageBatch,
            ) -> BoxFuture<'c, Result<(), StoreError>>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).add_usage(batch)
            }

            fn usage<'a, 'b, 'c>(
                &'a self,
                query: &'b UsageQuery,
            ) -> BoxFuture<'c, Result<Vec<UsageBucket>, StoreError>>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).usage(query)
            }

            fn usage_by_key<'a, 'b, 'c>(
                &'a self,
                query: &'b UsageByKeyQuery,
            ) -> BoxFuture<'c, Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError>>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).usage_by_key(query)
            }

            fn sums_by_key<'a, 'b, 'c>(
                &'a self,
                query: &'b UsageByKeyQuery,
            ) -> BoxFuture<'c, Result<BTreeMap<KeyId, Vec<UsageSums>>, StoreError>>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).sums_by_key(query)
            }

            fn prune_usage<'a, 'b>(
                &'a self,
                retention: UsageRetention,
                now: SystemTime,
                at_most: u32,
            ) -> BoxFuture<'b, Result<u64, StoreError>>
            where
                'a: 'b,
                Self: 'b,
            {
                (**self).prune_usage(retention, now, at_most)
            }
        }
    };
}

forward_to_the_inner_store!(Arc);
forward_to_the_inner_store!(Box);

const _: Option<Arc<dyn UsageStore>> = None;
