//! Revoking all keys of a tenant.

use std::sync::Arc;

use super::attempts::Plan;
use super::authority::Authority;
use super::turns::Errand;
use super::{Excess, KeyManager, ManageError};
use crate::key::TenantId;
use crate::store::{
    CommitError, KeyPage, KeyQuery, KeyRecord, KeyState, Propagation, TenantFilter,
};

/// The most keys that one commit revokes.
const BATCH: usize = 200;

/// The states of keys that were not revoked.
const STATES: [KeyState; 4] =
    [KeyState::Active, KeyState::Suspended, KeyState::Disabled, KeyState::Expired];

/// The outcome of [`KeyManager::revoke_all`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevokedTenant {
    /// The number of keys that this call revoked.
    pub revoked: usize,
    /// When other nodes see the changes. This node sees them at once.
    pub propagation: Propagation,
}

impl KeyManager {
    /// Revokes all keys of a tenant, also keys that are issued in the meantime. Keys that can manage keys are
    /// revoked first: keys with an ability on `api-keys` or on everything.
    ///
    /// [Suspend](Self::suspend) the tenant first: that ends all of its access at once, and no new keys are
    /// issued.
    ///
    /// Keys are revoked in batches, each with its audit events in one commit. `progress` is called after each
    /// batch with the number of keys revoked so far. If the call fails or its future is dropped, earlier batches
    /// stay revoked; call it again to continue. The [deadline](Self::deadline) applies to each batch.
    ///
    /// A [user of the tenant](super::Owner::of_tenant) may call it on its own behalf. A key may not, because it
    /// would revoke itself before the end.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails, or if the [owner](Self::on_behalf_of) may not revoke all keys of the
    /// tenant.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// keys.issue(NewKey::named("nightly import").tenant("acme")).await?;
    /// let tenant = "acme".parse()?;
    /// keys.suspend(&tenant).await?;
    /// let revoked = keys.revoke_all(&tenant, |revoked| eprintln!("{revoked} keys …")).await?;
    /// assert_eq!(revoked.revoked, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn revoke_all(
        &self,
        tenant: &TenantId,
        mut progress: impl FnMut(usize) + Send,
    ) -> Result<RevokedTenant, ManageError> {
        let mut revoked = 0;
        let mut note = |batch: usize| {
            revoked += batch;
            if batch > 0 {
                progress(revoked);
            }
        };
        // Before the other keys, so that they issue no more keys. Keys issued meanwhile are found below.
        for state in STATES {
            self.revoke_those_that_manage(tenant, state, &mut note).await?;
        }
        loop {
            let mut found = 0;
            for state in STATES {
                found += self.revoke_those_in(tenant, state, &mut note).await?;
            }
            // A key that was missed in one state may be in another state by now.
            if found == 0 {
                break;
            }
        }
        Ok(RevokedTenant { revoked, propagation: self.settings.repository.propagation() })
    }

    /// Revokes the keys in a state that can manage keys. It changes no other keys, so the later pages stay the
    /// same.
    async fn revoke_those_that_manage(
        &self,
        tenant: &TenantId,
        state: KeyState,
        note: &mut (impl FnMut(usize) + Send),
    ) -> Result<(), ManageError> {
        let mut query = KeyQuery::new().tenant(tenant.clone()).state(state).limit(1000);
        loop {
            let page = self.in_time(self.page_of(tenant, &query)).await?;
            let records = page.keys.into_iter().map(|key| key.record);
            let managing: Vec<_> = records.filter(|record| can_manage(record)).collect();
            for batch in managing.chunks(BATCH) {
                note(self.in_time(self.revoke_batch(tenant, batch)).await?);
            }
            let Some(next) = page.next else { return Ok(()) };
            query = query.after(next);
        }
    }

    /// Revokes all keys in a state, and returns how many were found.
    async fn revoke_those_in(
        &self,
        tenant: &TenantId,
        state: KeyState,
        note: &mut (impl FnMut(usize) + Send),
    ) -> Result<usize, ManageError> {
        let mut query = KeyQuery::new().tenant(tenant.clone()).state(state).limit(BATCH);
        let mut found = 0;
        loop {
            // Reads the same page again: the keys that were on it are in another state now.
            let page = self.in_time(self.page_of(tenant, &query)).await?;
            if page.keys.is_empty() {
                // An empty page need not be the last: the store visits only so many keys.
                let Some(next) = page.next else { return Ok(found) };
                query = query.after(next);
                continue;
            }
            found += page.keys.len();
            let batch: Vec<_> = page.keys.into_iter().map(|key| key.record).collect();
            let revoked = self.in_time(self.revoke_batch(tenant, &batch)).await?;
            note(revoked);
            if revoked == 0 {
                // Other calls revoke the same keys, or the list is stale.
                Errand::Revoke.pause(usize::MAX).await;
            }
        }
    }

    async fn page_of(&self, tenant: &TenantId, query: &KeyQuery) -> Result<KeyPage, ManageError> {
        self.authority_over(tenant).await?;
        let query = KeyQuery { at: self.settings.clock.now(), ..query.clone() };
        Ok(self.settings.repository.list(&query).await?)
    }

    /// Revokes keys in one commit, or one by one if one of them is changed in the meantime. Returns how many
    /// were revoked.
    async fn revoke_batch(
        &self,
        tenant: &TenantId,
        records: &[Arc<KeyRecord>],
    ) -> Result<usize, ManageError> {
        let ids = records.iter().map(|record| record.id.clone()).collect();
        let turns = self.settings.turns.take_all(ids, Errand::Revoke).await;
        let authority = self.authority_over(tenant).await?;
        let Plan { changes, events, outcome } = self.revocation_of(records);
        match self.commit(&authority, &changes, &events).await {
            Err(CommitError::Conflict) => {}
            committed => {
                committed?;
                return Ok(outcome.len());
            }
        }
        drop(turns);
        let mut revoked = 0;
        for record in records {
            let by_itself = self.change_in_turn(&record.id, Errand::Revoke, |key, _| {
                let Plan { changes, events, outcome } = self.revocation_of([&key.record]);
                Ok(Plan { changes, events, outcome: outcome.len() })
            });
            match by_itself.await {
                Ok(number) => revoked += number,
                // The key was removed in between.
                Err(ManageError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(revoked)
    }

    /// Returns the authority of the owner, if it may change all keys of a tenant.
    async fn authority_over(&self, tenant: &TenantId) -> Result<Authority, ManageError> {
        let authority = self.authority().await?;
        if authority.is_of_key() {
            return Err(Excess::Tenants.into());
        }
        match authority.visible(TenantFilter::Of(tenant.clone())).matches(Some(tenant)) {
            true => Ok(authority),
            false => Err(Excess::Tenant.into()),
        }
    }
}

/// Returns whether a key may be able to manage keys.
fn can_manage(record: &KeyRecord) -> bool {
    record.abilities.iter().any(|ability| {
        let resource = ability.as_str().split(':').next();
        matches!(resource, Some("*" | "api-keys"))
    })
}
