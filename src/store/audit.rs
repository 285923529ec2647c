//! [`AuditEvent`]: a change of a key, with its author.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Actor, KeyRecord};
use crate::key::{KeyId, TenantId};

/// The kind of a change of a key, or of all keys of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditAction {
    /// The key was issued.
    Issued,
    /// The key was imported from another system, which issued it.
    Imported,
    /// The record was changed; whether the key is disabled stayed the same.
    Updated,
    /// The key was disabled, and possibly changed otherwise.
    Disabled,
    /// The key was enabled again, and possibly changed otherwise.
    Enabled,
    /// The key got a successor.
    Rotated,
    /// The key was revoked, which is permanent.
    Revoked,
    /// The record was removed.
    Removed,
    /// All keys of the tenant were suspended, until it is resumed.
    Suspended,
    /// The tenant was resumed.
    Resumed,
}

impl AuditAction {
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 10] = [
        Self::Issued,
        Self::Imported,
        Self::Updated,
        Self::Disabled,
        Self::Enabled,
        Self::Rotated,
        Self::Revoked,
        Self::Removed,
        Self::Suspended,
        Self::Resumed,
    ];

    /// Returns the name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Imported => "imported",
            Self::Updated => "updated",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Rotated => "rotated",
            Self::Revoked => "revoked",
            Self::Removed => "removed",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
        }
    }
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change of a key, or of a tenant: who, what, when, before and after.
///
/// It contains no secret, because no record has one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// When it happened.
    pub at: SystemTime,
    /// The author.
    pub actor: Actor,
    /// The kind of the change.
    pub action: AuditAction,
    /// The record before the change, unless the key is new.
    pub before: Option<Arc<KeyRecord>>,
    /// The record after the change, unless it was removed.
    pub after: Option<Arc<KeyRecord>>,
    /// The tenant, if the event is not about a key.
    of_tenant: Option<TenantId>,
}

impl AuditEvent {
    /// Creates the event of a record's change.
    #[must_use]
    pub const fn new(
        at: SystemTime,
        actor: Actor,
        action: AuditAction,
        before: Option<Arc<KeyRecord>>,
        after: Option<Arc<KeyRecord>>,
    ) -> Self {
        Self { at, actor, action, before, after, of_tenant: None }
    }

    /// Creates the event of a tenant's change, which has no records.
    #[must_use]
    pub const fn of_tenant(
        at: SystemTime,
        actor: Actor,
        action: AuditAction,
        tenant: TenantId,
    ) -> Self {
        Self { at, actor, action, before: None, after: None, of_tenant: Some(tenant) }
    }

    /// Returns the public id of the key, unless the event is about a whole tenant.
    #[must_use]
    pub fn key_id(&self) -> Option<&KeyId> {
        self.record().map(|record| &record.id)
    }

    /// Returns the tenant of the event, or that of the key.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.of_tenant.as_ref().or_else(|| self.record()?.tenant.as_ref())
    }

    fn record(&self) -> Option<&KeyRecord> {
        self.after.as_deref().or(self.before.as_deref())
    }
}

/// Returns a record as JSON without its digest, which readers of events need not know.
#[cfg(feature = "serde")]
pub(crate) fn without_digest(record: &KeyRecord) -> serde_json::Result<serde_json::Value> {
    let mut json = serde_json::to_value(record)?;
    if let serde_json::Value::Object(fields) = &mut json {
        fields.remove("digest");
    }
    Ok(json)
}

/// Receives the events of changes: an audit log of the application.
///
/// A [`KeyManager`](crate::KeyManager) calls it after a change was made. Closures implement it. It
/// misses a change if the caller was dropped meanwhile, or if the store did not report whether it
/// was made. If every change must be recorded, use one of the SQL stores: they have a table of events,
/// which is written in the transaction of the change. That table is restored with the database, so
/// write events that must survive a restore elsewhere, as `JsonLinesAudit` (feature `serde`) does.
///
/// # Examples
///
/// ```
/// use tower_api_key::store::AuditEvent;
/// use tower_api_key::{KeyManager, MemoryStore};
///
/// let keys = KeyManager::new(MemoryStore::new()).audit(|event: &AuditEvent| {
///     eprintln!("{} {} {:?}", event.actor, event.action, event.key_id());
/// });
/// ```
pub trait AuditSink: Send + Sync {
    /// Records an event. The caller waits for it, so it has to be quick.
    fn record(&self, event: &AuditEvent);
}

impl<F: Fn(&AuditEvent) + Send + Sync> AuditSink for F {
    fn record(&self, event: &AuditEvent) {
        self(event);
    }
}
