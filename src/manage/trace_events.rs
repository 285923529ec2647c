//! [`TraceEvents`]: an audit sink that writes to `tracing`.

use crate::key::{KeyId, TenantId};
use crate::store::{AuditEvent, AuditSink, KeyRecord};

/// Writes every change of a key as an event of `tracing`, at the level `INFO`.
///
/// The target is `tower_api_key::audit`. An event has the actor, the action, the key, and its revisions before
/// and after. It does not have the records: for those, write a [sink](AuditSink) of your own.
///
/// # Examples
///
/// ```
/// use tower_api_key::manage::TraceEvents;
/// use tower_api_key::{KeyManager, MemoryStore};
///
/// let keys = KeyManager::new(MemoryStore::new()).audit(TraceEvents);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceEvents;

impl AuditSink for TraceEvents {
    fn record(&self, event: &AuditEvent) {
        let revision = |record: &Option<_>| {
            record.as_ref().map(|record: &std::sync::Arc<KeyRecord>| record.revision)
        };
        tracing::info!(
            target: "tower_api_key::audit",
            actor = %event.actor,
            action = event.action.as_str(),
            key = event.key_id().map(KeyId::as_str),
            tenant = event.tenant().map(TenantId::as_str),
            before = revision(&event.before),
            after = revision(&event.after),
            "API key changed"
        );
    }
}
