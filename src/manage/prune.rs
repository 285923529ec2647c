//! Removing what is left of keys that ended.

use std::sync::Arc;
use std::time::SystemTime;

use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::store::{
    AuditAction, CommitError, KeyChange, KeyQuery, KeyRecord, KeyState, TenantFilter,
};

impl KeyManager {
    /// Removes the records of keys that were revoked or expired before `time`, and returns how
    /// many there were.
    ///
    /// Their secrets are refused as unknown from then on. What was removed before an error stays
    /// removed. The [deadline](Self::deadline) is that of each page and of each key.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
    pub async fn prune(&self, time: SystemTime) -> Result<usize, ManageError> {
        let mut removed = 0;
        for state in [KeyState::Revoked, KeyState::Expired, KeyState::Disabled] {
            let mut query = KeyQuery::new().state(state);
            loop {
                let page = self.list(&query).await?;
                for key in page.keys {
                    let ended_at = key.record.revoked_at.or(key.record.expires_at);
                    if ended_at.is_some_and(|ended_at| ended_at < time.min(self.now())) {
                        let removal = self.remove(&key.record);
                        removed += usize::from(self.in_time(removal).await?);
                    }
                }
                let Some(next) = page.next else { break };
                query = query.after(next);
            }
        }
        Ok(removed)
    }

    /// Removes a record, unless somebody changed it in the meantime.
    async fn remove(&self, record: &Arc<KeyRecord>) -> Result<bool, ManageError> {
        let errand = Errand::Change;
        let _turn = self.settings.turns.take(&record.id, errand).await;
        for attempt in 0..errand.attempts() {
            let authority = self.authority().await?;
            if !authority.visible(TenantFilter::Any).matches(record.tenant.as_ref()) {
                return Ok(false);
            }
            let event = self.event(self.now(), AuditAction::Removed, Some(record), None);
            let changes = [KeyChange::Remove(Arc::clone(record))];
            match self.commit(&authority, &changes, &[event]).await {
                Ok(()) => return Ok(true),
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
            // It may be the owner that was changed.
            let key = self.settings.repository.get(&record.id).await?;
            if key.is_none_or(|key| key.record.revision != record.revision) {
                return Ok(false);
            }
            errand.pause(attempt).await;
        }
        Err(ManageError::Conflict)
    }
}
