//! Suspending and resuming whole tenants.

use std::time::SystemTime;

use super::{KeyManager, ManageError};
use crate::key::TenantId;
use crate::store::{AuditAction, AuditEvent, Propagation, SuspendedTenant};

/// The outcome of suspending or resuming a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangedTenant {
    /// Whether the call changed anything: `false` if the tenant was suspended or resumed already.
    pub has_changed: bool,
    /// When other nodes see the change. This node sees it at once.
    pub propagation: Propagation,
}

/// # Whole tenants
///
/// Only the application itself may suspend and resume tenants. A manager that acts on behalf of an owner may not.
impl KeyManager {
    /// Suspends a tenant: all its keys are refused until the tenant is [resumed](Self::resume), also keys that
    /// are added to the store in the meantime.
    ///
    /// The records of the keys stay as they are. Once the call returns, no key of the tenant is issued, rotated
    /// or updated on any node. Requests and open streams end like after a revocation of each key, as
    /// [`propagation`](ChangedTenant::propagation) says. Keys can still be revoked, disabled and removed;
    /// resuming the tenant does not undo that.
    ///
    /// Nodes with an older version of this crate, which does not know suspended tenants, still accept the keys:
    /// update all nodes first.
    ///
    /// # Errors
    ///
    /// Returns an error if the store cannot suspend tenants, if it fails, or if the manager acts on behalf
    /// of an owner.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::store::KeyState;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("nightly import").tenant("acme")).await?;
    /// let id = issued.record.id();
    ///
    /// keys.suspend(&"acme".parse()?).await?;
    /// let now = std::time::SystemTime::now();
    /// assert_eq!(keys.get(id).await?.record.state(now), KeyState::Suspended);
    /// assert!(keys.issue(NewKey::named("another").tenant("acme")).await.is_err());
    ///
    /// keys.resume(&"acme".parse()?).await?;
    /// assert_eq!(keys.get(id).await?.record.state(now), KeyState::Active);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn suspend(&self, tenant: &TenantId) -> Result<ChangedTenant, ManageError> {
        let now = self.now();
        self.in_time(self.set_suspended(tenant, AuditAction::Suspended, Some(now))).await
    }

    /// Resumes a suspended tenant: its keys work again.
    ///
    /// # Errors
    ///
    /// Like [`suspend`](Self::suspend).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let tenant = "acme".parse()?;
    /// keys.suspend(&tenant).await?;
    /// assert!(keys.resume(&tenant).await?.has_changed);
    /// assert!(!keys.resume(&tenant).await?.has_changed);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn resume(&self, tenant: &TenantId) -> Result<ChangedTenant, ManageError> {
        self.in_time(self.set_suspended(tenant, AuditAction::Resumed, None)).await
    }

    /// Returns all suspended tenants, in the order of their ids.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails, or if the manager acts on behalf of an owner.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// keys.suspend(&"acme".parse()?).await?;
    /// let suspended = keys.suspended_tenants().await?;
    /// assert_eq!(suspended[0].tenant, "acme");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn suspended_tenants(&self) -> Result<Vec<SuspendedTenant>, ManageError> {
        self.in_time(async {
            self.authority().await?.check_is_application()?;
            Ok(self.settings.repository.suspended().await?)
        })
        .await
    }

    async fn set_suspended(
        &self,
        tenant: &TenantId,
        action: AuditAction,
        since: Option<SystemTime>,
    ) -> Result<ChangedTenant, ManageError> {
        self.authority().await?.check_is_application()?;
        let repository = &self.settings.repository;
        let event = AuditEvent::of_tenant(self.now(), self.actor().clone(), action, tenant.clone());
        let events = [event];
        let has_changed = repository.set_suspended(tenant, since, &events).await?;
        if has_changed {
            self.tell_sinks(&events);
        }
        Ok(ChangedTenant { has_changed, propagation: repository.propagation() })
    }
}
