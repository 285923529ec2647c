//! [`AuditEvent`]: who changed what of which key.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Actor, KeyRecord};
use crate::key::{KeyId, TenantId};

/// What was done to a key, or to all keys of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditAction {
    /// It was issued.
    Issued,
    /// It was issued by another system, from which it was taken over.
    Imported,
    /// Its record was changed, and it is in use or not as before.
    Updated,
    /// It was taken out of use for the time being, and perhaps changed otherwise.
    Disabled,
    /// It was put into use again, and perhaps changed otherwise.
    Enabled,
    /// It was given a successor.
    Rotated,
    /// It was revoked, for good.
    Revoked,
    /// Its record was removed.
    Removed,
    /// All keys of the tenant were suspended for the time being.
    Suspended,
    /// The keys of the tenant were put into use again.
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
/// The secret is not in it, since no record has one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// When it was done.
    pub at: SystemTime,
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: AuditAction,
    /// The record as it was, unless the key is new.
    pub before: Option<Arc<KeyRecord>>,
    /// The record as it is now, unless it was removed.
    pub after: Option<Arc<KeyRecord>>,
    /// The tenant, if it is no event of a key.
    of_tenant: Option<TenantId>,
}

impl AuditEvent {
    /// Makes an event of a record's change.
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

    /// Makes an event of a change of a tenant, which has no records.
    #[must_use]
    pub const fn of_tenant(
        at: SystemTime,
        actor: Actor,
        action: AuditAction,
        tenant: TenantId,
    ) -> Self {
        Self { at, actor, action, before: None, after: None, of_tenant: Some(tenant) }
    }

    /// Returns the public id of the key, unless it is an event of a whole tenant.
    #[must_use]
    pub fn key_id(&self) -> Option<&KeyId> {
        self.record().map(|record| &record.id)
    }

    /// Returns the tenant, or that on whose behalf the key acts.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.of_tenant.as_ref().or_else(|| self.record()?.tenant.as_ref())
    }

    fn record(&self) -> Option<&KeyRecord> {
        self.after.as_deref().or(self.before.as_deref())
    }
}

/// Returns a record as JSON for people: who reads the events need not know how keys are found.
#[cfg(feature = "serde")]
pub(crate) fn without_digest(record: &KeyRecord) -> serde_json::Result<serde_json::Value> {
    let mut json = serde_json::to_value(record)?;
    if let serde_json::Value::Object(fields) = &mut json {
        fields.remove("digest");
    }
    Ok(json)
}

/// Is told of the changes of keys.
///
/// A [`KeyManager`](crate::KeyManager) calls it after it has seen that the change was made; closures
/// implement it. It is not told of one whose caller went away meanwhile, or of which the store
/// did not say whether it was made: where each must be known, use one of the stores for SQL
/// databases, which keep a table of events besides, written in the transaction of the change. That
/// table is restored with the database: what has to survive it is written elsewhere, as
/// `JsonLinesAudit` (feature `serde`) does.
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
    /// Takes note of an event. It is called while the caller waits, so it has to be quick.
    fn record(&self, event: &AuditEvent);
}

impl<F: Fn(&AuditEvent) + Send + Sync> AuditSink for F {
    fn record(&self, event: &AuditEvent) {
        self(event);
    }
}
