//! Issuing keys.

use std::sync::Arc;
use std::time::SystemTime;

use super::authority::Authority;
use super::name::check_name;
use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::clock::{later, to_microsecond};
use crate::key::{AbilitySet, RateLimits};
use crate::store::{AuditAction, CommitError, IssuedKey, KeyChange, KeyRecord, NewKey};

impl KeyManager {
    /// Issues a key.
    ///
    /// # Errors
    ///
    /// Returns an error if a field is not valid, if the name does not say what the key is for, if the key would be expired
    /// already, if its tenant is suspended, if it has an ability that is not in the
    /// [catalogue](Self::abilities), if it would be allowed more than the owner on whose behalf
    /// it is issued, if the [scheme](crate::KeyScheme#issuing) has no format for it or several, if its
    /// tenant has as many keys as it [may have](Self::max_keys_per_tenant), or if no secret can be made
    /// or kept.
    pub async fn issue(&self, key: NewKey) -> Result<IssuedKey, ManageError> {
        self.in_time(self.issue_new(key)).await
    }

    async fn issue_new(&self, key: NewKey) -> Result<IssuedKey, ManageError> {
        let IssuedKey { record: wanted, secret } = key.generate(&self.settings.scheme)?;
        for attempt in 0..Errand::Change.attempts() {
            let authority = self.authority().await?;
            let now = self.now();
            let record = Arc::new(self.granted(&wanted, &authority, now)?);
            let event = self.event(now, AuditAction::Issued, None, Some(&record));
            let changes = [KeyChange::Insert(Arc::clone(&record))];
            match self.commit(&authority, &changes, &[event]).await {
                // The owner was changed, since a new record is in nobody's way.
                Err(CommitError::Conflict) => Errand::Change.pause(attempt).await,
                result => return Ok(result.map(|()| IssuedKey { record, secret })?),
            }
        }
        Err(ManageError::Conflict)
    }

    /// Returns the record of a key that is wanted, as it may be issued.
    pub(super) fn granted(
        &self,
        wanted: &KeyRecord,
        authority: &Authority,
        now: SystemTime,
    ) -> Result<KeyRecord, ManageError> {
        // Those that are wanted, without what the owner hands on.
        self.check_abilities(&wanted.abilities, &AbilitySet::default())?;
        let mut record = wanted.clone();
        record.set_created_at(now);
        record.set_created_by(Some(self.actor().clone()));
        record.set_expires_at(record.expires_at().map(to_microsecond));
        record.set_rotation_due_at(
            record
                .rotation_due_at()
                .or_else(|| later(now, self.settings.rotation_period?))
                .map(to_microsecond),
        );
        authority.hand_on(&mut record);
        authority.check(&record)?;
        authority.check_limits(&RateLimits::default(), record.limits())?;
        check_name(record.name())?;
        check_expiry(record.expires_at(), now)?;
        Ok(record)
    }
}

pub(super) fn check_expiry(
    expires_at: Option<SystemTime>,
    now: SystemTime,
) -> Result<(), ManageError> {
    match expires_at.is_some_and(|expires_at| expires_at <= now) {
        true => Err(ManageError::Expiry),
        false => Ok(()),
    }
}
