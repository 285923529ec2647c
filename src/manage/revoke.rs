//! Revoking keys and their successors.

use std::collections::HashSet;
use std::sync::Arc;

use super::attempts::Plan;
use super::authority::Authority;
use super::deadline::Deadline;
use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::key::KeyId;
use crate::store::{
    AuditAction, CommitError, KeyChange, KeyRecord, KeyState, Propagation, StoreError, StoredKey,
    TenantFilter,
};

/// A revoked key, and the state of its successors.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RevokedKey {
    /// The record after the revocation.
    pub record: Arc<KeyRecord>,
    /// The successors that were revoked with it.
    pub revoked_successors: Vec<KeyId>,
    /// The successors that still work, the nearest first. If the store fails, the last one is a successor whose
    /// state is not known.
    ///
    /// [`revoke_with_successors`](KeyManager::revoke_with_successors) revokes all of them.
    pub working_successors: Vec<KeyId>,
    /// When other nodes see the change. This node sees it at once.
    pub propagation: Propagation,
}

impl KeyManager {
    /// Revokes a key. This cannot be undone. Revoking a revoked key changes nothing.
    ///
    /// The key is refused on this node at once, and on other nodes as
    /// [`propagation`](RevokedKey::propagation) says. All nodes of the same repository refuse further changes on
    /// its [behalf](Self::on_behalf_of). Keys that were issued on its behalf before stay.
    ///
    /// If the key was rotated, its successor still works, and is listed in
    /// [`working_successors`](RevokedKey::working_successors).
    ///
    /// A revocation goes ahead of other changes of the key that wait in this manager and its clones.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such key, if the store fails or takes too long, or if other nodes keep
    /// changing the key. After a failure or a conflict, the key may or may not be revoked: try again.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::SystemTime;
    ///
    /// use tower_api_key::store::KeyState;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// let revoked = keys.revoke(issued.record.id()).await?;
    /// assert_eq!(revoked.record.state(SystemTime::now()), KeyState::Revoked);
    /// assert!(revoked.working_successors.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn revoke(&self, id: &KeyId) -> Result<RevokedKey, ManageError> {
        self.revoke_until(self.begin(), id).await
    }

    /// Revokes a key and all its successors: the key that replaced it, the key that replaced that key, and so
    /// on. Either all of them are revoked, or none.
    ///
    /// Keys that this key replaced are not revoked. Successors that the [owner](Self::on_behalf_of) does not see
    /// are not revoked either.
    ///
    /// # Errors
    ///
    /// Like [`revoke`](Self::revoke).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// let rotated = keys.rotate(issued.record.id(), Duration::from_secs(3600)).await?;
    /// let revoked = keys.revoke_with_successors(issued.record.id()).await?;
    /// assert_eq!(revoked.revoked_successors, [rotated.record.id().clone()]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn revoke_with_successors(&self, id: &KeyId) -> Result<RevokedKey, ManageError> {
        self.in_time(self.revoke_chain(id)).await
    }

    /// Revokes the key with this secret, such as a leaked key.
    ///
    /// # Errors
    ///
    /// Like [`revoke`](Self::revoke).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, ManageError, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// let revoked = keys.revoke_presented(issued.secret.reveal()).await?;
    /// assert_eq!(revoked.record.id(), issued.record.id());
    /// let unknown = keys.revoke_presented("not a key").await;
    /// assert!(matches!(unknown, Err(ManageError::NotFound)));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn revoke_presented(&self, secret: &str) -> Result<RevokedKey, ManageError> {
        let deadline = self.begin();
        let id = deadline.bound(self.presented(secret)).await?;
        self.revoke_until(deadline, &id).await
    }

    /// Revokes the key with this secret and all its successors.
    ///
    /// # Errors
    ///
    /// Like [`revoke_with_successors`](Self::revoke_with_successors).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// keys.rotate(issued.record.id(), Duration::from_secs(3600)).await?;
    /// let revoked = keys.revoke_presented_with_successors(issued.secret.reveal()).await?;
    /// assert_eq!(revoked.revoked_successors.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn revoke_presented_with_successors(
        &self,
        secret: &str,
    ) -> Result<RevokedKey, ManageError> {
        let revoked = async { self.revoke_chain(&self.presented(secret).await?).await };
        self.in_time(revoked).await
    }

    pub(super) async fn presented(&self, secret: &str) -> Result<KeyId, ManageError> {
        for digest in self.settings.scheme.digests(secret) {
            if let Some(record) = self.settings.repository.find_stored(&digest).await? {
                return Ok(record.id.clone());
            }
        }
        Err(ManageError::NotFound)
    }

    async fn revoke_until(
        &self,
        deadline: Deadline,
        id: &KeyId,
    ) -> Result<RevokedKey, ManageError> {
        let revoked = self.change_in_turn(id, Errand::Revoke, |key, authority| {
            let visible = authority.visible(TenantFilter::Any);
            let Plan { changes, events, outcome } = self.revocation_of([&key.record]);
            let record = outcome.into_iter().next().unwrap_or_else(|| Arc::clone(&key.record));
            Ok(Plan { changes, events, outcome: (record, visible) })
        });
        let (record, visible) = deadline.bound(revoked).await?;
        Ok(RevokedKey {
            working_successors: self.working_successors(deadline, &record, &visible).await,
            revoked_successors: Vec::new(),
            record,
            propagation: self.settings.repository.propagation(),
        })
    }

    /// Returns the successors that still work. A failure of the store is no error here: the key is already revoked.
    async fn working_successors(
        &self,
        deadline: Deadline,
        record: &Arc<KeyRecord>,
        visible: &TenantFilter,
    ) -> Vec<KeyId> {
        let mut working = Vec::new();
        let mut chain = Chain::of(record);
        while let Some(id) = chain.next() {
            match deadline.bound(self.successor(&id, visible)).await {
                Ok(Some(successor)) => {
                    if successor.state(self.now()) == KeyState::Active {
                        working.push(id);
                    }
                    chain.add(successor);
                }
                Ok(None) => break,
                Err(_) => {
                    working.push(id);
                    break;
                }
            }
        }
        working
    }

    async fn revoke_chain(&self, id: &KeyId) -> Result<RevokedKey, ManageError> {
        for attempt in 0..Errand::Revoke.attempts() {
            let ids = |chain: &[Arc<KeyRecord>]| -> Vec<_> {
                chain.iter().map(|record| record.id.clone()).collect()
            };
            let seen = ids(&self.chain(id).await?.0);
            let turns = self.settings.turns.take_all(seen.clone(), Errand::Revoke).await;
            let (chain, authority) = self.chain(id).await?;
            if ids(&chain) != seen {
                // The last key was rotated while this call waited for its turn.
                continue;
            }
            let Plan { changes, events, outcome: revoked } = self.revocation_of(&chain);
            let committed = match changes.is_empty() {
                true => Ok(()),
                false => self.commit(&authority, &changes, &events).await,
            };
            match committed {
                Err(CommitError::Conflict) => {}
                result => {
                    result?;
                    let first = revoked.iter().chain(&chain).find(|record| record.id == *id);
                    let record = Arc::clone(first.ok_or(ManageError::NotFound)?);
                    let successors = revoked.into_iter().filter(|revoked| revoked.id != *id);
                    return Ok(RevokedKey {
                        record,
                        revoked_successors: successors.map(|record| record.id.clone()).collect(),
                        working_successors: Vec::new(),
                        propagation: self.settings.repository.propagation(),
                    });
                }
            }
            drop(turns);
            Errand::Revoke.pause(attempt).await;
        }
        Err(ManageError::Conflict)
    }

    /// Returns a key, the successors that the owner sees, and the authority of the owner.
    async fn chain(&self, id: &KeyId) -> Result<(Vec<Arc<KeyRecord>>, Authority), ManageError> {
        let (StoredKey { record, .. }, authority) = self.get_with_authority(id).await?;
        let visible = authority.visible(TenantFilter::Any);
        let mut chain = Chain::of(&record);
        while let Some(id) = chain.next() {
            let Some(successor) = self.successor(&id, &visible).await? else { break };
            chain.add(successor);
        }
        Ok((chain.records, authority))
    }

    async fn successor(
        &self,
        id: &KeyId,
        visible: &TenantFilter,
    ) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let key = self.settings.repository.get(id).await?;
        let key = key.filter(|key| visible.matches(key.record.tenant.as_ref()));
        Ok(key.map(|StoredKey { record, .. }| {
            self.settings.repository.record_changed(&record);
            record
        }))
    }

    /// Plans the revocation of the records that are not revoked yet.
    pub(super) fn revocation_of<'a>(
        &self,
        records: impl IntoIterator<Item = &'a Arc<KeyRecord>>,
    ) -> Plan<Vec<Arc<KeyRecord>>> {
        let now = self.now();
        let mut plan = Plan { changes: Vec::new(), events: Vec::new(), outcome: Vec::new() };
        for old in records.into_iter().filter(|record| record.revoked_at().is_none()) {
            let mut new = KeyRecord::clone(old);
            new.set_revoked_at(Some(now));
            new.revision = new.revision.saturating_add(1);
            let new = Arc::new(new);
            plan.events.push(self.event(now, AuditAction::Revoked, Some(old), Some(&new)));
            plan.changes.push(KeyChange::Replace(Arc::clone(&new)));
            plan.outcome.push(new);
        }
        plan
    }
}

/// A key, and its known successors.
struct Chain {
    records: Vec<Arc<KeyRecord>>,
    ids: HashSet<KeyId>,
}

impl Chain {
    fn of(record: &Arc<KeyRecord>) -> Self {
        let mut chain = Self { records: Vec::new(), ids: HashSet::new() };
        chain.add(Arc::clone(record));
        chain
    }

    fn add(&mut self, record: Arc<KeyRecord>) {
        self.ids.insert(record.id.clone());
        self.records.push(record);
    }

    /// Returns the next successor. A cycle, which no manager writes, ends the chain.
    fn next(&self) -> Option<KeyId> {
        self.records.last()?.successor().cloned().filter(|id| !self.ids.contains(id))
    }
}
