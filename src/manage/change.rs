//! Changing and revoking keys.

use std::sync::Arc;
use std::time::SystemTime;

use super::authority::Authority;
use super::issue::check_expiry;
use super::manager::{ATTEMPTS, ATTEMPTS_TO_REVOKE};
use super::name::check_name;
use super::{KeyManager, KeyUpdate, ManageError};
use crate::key::KeyId;
use crate::store::{
    AuditAction, CommitError, KeyChange, KeyRecord, KeyState, Propagation, StoredKey,
};

/// A key's record as it is now, and who heeds the change when.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChangedKey {
    /// The record.
    pub record: Arc<KeyRecord>,
    /// When other nodes heed the change. This one does now.
    pub propagation: Propagation,
}

impl KeyManager {
    /// Changes a key. What takes it out of use or puts it into use again is noted as that, whatever
    /// else it changes.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such key, if it was revoked, if the new name does not say
    /// what it is for or the new expiry is in the past, or if it would be allowed more than the
    /// owner on whose behalf it is changed. To take it out of use is allowed all the same.
    pub async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<ChangedKey, ManageError> {
        if let Some(name) = &update.name {
            check_name(name)?;
        }
        check_expiry(update.expires_at.flatten(), self.now())?;
        self.change(id, |record, authority, _| {
            refuse_revoked(record)?;
            let was_disabled = record.disabled;
            update.apply(record);
            if !update.only_disables() {
                authority.check(record)?;
            }
            Ok(match (was_disabled, record.disabled) {
                (false, true) => AuditAction::Disabled,
                (true, false) => AuditAction::Enabled,
                _ => AuditAction::Updated,
            })
        })
        .await
    }

    /// Revokes a key for good: it is refused from now on, wherever
    /// [the result](ChangedKey::propagation) says. Revoking it again changes nothing.
    ///
    /// The successor of a rotated key is a key of its own, and stays. So do the keys that were issued
    /// [on behalf](Self::on_behalf_of) of this one before; from now on none is, and nothing else is
    /// done on its behalf, on any node of the same repository: what is under way is refused, or was
    /// made before the revocation.
    ///
    /// It comes first: other changes of the key through this manager, and through its clones, are
    /// [`ManageError::Conflict`] meanwhile.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such key, if the store fails, or if other nodes change the
    /// key without pause. Try again then: it is not known whether the key was revoked.
    pub async fn revoke(&self, id: &KeyId) -> Result<ChangedKey, ManageError> {
        let _revocation = self.settings.revocations.begin(id);
        self.change_within(ATTEMPTS_TO_REVOKE, id, |record, _, now| {
            record.revoked_at.get_or_insert(now);
            Ok(AuditAction::Revoked)
        })
        .await
    }

    /// Revokes the key with this secret, such as one that was found where it should not be.
    ///
    /// # Errors
    ///
    /// As [`revoke`](Self::revoke).
    pub async fn revoke_presented(&self, secret: &str) -> Result<ChangedKey, ManageError> {
        for digest in self.settings.hasher.digests(secret) {
            if let Some(record) = self.settings.repository.find_stored(&digest).await? {
                return self.revoke(&record.id).await;
            }
        }
        Err(ManageError::NotFound)
    }

    /// Takes a key out of use until it is [enabled](Self::enable) again.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such key, if it was revoked, or if the store fails.
    pub async fn disable(&self, id: &KeyId) -> Result<ChangedKey, ManageError> {
        self.change(id, |record, _, _| {
            refuse_revoked(record)?;
            record.disabled = true;
            Ok(AuditAction::Disabled)
        })
        .await
    }

    /// Puts a key into use again.
    ///
    /// # Errors
    ///
    /// As [`disable`](Self::disable), or if the key is allowed more than the owner on whose
    /// behalf it is enabled.
    pub async fn enable(&self, id: &KeyId) -> Result<ChangedKey, ManageError> {
        self.change(id, |record, authority, _| {
            refuse_revoked(record)?;
            record.disabled = false;
            authority.check(record)?;
            Ok(AuditAction::Enabled)
        })
        .await
    }

    async fn change(
        &self,
        id: &KeyId,
        change: impl Fn(&mut KeyRecord, &Authority, SystemTime) -> Result<AuditAction, ManageError>,
    ) -> Result<ChangedKey, ManageError> {
        self.change_within(ATTEMPTS, id, |record, authority, now| {
            self.give_way_to_revocation(id)?;
            change(record, authority, now)
        })
        .await
    }

    pub(super) fn give_way_to_revocation(&self, id: &KeyId) -> Result<(), ManageError> {
        match self.settings.revocations.is_under_way(id) {
            true => Err(ManageError::Conflict),
            false => Ok(()),
        }
    }

    /// Changes a record, again and again until nobody else did in the meantime.
    async fn change_within(
        &self,
        attempts: usize,
        id: &KeyId,
        change: impl Fn(&mut KeyRecord, &Authority, SystemTime) -> Result<AuditAction, ManageError>,
    ) -> Result<ChangedKey, ManageError> {
        for _ in 0..attempts {
            let (StoredKey { record: old, .. }, authority) = self.get_with_authority(id).await?;
            let mut new = KeyRecord::clone(&old);
            let now = self.now();
            let action = change(&mut new, &authority, now)?;
            let propagation = self.settings.repository.propagation();
            if new == *old {
                return Ok(ChangedKey { record: old, propagation });
            }
            new.revision = new.revision.saturating_add(1);
            let record = Arc::new(new);
            let event = self.event(now, action, Some(&old), Some(&record));
            let changes = [KeyChange::Replace(Arc::clone(&record))];
            match self.commit(&authority, &changes, &[event]).await {
                Err(CommitError::Conflict) => {}
                result => return Ok(result.map(|()| ChangedKey { record, propagation })?),
            }
        }
        Err(ManageError::Conflict)
    }
}

fn refuse_revoked(record: &KeyRecord) -> Result<(), ManageError> {
    match record.revoked_at {
        Some(_) => Err(ManageError::State(KeyState::Revoked)),
        None => Ok(()),
    }
}
