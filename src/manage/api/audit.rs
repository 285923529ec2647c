//! `GET /api-keys/{key_id}/audit`: the audit log of a key.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::ApiError;
use super::list::{DEFAULT_LIMIT, parse_limit};
use super::parameters::Parameters;
use crate::key::{KeyDigest, KeyId};
use crate::manage::KeyView;
use crate::manage::view::rfc3339;
use crate::store::{AuditCursor, AuditEntry, AuditPage, AuditQuery, KeyRecord, StoredKey};

/// A page of events.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyEventPage)]
pub(super) struct Events {
    success: bool,
    /// The events, the newest first.
    data: Vec<Event>,
    /// The cursor of the next page; `null` if this is the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A change of a key.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyEvent)]
pub(super) struct Event {
    /// The time of the change.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    at: SystemTime,
    /// The actor: `key:` and the id of a key, `name:` and a name, or `system`.
    #[schema(example = "name:alice@acme.example")]
    actor: String,
    /// The action.
    #[schema(example = "revoked")]
    action: String,
    /// The public id of the key.
    #[schema(required)]
    key_id: Option<String>,
    /// The key before the change; `null` if it was new.
    #[schema(required)]
    before: Option<KeyView>,
    /// The key after the change; `null` if it was removed.
    #[schema(required)]
    after: Option<KeyView>,
}

impl From<AuditEntry> for Event {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { at, actor, action, key_id, before, after, .. } = entry;
        let [before, after] = [before, after].map(|record| view(record?, at));
        Self { at, actor, action, key_id, before, after }
    }
}

/// Returns the view of a record in an event, or `None` if another version wrote it in a form that this version
/// cannot read.
fn view(mut record: Value, at: SystemTime) -> Option<KeyView> {
    // Events have no digests, and neither has what is shown.
    let digest = serde_json::to_value(KeyDigest::from_bytes([0; 32])).ok()?;
    record.as_object_mut()?.insert("digest".to_owned(), digest);
    let record: KeyRecord = serde_json::from_value(record).ok()?;
    Some(KeyView::new(&StoredKey::new(Arc::new(record), None), at))
}

pub(super) fn answer(page: AuditPage) -> Response {
    let next_cursor = page.next.map(|next| next.to_string());
    let data = page.entries.into_iter().map(Event::from).collect();
    Json(Events { success: true, data, next_cursor }).into_response()
}

/// Reads the query of the events of a key.
pub(super) fn parse_query(query: &str, id: KeyId) -> Result<AuditQuery, ApiError> {
    let mut given = Parameters::read(query, ["limit", "cursor"], UNKNOWN);
    let limit = given.take("limit", parse_limit).unwrap_or(DEFAULT_LIMIT);
    let after = given.take("cursor", str::parse::<AuditCursor>);
    given.finish(AuditQuery::new().key(id).newest_first().limit(limit).after(after))
}

const UNKNOWN: &str = "Unknown parameter: use `limit` and `cursor`";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyHasher;
    use crate::store::{Actor, AuditAction, AuditEvent};

    #[test]
    fn what_an_event_shows_of_a_key_has_neither_digest_nor_metadata() {
        let digest = KeyHasher::sha256().digest("k");
        let at = SystemTime::now();
        let mut record = KeyRecord::new("key_1".parse().unwrap(), digest, "one", at);
        record.change_metadata(|metadata| {
            metadata.insert("plan".to_owned(), "secret plan".into());
        });
        let record = Arc::new(record);
        let event =
            AuditEvent::new(at, Actor::System, AuditAction::Issued, None, Some(record.clone()));
        let json = crate::store::without_digest(&record).unwrap();
        let shown = view(json, event.at).unwrap();
        assert_eq!(shown, KeyView::new(&StoredKey::new(record, None), at));
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("secret plan") && !text.contains("digest"), "{text}");
        for odd in [serde_json::json!({ "id": "key_1" }), serde_json::json!(1)] {
            assert_eq!(view(odd, at), None);
        }
    }
}
