//! Issuing and finding keys.

use std::sync::Arc;
use std::time::SystemTime;

use super::authority::Authority;
use super::name::check_name;
use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::clock::{later, to_microsecond};
use crate::key::{KeyId, RateLimits};
use crate::store::{
    AuditAction, CommitError, IssuedKey, KeyChange, KeyPage, KeyQuery, KeyRecord, NewKey,
    StoredKey, TenantFilter,
};

impl KeyManager {
    /// Issues a key.
    ///
    /// # Errors
    ///
    /// Returns an error if the name does not say what the key is for, if the key would be expired
    /// already, if it would be allowed more than the owner on whose behalf it is issued, if the
    /// [scheme](crate::KeyScheme#issuing) has no format for it or several, or if no secret can be
    /// made or kept.
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
    fn granted(
        &self,
        wanted: &KeyRecord,
        authority: &Authority,
        now: SystemTime,
    ) -> Result<KeyRecord, ManageError> {
        let mut record = wanted.clone();
        record.created_at = now;
        record.expires_at = record.expires_at.map(to_microsecond);
        record.rotation_due_at = record
            .rotation_due_at
            .or_else(|| later(now, self.settings.rotation_period?))
            .map(to_microsecond);
        authority.hand_on(&mut record);
        authority.check(&record)?;
        authority.check_limits(&RateLimits::default(), &record.limits)?;
        check_name(&record.name)?;
        check_expiry(record.expires_at, now)?;
        Ok(record)
    }

    /// Returns a key.
    ///
    /// # Errors
    ///
    /// Returns [`ManageError::NotFound`] if there is no such key, or if it is another tenant's.
    pub async fn get(&self, id: &KeyId) -> Result<StoredKey, ManageError> {
        Ok(self.in_time(self.get_with_authority(id)).await?.0)
    }

    /// Returns a key, and what the owner may do with it.
    ///
    /// The key is read first. Where the owner is that key, and somebody takes something from it in
    /// between, a change is then made to an old revision, which fails; and if somebody takes something
    /// from the owner later, a change fails by its [requirement](Authority::requirement).
    pub(super) async fn get_with_authority(
        &self,
        id: &KeyId,
    ) -> Result<(StoredKey, Authority), ManageError> {
        let key = self.settings.repository.get(id).await?;
        let authority = self.authority().await?;
        let tenant = authority.visible(TenantFilter::Any);
        let key = key.filter(|key| tenant.matches(key.record.tenant.as_ref()));
        let key = key.ok_or(ManageError::NotFound)?;
        self.settings.repository.heed(&key.record);
        Ok((key, authority))
    }

    /// Returns a page of keys, the newest first.
    ///
    /// States are those of now, whatever the query says. On behalf of an owner, only those
    /// of its tenant are listed, whatever the query says.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
    pub async fn list(&self, query: &KeyQuery) -> Result<KeyPage, ManageError> {
        self.in_time(self.list_visible(query)).await
    }

    async fn list_visible(&self, query: &KeyQuery) -> Result<KeyPage, ManageError> {
        let mut query = KeyQuery { at: self.settings.clock.now(), ..query.clone() };
        query.tenant = self.authority().await?.visible(query.tenant);
        Ok(self.settings.repository.list(&query).await?)
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
