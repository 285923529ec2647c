//! Counting the keys of a tenant, for a bounded change.

use std::sync::LazyLock;

use super::RedisStore;
use super::draft::Counted;
use super::list::{STEP, exact};
use super::read::ReadScript;
use crate::key::TenantId;
use crate::store::{KeyBound, StoreError, TenantFilter};

static COUNT: LazyLock<ReadScript> = LazyLock::new(|| ReadScript::new(include_str!("count.lua")));

/// How many places were visited, the last of them, how many keys count, and what a tenant has.
type Answer = (usize, String, u64, String, u64);

impl RedisStore {
    /// Counts the keys of a tenant, in steps between which the server answers others.
    pub(super) async fn count(
        &self,
        tenant: &TenantId,
        bound: &KeyBound,
    ) -> Result<Counted, StoreError> {
        let index = self.index(&TenantFilter::Of(tenant.clone()));
        let mut from = "+".to_owned();
        let (mut keys, mut before) = (0, None);
        loop {
            let answer = COUNT.run(&self.management, |call| {
                call.key(index.clone()).key(self.ids()).key(self.revisions());
                call.arg(self.name("key:")).arg(&from).arg(STEP.1);
                call.arg(exact(bound.at)).arg(tenant.as_str());
            });
            let (visited, last, counted, revision, places): Answer = answer.await?;
            keys += counted;
            let (revision, places) = before.take().unwrap_or((revision, places));
            // Counting can stop once there are more than allowed.
            if visited < STEP.1 || keys > bound.at_most {
                return Ok(Counted { keys, revision, places });
            }
            before = Some((revision, places));
            from = format!("({last}");
        }
    }
}
