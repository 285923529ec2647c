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

/// The record of a changed key, and when other nodes see the change.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChangedKey {
    /// The record after the change.
    pub record: Arc<KeyRecord>,
    /// When other nodes see the change. This node sees it at once.
    pub propagation: Propagation,
}

impl KeyManager {
    /// Updates the name, abilities, expiry, limits or restrictions of a key.
    ///
    /// An update that also disables or enables the key has the audit action `disabled` or `enabled`.
    ///
    /// # Errors
    ///
    /// Returns an error if
    ///
    /// * a field is not [valid](crate::key::InvalidFields),
    /// * there is no such key, or it was revoked,
    /// * the tenant is suspended, unless the update only disables the key,
    /// * the new name is too short, too long or not one line, or the new expiry is in the past,
    /// * a new ability is not in the [catalogue](Self::abilities),
    /// * the key would be allowed more than the [owner](Self::on_behalf_of),
    /// * the store fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, KeyUpdate, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// let update = KeyUpdate::new().name("weekly import");
    /// let changed = keys.update(issued.record.id(), &update).await?;
    /// assert_eq!(changed.record.name(), "weekly import");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update(&self, id: &KeyId, update: &KeyUpdate) -> Result<ChangedKey, ManageError> {
        self.update_if(id, update, |_| true).await
    }

    /// Updates a key if it has this revision. Returns [`ManageError::Conflict`] if it has another.
    #[cfg(feature = "pages")]
    pub(super) async fn update_revision(
        &self,
        id: &KeyId,
        revision: u64,
        update: &KeyUpdate,
    ) -> Result<ChangedKey, ManageError> {
        self.update_if(id, update, |record| record.revision == revision).await
    }

    async fn update_if(
        &self,
        id: &KeyId,
        update: &KeyUpdate,
        is_as_seen: impl Fn(&KeyRecord) -> bool,
    ) -> Result<ChangedKey, ManageError> {
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
            if !is_as_seen(record) {
                return Err(ManageError::Conflict);
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

    /// Disables a key: it is refused until it is [enabled](Self::enable) again.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such key, if it was revoked, or if the store fails.
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
    /// let disabled = keys.disable(issued.record.id()).await?;
    /// assert_eq!(disabled.record.state(SystemTime::now()), KeyState::Disabled);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn disable(&self, id: &KeyId) -> Result<ChangedKey, ManageError> {
        self.change(id, Errand::Disable, |record, _| {
            refuse_revoked(record)?;
            record.disabled = true;
            Ok(AuditAction::Disabled)
        })
        .await
    }

    /// Enables a disabled key, which then works again.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such key, if it was revoked, if its tenant is suspended, if the key is
    /// allowed more than the [owner](Self::on_behalf_of), or if the store fails.
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
    /// keys.disable(issued.record.id()).await?;
    /// let enabled = keys.enable(issued.record.id()).await?;
    /// assert_eq!(enabled.record.state(SystemTime::now()), KeyState::Active);
    /// # Ok(())
    /// # }
    /// ```
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
