//! [`KeyView`]: a key as JSON.

use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::key::{AbilitySet, KeyId, KeyKind, RateLimits, Restrictions, Stage};
use crate::rfc3339::format_nearest;
use crate::store::{Actor, KeyState, StoredKey};

/// A key as the API and the command line write it as JSON: without its digest and its secret.
///
/// Times have the format of RFC 3339, in whole seconds and in UTC.
///
/// # Examples
///
/// ```
/// use std::time::SystemTime;
///
/// use tower_api_key::manage::KeyView;
/// use tower_api_key::store::StoredKey;
/// use tower_api_key::{KeyFormat, KeyManager, KeyScheme, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scheme = KeyScheme::new(KeyFormat::new("sk_live_"));
/// let keys = KeyManager::new(MemoryStore::new()).scheme(scheme);
/// let issued = keys.issue(NewKey::named("Production Key")).await?;
/// let view = KeyView::new(&StoredKey::new(issued.record, None), SystemTime::now());
/// let json = serde_json::to_value(&view)?;
/// assert_eq!(json["name"], "Production Key");
/// assert_eq!(json["prefix"], "sk_live_");
/// assert_eq!(json["state"], "active");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "manage", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "manage", schema(as = ApiKey, description = "An API key, without the key itself."))]
#[non_exhaustive]
pub struct KeyView {
    /// The public id.
    #[cfg_attr(feature = "manage", schema(value_type = String, example = "key_123"))]
    pub id: KeyId,
    /// What the key is for, in the words of its owner.
    #[cfg_attr(feature = "manage", schema(example = "Production Key"))]
    pub name: String,
    /// The prefix of the key.
    #[cfg_attr(feature = "manage", schema(example = "sk_live_"))]
    pub prefix: String,
    /// The beginning and the end of the key, by which its owner recognizes it.
    #[cfg_attr(feature = "manage", schema(example = "sk_live_\u{2026}x789"))]
    pub hint: String,
    /// The state: whether the key works, and if not, why.
    #[cfg_attr(feature = "manage", schema(example = "active"))]
    pub state: KeyState,
    /// The kind: secret or public.
    #[cfg_attr(feature = "manage", schema(example = "secret"))]
    pub kind: KeyKind,
    /// The only stage in which the key works.
    #[cfg_attr(feature = "manage", schema(required, example = "live"))]
    pub stage: Option<Stage>,
    /// The abilities: what the key may do.
    #[cfg_attr(feature = "manage", schema(value_type = Vec<crate::key::Ability>))]
    pub abilities: AbilitySet,
    /// The time of issue.
    #[serde(serialize_with = "rfc3339")]
    #[cfg_attr(feature = "manage", schema(value_type = String, format = DateTime))]
    pub created_at: SystemTime,
    /// The issuer, if known: `system`, `key:` and the id of a key, or `name:` and a name.
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>, example = "name:alice@acme.example"))]
    pub created_by: Option<Actor>,
    /// The time of the last use, if it is recorded.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>, format = DateTime))]
    pub last_used: Option<SystemTime>,
    /// The time from which the key is refused.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<SystemTime>,
    /// The time of the revocation, which cannot be undone.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>, format = DateTime))]
    pub revoked_at: Option<SystemTime>,
    /// The time by which the key should be replaced.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>, format = DateTime))]
    pub rotation_due_at: Option<SystemTime>,
    /// The id of the key that replaces this one.
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>))]
    pub successor: Option<KeyId>,
    /// The id under which its rate limits count: that of the first of the keys that it replaced.
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>))]
    pub counted_as: Option<KeyId>,
    /// The rate limits: how often the key may be used.
    #[cfg_attr(feature = "manage", schema(value_type = Vec<String>))]
    pub limits: RateLimits,
    /// The restrictions: from where the key works, and on which endpoints.
    pub restrictions: Restrictions,
}

impl KeyView {
    /// Creates the view of a key, with its state at the time `now`.
    #[must_use]
    pub fn new(key: &StoredKey, now: SystemTime) -> Self {
        let record = &*key.record;
        Self {
            id: record.id.clone(),
            name: record.name().to_owned(),
            prefix: record.hint.prefix().unwrap_or_default().to_owned(),
            hint: record.hint.as_str().to_owned(),
            state: record.state(now),
            kind: record.kind,
            stage: record.stage().cloned(),
            abilities: record.abilities.clone(),
            created_at: record.created_at(),
            created_by: record.created_by().cloned(),
            last_used: key.last_used_at,
            expires_at: record.expires_at(),
            revoked_at: record.revoked_at(),
            rotation_due_at: record.rotation_due_at(),
            successor: record.successor().cloned(),
            counted_as: record.counted_as().cloned(),
            limits: record.limits().clone(),
            restrictions: record.restrictions().clone(),
        }
    }
}

pub(super) fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_nearest(*time, 0))
}

fn rfc3339_or_null<S: Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| format_nearest(time, 0)).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyHasher;
    use crate::store::KeyRecord;

    #[test]
    fn the_digest_is_not_shown() {
        let digest = KeyHasher::sha256().digest("k");
        let record = KeyRecord::new("key_1".parse().unwrap(), digest, "one", SystemTime::now());
        let view = KeyView::new(&StoredKey::new(record.into(), None), SystemTime::now());
        let json = serde_json::to_string(&view).unwrap();
        assert!(json.contains(r#""id":"key_1""#), "{json}");
        let digest = serde_json::to_string(&digest).unwrap();
        assert!(!json.contains(digest.trim_matches('"')), "{json}");
    }
}
