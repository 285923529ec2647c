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
    /// Issues a new API key, and returns its record and its secret. The secret is not stored: show it once.
    ///
    /// # Errors
    ///
    /// Returns an error if
    ///
    /// * a field is not [valid](crate::key::InvalidFields),
    /// * the name is too short, too long or not one line,
    /// * the expiry is in the past,
    /// * the tenant is suspended, or has as many keys as it [may have](Self::max_keys_per_tenant),
    /// * an ability is not in the [catalogue](Self::abilities),
    /// * the key would be allowed more than the [owner](Self::on_behalf_of),
    /// * the [scheme](crate::KeyScheme#issuing) has no format for the key, or several,
    /// * the random generator or the store fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = NewKey::named("nightly import").tenant("acme").abilities(["bots:read"]);
    /// let issued = keys.issue(key).await?;
    /// println!("shown once: {}", issued.secret.reveal());
    /// assert_eq!(issued.record.name(), "nightly import");
    ///
    /// let refused = keys.issue(NewKey::named("")).await.unwrap_err();
    /// assert!(refused.to_string().contains("3 to 100 characters"));
    /// # Ok(())
    /// # }
    /// ```
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
                // The owner was changed: a new record cannot conflict with others.
                Err(CommitError::Conflict) => Errand::Change.pause(attempt).await,
                result => return Ok(result.map(|()| IssuedKey { record, secret })?),
            }
        }
        Err(ManageError::Conflict)
    }

    /// Returns the record that may be issued for a requested key.
    pub(super) fn granted(
        &self,
        wanted: &KeyRecord,
        authority: &Authority,
        now: SystemTime,
    ) -> Result<KeyRecord, ManageError> {
        // Checks the requested abilities, before those that the owner hands on are added.
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
