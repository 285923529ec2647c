//! [`TraceEvents`]: changes of keys as events of `tracing`.

use crate::key::{KeyId, TenantId};
use crate::store::{AuditEvent, AuditSink, KeyRecord};

/// Reports every change of a key as an event of `tracing`, at `INFO`.
///
/// The target is `tower_api_key::audit`. An event says who did what to which key, and the
/// revisions before and after; the whole records are for
/// [sinks](AuditSink) that are kept safe.
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
