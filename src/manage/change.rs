//! Changing keys.

use std::sync::Arc;

use super::attempts::Plan;
use super::authority::Authority;
use super::issue::check_expiry;
use super::name::check_name;
use super::turns::Errand;
use super::{KeyManager, KeyUpdate, ManageError};
use crate::key::KeyId;
use crate::store::{AuditAction, KeyChange, KeyRecord, KeyState, Propagation};

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
    /// Returns an error if a field is not valid, if there is no such key, if it was revoked, if its tenant is suspended, if the new name
    /// does not say what it is for or the new expiry is in the past, if it is given an ability that is not
    /// in the [catalogue](Self::abilities), or if it would be allowed more than the
    /// owner on whose behalf it is changed. To take it out of use is allowed all the same.
    pub async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<ChangedKey, ManageError> {
        update.invalid.check()?;
        if let Some(name) = &update.name {
            check_name(name)?;
        }
        check_expiry(update.expires_at.flatten(), self.now())?;
        let errand = if update.only_disables() { Errand::Disable } else { Errand::Change };
        self.change(id, errand, |record, authority| {
            refuse_revoked(record)?;
            if !update.only_disables() {
                refuse_suspended(record)?;
            }
            let (was_disabled, limits) = (record.disabled, record.limits().clone());
            if let Some(abilities) = &update.abilities {
                self.check_abilities(abilities, &record.abilities)?;
            }
            update.apply(record);
            if !update.only_disables() {
                authority.check(record)?;
                authority.check_limits(&limits, record.limits())?;
            }
            Ok(match (was_disabled, record.disabled) {
                (false, true) => AuditAction::Disabled,
                (true, false) => AuditAction::Enabled,
                _ => AuditAction::Updated,
            })
        })
        .await
    }

    /// Takes a key out of use until it is [enabled](Self::enable) again.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such key, if it was revoked, or if the store fails.
    pub async fn disable(&self, id: &KeyId) -> Result<ChangedKey, ManageError> {
        self.change(id, Errand::Disable, |record, _| {
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
    /// As [`disable`](Self::disable), if its tenant is suspended, or if the key is allowed more than the owner on whose
    /// behalf it is enabled.
    pub async fn enable(&self, id: &KeyId) -> Result<ChangedKey, ManageError> {
        self.change(id, Errand::Change, |record, authority| {
            refuse_revoked(record)?;
            refuse_suspended(record)?;
            record.disabled = false;
            authority.check(record)?;
            Ok(AuditAction::Enabled)
        })
        .await
    }

    async fn change(
        &self,
        id: &KeyId,
        errand: Errand,
        change: impl Fn(&mut KeyRecord, &Authority) -> Result<AuditAction, ManageError>,
    ) -> Result<ChangedKey, ManageError> {
        let changed = self.change_in_turn(id, errand, |key, authority| {
            let old = &key.record;
            let mut new = KeyRecord::clone(old);
            let action = change(&mut new, authority)?;
            if new == **old {
                let (changes, events) = Default::default();
                return Ok(Plan { changes, events, outcome: Arc::clone(old) });
            }
            new.revision = new.revision.saturating_add(1);
            let new = Arc::new(new);
            let event = self.event(self.now(), action, Some(old), Some(&new));
            let changes = vec![KeyChange::Replace(Arc::clone(&new))];
            Ok(Plan { changes, events: vec![event], outcome: new })
        });
        let record = self.in_time(changed).await?;
        Ok(ChangedKey { record, propagation: self.settings.repository.propagation() })
    }
}

fn refuse_suspended(record: &KeyRecord) -> Result<(), ManageError> {
    if record.suspended { Err(ManageError::Suspended) } else { Ok(()) }
}

fn refuse_revoked(record: &KeyRecord) -> Result<(), ManageError> {
    match record.revoked_at() {
        Some(_) => Err(ManageError::State(KeyState::Revoked)),
        None => Ok(()),
    }
}
