//! Finding and listing keys.

use super::authority::Authority;
use super::{KeyManager, ManageError};
use crate::key::KeyId;
use crate::store::{KeyPage, KeyQuery, StoredKey, TenantFilter};

impl KeyManager {
    /// Returns a key by its id.
    ///
    /// # Errors
    ///
    /// Returns [`ManageError::NotFound`] if there is no such key, or if it belongs to another tenant than the
    /// [owner](Self::on_behalf_of), and an error if the store fails.
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
    /// let key = keys.get(issued.record.id()).await?;
    /// assert_eq!(key.record.name(), "nightly import");
    /// assert_eq!(key.last_used_at, None);
    ///
    /// let unknown = keys.get(&"key_unknown".parse()?).await;
    /// assert!(matches!(unknown, Err(ManageError::NotFound)));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get(&self, id: &KeyId) -> Result<StoredKey, ManageError> {
        Ok(self.in_time(self.get_with_authority(id)).await?.0)
    }

    /// Returns a key, and the authority of the owner.
    ///
    /// The key is read first. If the owner is that key and loses something in between, the change fails,
    /// because it is made to an old revision. If the owner loses something later, the change fails by its
    /// [requirement](Authority::requirement).
    pub(super) async fn get_with_authority(
        &self,
        id: &KeyId,
    ) -> Result<(StoredKey, Authority), ManageError> {
        let key = self.settings.repository.get(id).await?;
        let authority = self.authority().await?;
        let tenant = authority.visible(TenantFilter::Any);
        let key = key.filter(|key| tenant.matches(key.record.tenant.as_ref()));
        let key = key.ok_or(ManageError::NotFound)?;
        self.settings.repository.record_changed(&key.record);
        Ok((key, authority))
    }

    /// Returns a page of keys, the newest first.
    ///
    /// The manager's clock decides which state a key is in. On behalf of an owner, only keys of its tenant are
    /// listed. For the next page, pass [`KeyPage::next`] to [`KeyQuery::after`].
    ///
    /// # Errors
    ///
    /// Returns an error if a field of the query is not valid, or if the store fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, KeyQuery, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// for name in ["first", "second", "third"] {
    ///     keys.issue(NewKey::named(name).tenant("acme")).await?;
    /// }
    /// let query = KeyQuery::new().tenant("acme").limit(2);
    /// let page = keys.list(&query).await?;
    /// assert_eq!(page.keys.len(), 2);
    /// let rest = keys.list(&query.after(page.next.ok_or("no next page")?)).await?;
    /// assert_eq!(rest.keys.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
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
