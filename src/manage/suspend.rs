//! Suspending and resuming whole tenants.

use std::time::SystemTime;

use super::{KeyManager, ManageError};
use crate::key::TenantId;
use crate::store::{AuditAction, AuditEvent, Propagation, SuspendedTenant};

/// What a change of a whole tenant came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangedTenant {
    /// Whether it was a change: whether the tenant was not suspended, or not resumed, before.
    pub has_changed: bool,
    /// When other nodes see the change. This one does now.
    pub propagation: Propagation,
}

/// # Whole tenants
///
/// Only the application itself may suspend and resume tenants, and not on behalf of somebody.
impl KeyManager {
    /// Suspends a tenant: all its keys are refused until it is [resumed](Self::resume), whether they exist
    /// already or are issued later by other means.
    ///
    /// The keys themselves stay as they are. From the moment in which this is acknowledged, nothing is
    /// issued, rotated or updated for the tenant, on any node, and requests and open streams end as after
    /// a revocation of each of its keys, [when](ChangedTenant::propagation) that would be seen. Keys can
    /// still be revoked, disabled and removed, which resuming does not undo.
    ///
    /// Nodes with a version of this crate from before there were suspended tenants go on accepting the keys:
    /// update all of them first.
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

    /// Puts the keys of a suspended tenant into use again.
    ///
    /// # Errors
    ///
    /// As [`suspend`](Self::suspend).
    pub async fn resume(&self, tenant: &TenantId) -> Result<ChangedTenant, ManageError> {
        self.in_time(self.set_suspended(tenant, AuditAction::Resumed, None)).await
    }

    /// Returns all suspended tenants, in the order of their ids.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails, or if the manager acts on behalf of an owner.
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
