//! [`KeyRecord`]: all that is known of a key, but the key.

use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::key::{
    AbilitySet, KeyDigest, KeyId, KeyKind, RateLimits, Restrictions, Stage, TenantId,
};

/// What a store keeps of a key.
///
/// The text of the key is not in it. A record of [`new`](Self::new) grants nothing; set the
/// fields that are to be other than the defaults.
///
/// # Examples
///
/// ```
/// use tower_api_key::{KeyHasher, KeyRecord};
///
/// let digest = KeyHasher::sha256().digest("a key that another system issued");
/// let mut record = KeyRecord::new("key_1".parse()?, digest, "nightly import");
/// record.tenant = Some("acme".parse()?);
/// record.abilities = ["imports:write"].try_into()?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct KeyRecord {
    /// The public id.
    pub id: KeyId,
    /// The digest by which the record is found.
    pub digest: KeyDigest,
    /// What people may see of the key to recognize it: its prefix and last four characters.
    #[cfg_attr(feature = "serde", serde(default))]
    pub hint: String,
    /// What the key is for, in the words of its owner.
    pub name: String,
    /// On whose behalf it acts.
    #[cfg_attr(feature = "serde", serde(default))]
    pub tenant: Option<TenantId>,
    /// The only stage in which it works.
    #[cfg_attr(feature = "serde", serde(default))]
    pub stage: Option<Stage>,
    /// Whether it is a secret.
    #[cfg_attr(feature = "serde", serde(default))]
    pub kind: KeyKind,
    /// What it may do.
    #[cfg_attr(feature = "serde", serde(default))]
    pub abilities: AbilitySet,
    /// When it was issued.
    #[cfg_attr(feature = "serde", serde(with = "timestamp"))]
    pub created_at: SystemTime,
    /// From when on it is refused.
    #[cfg_attr(feature = "serde", serde(default, with = "timestamp::option"))]
    pub expires_at: Option<SystemTime>,
    /// When it was revoked, for good.
    #[cfg_attr(feature = "serde", serde(default, with = "timestamp::option"))]
    pub revoked_at: Option<SystemTime>,
    /// Whether it is out of use for the time being.
    #[cfg_attr(feature = "serde", serde(default))]
    pub disabled: bool,
    /// From when on it should be replaced. It goes on working.
    #[cfg_attr(feature = "serde", serde(default, with = "timestamp::option"))]
    pub rotation_due_at: Option<SystemTime>,
    /// The key that replaces it.
    #[cfg_attr(feature = "serde", serde(default))]
    pub successor: Option<KeyId>,
    /// The key by which its limits count, if that is another: the first of a chain of rotations. So a
    /// successor takes over what was used, and while several of them work, they count together.
    #[cfg_attr(feature = "serde", serde(default))]
    pub counted_as: Option<KeyId>,
    /// How often it may be used.
    #[cfg_attr(feature = "serde", serde(default))]
    pub limits: RateLimits,
    /// From where it works, and on which endpoints.
    #[cfg_attr(feature = "serde", serde(default))]
    pub restrictions: Restrictions,
    /// Whatever else the application wants to know of it.
    #[cfg_attr(feature = "serde", serde(default))]
    pub metadata: Map<String, Value>,
    /// How often the record was changed, by which writers notice each other.
    #[cfg_attr(feature = "serde", serde(default))]
    pub revision: u64,
}

impl KeyRecord {
    /// Makes a record of a secret key that was created now, does not expire, and has no
    /// abilities.
    #[must_use]
    pub fn new(id: KeyId, digest: KeyDigest, name: impl Into<String>) -> Self {
        Self {
            id,
            digest,
            hint: String::new(),
            name: name.into(),
            tenant: None,
            stage: None,
            kind: KeyKind::default(),
            abilities: AbilitySet::default(),
            created_at: SystemTime::now(),
            expires_at: None,
            revoked_at: None,
            disabled: false,
            rotation_due_at: None,
            successor: None,
            counted_as: None,
            limits: RateLimits::default(),
            restrictions: Restrictions::default(),
            metadata: Map::new(),
            revision: 0,
        }
    }

    /// Returns the id of the key by which the limits count: that of the record, unless it says
    /// [another](Self::counted_as).
    #[must_use]
    pub fn counted_id(&self) -> &KeyId {
        self.counted_as.as_ref().unwrap_or(&self.id)
    }
}

/// Times as RFC 3339 text with nanoseconds, so that they are read back exactly.
#[cfg(feature = "serde")]
mod timestamp {
    use std::borrow::Cow;
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    use crate::clock::LAST;

    fn format(time: SystemTime) -> Result<String, &'static str> {
        // `humantime` prints the years 1970 to 9999 and panics beyond.
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| "a time before 1970 has no RFC 3339 form here")?;
        if since.as_secs() > LAST.as_secs() {
            return Err("a time after 9999 has no RFC 3339 form");
        }
        Ok(humantime::format_rfc3339(time).to_string())
    }

    pub(super) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*time).map_err(ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(de::Error::custom)
    }

    pub(super) mod option {
        use super::*;

        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<SystemTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => {
                    serializer.serialize_some(&format(*time).map_err(ser::Error::custom)?)
                }
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
            text.map(|text| humantime::parse_rfc3339(&text).map_err(de::Error::custom)).transpose()
        }
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::key::KeyHasher;

    #[test]
    fn a_record_is_read_back_exactly() {
        let digest = KeyHasher::sha256().digest("k");
        let mut record = KeyRecord::new("key_1".parse().unwrap(), digest, "n\u{e4}me");
        record.abilities = ["bots:*", "chat:send"].try_into().unwrap();
        record.tenant = Some("acme".parse().unwrap());
        record.stage = Some("prod".parse().unwrap());
        record.kind = KeyKind::Public;
        record.counted_as = Some("key_0".parse().unwrap());
        let limits = ["7 per second", "bulk: 900 per 2 hours, burst 3, shared by tenant"];
        record.limits = RateLimits::new(limits.map(|text| text.parse().unwrap())).unwrap();
        record.created_at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        record.expires_at = Some(record.created_at + Duration::from_secs(60));
        record.metadata.insert("plan".to_owned(), Value::from("free"));
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains(r#""created_at":"2023-11-14T22:13:20.123456789Z""#), "{text}");
        assert_eq!(serde_json::from_str::<KeyRecord>(&text).unwrap(), record);
    }

    #[test]
    fn a_record_whose_abilities_do_not_parse_is_refused() {
        let digest = KeyHasher::sha256().digest("k");
        let text = serde_json::json!({
            "id": "key_1", "digest": digest, "name": "x", "created_at": "2023-11-14T22:13:20Z",
            "abilities": ["bots:read", "admin"],
        });
        let error = serde_json::from_value::<KeyRecord>(text).unwrap_err().to_string();
        assert!(error.contains("an ability is"), "{error}");
    }

    #[test]
    fn a_time_that_has_no_text_is_an_error_and_no_panic() {
        let digest = KeyHasher::sha256().digest("k");
        let mut record = KeyRecord::new("key_1".parse().unwrap(), digest, "x");
        record.created_at = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert!(serde_json::to_string(&record).is_err());
        record.created_at = SystemTime::UNIX_EPOCH + Duration::from_secs(300_000_000_000);
        assert!(serde_json::to_string(&record).is_err());
    }
}
