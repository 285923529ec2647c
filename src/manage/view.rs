//! [`KeyView`]: a key as people and programs are shown it.

use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::key::{AbilitySet, KeyId, KeyKind, RateLimits, Restrictions, Stage};
use crate::rfc3339::format_nearest;
use crate::store::{Actor, KeyState, StoredKey};

/// A key as people and programs are shown it: without its digest, and never with its secret.
///
/// Times are written by RFC 3339, in whole seconds and in UTC.
///
/// # Examples
///
/// ```
/// use std::time::SystemTime;
///
/// use tower_api_key::manage::KeyView;
/// use tower_api_key::store::StoredKey;
/// use tower_api_key::{KeyFormat, KeyScheme, NewKey};
///
/// let format = KeyFormat::new("sk_live_");
/// let key = NewKey::named("Production Key").format(&format);
/// let issued = key.generate(&KeyScheme::new(format))?;
/// let view = KeyView::new(&StoredKey::new(issued.record, None), SystemTime::now());
/// let json = serde_json::to_value(&view)?;
/// assert_eq!(json["name"], "Production Key");
/// assert_eq!(json["prefix"], "sk_live_");
/// assert_eq!(json["state"], "active");
/// # Ok::<_, Box<dyn std::error::Error>>(())
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
    /// How the key begins.
    #[cfg_attr(feature = "manage", schema(example = "sk_live_"))]
    pub prefix: String,
    /// How the key begins and ends, by which its owner recognizes it.
    #[cfg_attr(feature = "manage", schema(example = "sk_live_\u{2026}x789"))]
    pub hint: String,
    /// Whether it works, and if not, why.
    #[cfg_attr(feature = "manage", schema(example = "active"))]
    pub state: KeyState,
    /// Whether it is a secret.
    #[cfg_attr(feature = "manage", schema(example = "secret"))]
    pub kind: KeyKind,
    /// The only stage in which it works.
    #[cfg_attr(feature = "manage", schema(required, example = "live"))]
    pub stage: Option<Stage>,
    /// What it may do.
    #[cfg_attr(feature = "manage", schema(value_type = Vec<crate::key::Ability>))]
    pub abilities: AbilitySet,
    /// When it was issued.
    #[serde(serialize_with = "rfc3339")]
    #[cfg_attr(feature = "manage", schema(value_type = String, format = DateTime))]
    pub created_at: SystemTime,
    /// Who issued it, if that is known: `system`, `key:` and the id of a key, or `name:` and a name.
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>, example = "name:alice@acme.example"))]
    pub created_by: Option<Actor>,
    /// When it was last used, if that is kept.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>, format = DateTime))]
    pub last_used: Option<SystemTime>,
    /// From when on it is refused.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<SystemTime>,
    /// When it was revoked, for good.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>, format = DateTime))]
    pub revoked_at: Option<SystemTime>,
    /// From when on it should be replaced.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>, format = DateTime))]
    pub rotation_due_at: Option<SystemTime>,
    /// The id of the key that replaces it.
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>))]
    pub successor: Option<KeyId>,
    /// The id of the key with which its limits count together: the first of those that it replaced.
    #[cfg_attr(feature = "manage", schema(required, value_type = Option<String>))]
    pub counted_as: Option<KeyId>,
    /// How often it may be used.
    #[cfg_attr(feature = "manage", schema(value_type = Vec<String>))]
    pub limits: RateLimits,
    /// From where it works, and on which endpoints.
    pub restrictions: Restrictions,
}

impl KeyView {
    /// Shows a key as it is at the time `now`.
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
