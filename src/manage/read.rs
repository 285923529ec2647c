//! Finding and listing keys.

use super::authority::Authority;
use super::{KeyManager, ManageError};
use crate::key::KeyId;
use crate::store::{KeyPage, KeyQuery, StoredKey, TenantFilter};

impl KeyManager {
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
    /// Returns an error if a field of the query is not valid, or if the store fails.
    pub async fn list(&self, query: &KeyQuery) -> Result<KeyPage, ManageError> {
        self.in_time(self.list_visible(query)).await
    }

    async fn list_visible(&self, query: &KeyQuery) -> Result<KeyPage, ManageError> {
        query.check()?;
        let mut query = KeyQuery { at: self.settings.clock.now(), ..query.clone() };
        query.tenant = self.authority().await?.visible(query.tenant);
        Ok(self.settings.repository.list(&query).await?)
    }
}
