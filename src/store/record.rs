//! [`KeyRecord`]: all that is known of a key, but the key.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::moment::Moment;
use super::terms::{Rare, Terms};
use super::{Actor, KeyHint};
use crate::key::{
    AbilitySet, Compact, HeapSize as _, KeyDigest, KeyId, KeyKind, RateLimits, Restrictions, Stage,
    TenantId,
};

/// What a store keeps of a key.
///
/// The text of the key is not in it. This crate makes records when it [issues](crate::NewKey) keys. A
/// store over a table of another system makes one of a row: by [`new`](Self::new), with which the key
/// may do nothing that needs an ability, and the methods that begin with `set_`. The id of a record
/// does not change.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use tower_api_key::store::KeyHint;
/// use tower_api_key::{KeyHasher, KeyRecord};
///
/// let digest = KeyHasher::sha256().digest("a key that another system issued");
/// let issued_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// let mut record = KeyRecord::new("key_1".parse()?, digest, "nightly import", issued_at);
/// record.set_hint(KeyHint::new("sk_live_", "x789"));
/// record.set_tenant(Some("acme".parse()?));
/// record.set_abilities(["imports:write"].try_into()?);
/// assert_eq!(record.created_at(), issued_at);
/// assert_eq!(record.hint().to_string(), "sk_live_…x789");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "parts::KeyRecord", into = "parts::KeyRecord"))]
#[non_exhaustive]
pub struct KeyRecord {
    /// The public id.
    pub(crate) id: KeyId,
    /// The digest by which the record is found.
    pub(crate) digest: KeyDigest,
    /// What people may see of the key to recognize it: its prefix and last four characters.
    pub(crate) hint: KeyHint,
    /// What the key is for, in the words of its owner.
    pub(crate) name: Compact<23, Box<str>>,
    /// On whose behalf it acts.
    pub(crate) tenant: Option<TenantId>,
    /// Whether it is a secret.
    pub(crate) kind: KeyKind,
    /// What it may do.
    pub(crate) abilities: AbilitySet,
    /// When it was issued.
    pub(crate) created_at: Moment,
    /// From when on it is refused.
    pub(crate) expires_at: Option<Moment>,
    /// When it was revoked, for good.
    pub(crate) revoked_at: Option<Moment>,
    /// Whether it is out of use for the time being.
    pub(crate) disabled: bool,
    /// How often the record was changed, by which writers notice each other.
    pub(crate) revision: u64,
    /// Whether its tenant is suspended. The store says so when it finds the record, and does not keep it
    /// with the record.
    pub(crate) suspended: bool,
    /// Never those that are [none](Terms::NONE).
    pub(crate) terms: Option<Arc<Terms>>,
    /// Never what is empty.
    pub(crate) rare: Option<Box<Rare>>,
}

impl KeyRecord {
    /// Makes a record of a secret key that has no abilities and does not expire. All else is empty.
    #[must_use]
    pub fn new(
        id: KeyId,
        digest: KeyDigest,
        name: impl Into<String>,
        created_at: SystemTime,
    ) -> Self {
        Self {
            id,
            digest,
            hint: KeyHint::default(),
            name: (&*name.into()).into(),
            tenant: None,
            kind: KeyKind::default(),
            abilities: AbilitySet::default(),
            created_at: created_at.into(),
            expires_at: None,
            revoked_at: None,
            disabled: false,
            revision: 0,
            suspended: false,
            terms: None,
            rare: None,
        }
    }

    /// Returns the id of the key by which the limits count: that of the record, unless it says
    /// [another](Self::counted_as).
    #[must_use]
    pub fn counted_id(&self) -> &KeyId {
        self.counted_as().unwrap_or(&self.id)
    }

    /// Returns when the key ends for good: when it was revoked, or else when it expires.
    pub(crate) fn ends_at(&self) -> Option<SystemTime> {
        self.revoked_at.or(self.expires_at).map(SystemTime::from)
    }

    /// Estimates the bytes that the record takes. What it shares with others counts for each.
    pub(super) fn size(&self) -> usize {
        // Each of them by name, so that none that is added later is forgotten.
        let Self {
            id,
            digest: _,
            hint,
            name,
            tenant,
            kind: _,
            abilities,
            created_at: _,
            expires_at: _,
            revoked_at: _,
            disabled: _,
            revision: _,
            suspended: _,
            terms,
            rare,
        } = self;
        size_of::<Self>()
            + id.heap_size()
            + hint.heap_size()
            + name.heap_size()
            + tenant.heap_size()
            + abilities.heap_size()
            + terms.as_ref().map_or(0, |terms| terms.size())
            + rare.as_ref().map_or(0, |rare| rare.size())
    }

    fn terms(&self) -> &Terms {
        static NONE: Terms = Terms::NONE;
        self.terms.as_deref().unwrap_or(&NONE)
    }

    /// Returns the terms, if others may have the same: restrictions are mostly those of one key.
    pub(super) fn terms_to_share(&self) -> Option<&Arc<Terms>> {
        self.terms.as_ref().filter(|terms| terms.restrictions == Restrictions::NONE)
    }

    pub(super) fn terms_to_share_mut(&mut self) -> Option<&mut Arc<Terms>> {
        self.terms.as_mut().filter(|terms| terms.restrictions == Restrictions::NONE)
    }

    fn change_terms(&mut self, change: impl FnOnce(&mut Terms)) {
        let terms = self.terms.get_or_insert_with(|| Arc::new(Terms::NONE));
        change(Arc::make_mut(terms));
        self.terms.take_if(|terms| **terms == Terms::NONE);
    }

    fn change_rare(&mut self, change: impl FnOnce(&mut Rare)) {
        change(self.rare.get_or_insert_default());
        self.rare.take_if(|rare| **rare == Rare::default());
    }
}

/// Shows what is in it, and not how it is kept.
impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        parts::KeyRecord::from(self.clone()).fmt(f)
    }
}

/// # What is in a record
impl KeyRecord {
    /// Returns the public id.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Returns the digest by which the record is found.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        self.digest
    }

    /// Returns what people may see of the key to recognize it: its prefix and last four characters.
    #[must_use]
    pub fn hint(&self) -> &KeyHint {
        &self.hint
    }

    /// Returns what the key is for, in the words of its owner.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Returns the tenant on whose behalf the key acts.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Returns who issued the key, if that is known: a [`KeyManager`](crate::KeyManager) notes it.
    #[must_use]
    pub fn created_by(&self) -> Option<&Actor> {
        self.terms().created_by.as_ref()
    }

    /// Returns the only stage in which the key works.
    #[must_use]
    pub fn stage(&self) -> Option<&Stage> {
        self.terms().stage.as_ref()
    }

    /// Returns the kind of the key: whether it is a secret.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns what the key may do.
    #[must_use]
    pub fn abilities(&self) -> &AbilitySet {
        &self.abilities
    }

    /// Returns when the key was issued.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.created_at.into()
    }

    /// Returns when the key expires. From that moment on, it is refused.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at.map(SystemTime::from)
    }

    /// Returns when the key was revoked, for good.
    #[must_use]
    pub fn revoked_at(&self) -> Option<SystemTime> {
        self.revoked_at.map(SystemTime::from)
    }

    /// Tells whether the key is out of use for the time being.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// Returns from when on the key should be replaced. It goes on working.
    #[must_use]
    pub fn rotation_due_at(&self) -> Option<SystemTime> {
        self.rare.as_ref()?.rotation_due_at.map(SystemTime::from)
    }

    /// Returns the id of the key that replaces this one.
    #[must_use]
    pub fn successor(&self) -> Option<&KeyId> {
        self.rare.as_ref()?.successor.as_ref()
    }

    /// Returns the id of the key by which the limits count, if that is another: the first of a chain of
    /// rotations.
    ///
    /// So a successor takes over what was used, and while several of them work, they count together.
    /// [`counted_id`](Self::counted_id) is never nothing.
    #[must_use]
    pub fn counted_as(&self) -> Option<&KeyId> {
        self.rare.as_ref()?.counted_as.as_ref()
    }

    /// Returns how often the key may be used.
    #[must_use]
    pub fn limits(&self) -> &RateLimits {
        &self.terms().limits
    }

    /// Returns from where the key works, and on which endpoints.
    #[must_use]
    pub fn restrictions(&self) -> &Restrictions {
        &self.terms().restrictions
    }

    /// Returns what else the application wants to know of the key.
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Value> {
        static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        self.rare.as_ref().map_or(&*NONE, |rare| &rare.metadata)
    }

    /// Returns the number of the changes of the record, by which writers notice each other.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Tells whether the tenant of the key was suspended when the store found the record.
    ///
    /// It is no part of what is kept of the key, and `serde` skips it: the store knows which tenants are
    /// [suspended](crate::KeyManager::suspend).
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }
}

/// # Changes
///
/// They are for stores over tables of other systems, for new revisions in a
/// [`KeyChange`](super::KeyChange), and for [`MemoryStore::update`](crate::MemoryStore::update).
impl KeyRecord {
    /// Sets the digest by which the record is found. A store keeps it as it was inserted.
    pub fn set_digest(&mut self, digest: KeyDigest) {
        self.digest = digest;
    }

    /// Sets what people may see of the key to recognize it.
    pub fn set_hint(&mut self, hint: KeyHint) {
        self.hint = hint;
    }

    /// Sets what the key is for, in the words of its owner.
    pub fn set_name(&mut self, name: impl Into<String>) {
        self.name = (&*name.into()).into();
    }

    /// Sets the tenant on whose behalf the key acts. Without one, it acts for nobody in particular.
    pub fn set_tenant(&mut self, tenant: Option<TenantId>) {
        self.tenant = tenant;
    }

    /// Sets who issued the key.
    pub fn set_created_by(&mut self, created_by: Option<Actor>) {
        self.change_terms(|terms| terms.created_by = created_by);
    }

    /// Sets the only stage in which the key works. Without one, it works in all.
    pub fn set_stage(&mut self, stage: Option<Stage>) {
        self.change_terms(|terms| terms.stage = stage);
    }

    /// Sets the kind of the key: whether it is a secret.
    pub fn set_kind(&mut self, kind: KeyKind) {
        self.kind = kind;
    }

    /// Sets what the key may do.
    pub fn set_abilities(&mut self, abilities: AbilitySet) {
        self.abilities = abilities;
    }

    /// Sets when the key was issued.
    pub fn set_created_at(&mut self, created_at: SystemTime) {
        self.created_at = created_at.into();
    }

    /// Sets when the key expires. Without such a time, it never does.
    pub fn set_expires_at(&mut self, expires_at: Option<SystemTime>) {
        self.expires_at = expires_at.map(Moment::from);
    }

    /// Sets when the key was revoked. That is for good: no store of this crate takes it back.
    pub fn set_revoked_at(&mut self, revoked_at: Option<SystemTime>) {
        self.revoked_at = revoked_at.map(Moment::from);
    }

    /// Sets whether the key is out of use for the time being.
    pub fn set_disabled(&mut self, disabled: bool) {
        self.disabled = disabled;
    }

    /// Sets from when on the key should be replaced.
    pub fn set_rotation_due_at(&mut self, rotation_due_at: Option<SystemTime>) {
        self.change_rare(|rare| rare.rotation_due_at = rotation_due_at.map(Moment::from));
    }

    /// Sets the id of the key that replaces this one.
    pub fn set_successor(&mut self, successor: Option<KeyId>) {
        self.change_rare(|rare| rare.successor = successor);
    }

    /// Sets the id of the key by which the limits count, if that is another: the first of a chain of
    /// rotations.
    pub fn set_counted_as(&mut self, counted_as: Option<KeyId>) {
        self.change_rare(|rare| rare.counted_as = counted_as);
    }

    /// Sets how often the key may be used.
    pub fn set_limits(&mut self, limits: RateLimits) {
        self.change_terms(|terms| terms.limits = limits);
    }

    /// Sets from where the key works, and on which endpoints.
    pub fn set_restrictions(&mut self, restrictions: Restrictions) {
        self.change_terms(|terms| terms.restrictions = restrictions);
    }

    /// Sets what else the application wants to know of the key.
    pub fn set_metadata(&mut self, metadata: Map<String, Value>) {
        self.change_rare(|rare| rare.metadata = metadata);
    }

    /// Changes from where the key works, and on which endpoints.
    pub(crate) fn change_restrictions(&mut self, change: impl FnOnce(&mut Restrictions)) {
        self.change_terms(|terms| change(&mut terms.restrictions));
    }

    /// Changes what else the application wants to know of the key.
    pub(crate) fn change_metadata(&mut self, change: impl FnOnce(&mut Map<String, Value>)) {
        self.change_rare(|rare| change(&mut rare.metadata));
    }

    /// Sets the number of the changes of the record. A
    /// [`KeyChange::Replace`](super::KeyChange::Replace) has one more than what it replaces.
    pub fn set_revision(&mut self, revision: u64) {
        self.revision = revision;
    }

    /// Sets whether the tenant of the key is suspended. A store does so with each record that it finds.
    pub fn set_suspended(&mut self, suspended: bool) {
        self.suspended = suspended;
    }
}

/// A record as it is written down: each part by its name.
mod parts {
    use std::time::SystemTime;

    use serde_json::{Map, Value};

    #[cfg(feature = "serde")]
    use super::timestamp;
    use crate::key::{
        AbilitySet, KeyDigest, KeyId, KeyKind, RateLimits, Restrictions, Stage, TenantId,
    };
    use crate::store::{Actor, KeyHint};

    #[derive(Debug)]
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "they are shown"))]
    pub(super) struct KeyRecord {
        id: KeyId,
        digest: KeyDigest,
        #[cfg_attr(feature = "serde", serde(default))]
        hint: KeyHint,
        name: String,
        #[cfg_attr(feature = "serde", serde(default))]
        tenant: Option<TenantId>,
        #[cfg_attr(feature = "serde", serde(default))]
        created_by: Option<Actor>,
        #[cfg_attr(feature = "serde", serde(default))]
        stage: Option<Stage>,
        #[cfg_attr(feature = "serde", serde(default))]
        kind: KeyKind,
        #[cfg_attr(feature = "serde", serde(default))]
        abilities: AbilitySet,
        #[cfg_attr(feature = "serde", serde(with = "timestamp"))]
        created_at: SystemTime,
        #[cfg_attr(feature = "serde", serde(default, with = "timestamp::option"))]
        expires_at: Option<SystemTime>,
        #[cfg_attr(feature = "serde", serde(default, with = "timestamp::option"))]
        revoked_at: Option<SystemTime>,
        #[cfg_attr(feature = "serde", serde(default))]
        disabled: bool,
        #[cfg_attr(feature = "serde", serde(default, with = "timestamp::option"))]
        rotation_due_at: Option<SystemTime>,
        #[cfg_attr(feature = "serde", serde(default))]
        successor: Option<KeyId>,
        #[cfg_attr(feature = "serde", serde(default))]
        counted_as: Option<KeyId>,
        #[cfg_attr(feature = "serde", serde(default))]
        limits: RateLimits,
        #[cfg_attr(feature = "serde", serde(default))]
        restrictions: Restrictions,
        #[cfg_attr(feature = "serde", serde(default))]
        metadata: Map<String, Value>,
        #[cfg_attr(feature = "serde", serde(default))]
        revision: u64,
        #[cfg_attr(feature = "serde", serde(skip))]
        suspended: bool,
    }

    impl From<super::KeyRecord> for KeyRecord {
        fn from(record: super::KeyRecord) -> Self {
            Self {
                name: record.name().to_owned(),
                created_by: record.created_by().cloned(),
                stage: record.stage().cloned(),
                created_at: record.created_at(),
                expires_at: record.expires_at(),
                revoked_at: record.revoked_at(),
                rotation_due_at: record.rotation_due_at(),
                successor: record.successor().cloned(),
                counted_as: record.counted_as().cloned(),
                limits: record.limits().clone(),
                restrictions: record.restrictions().clone(),
                metadata: record.metadata().clone(),
                id: record.id,
                digest: record.digest,
                hint: record.hint,
                tenant: record.tenant,
                kind: record.kind,
                abilities: record.abilities,
                disabled: record.disabled,
                revision: record.revision,
                suspended: record.suspended,
            }
        }
    }

    #[cfg(feature = "serde")]
    impl From<KeyRecord> for super::KeyRecord {
        fn from(parts: KeyRecord) -> Self {
            let mut record = Self::new(parts.id, parts.digest, parts.name, parts.created_at);
            record.hint = parts.hint;
            record.tenant = parts.tenant;
            record.set_created_by(parts.created_by);
            record.set_stage(parts.stage);
            record.kind = parts.kind;
            record.abilities = parts.abilities;
            record.set_expires_at(parts.expires_at);
            record.set_revoked_at(parts.revoked_at);
            record.disabled = parts.disabled;
            record.set_rotation_due_at(parts.rotation_due_at);
            record.set_successor(parts.successor);
            record.set_counted_as(parts.counted_as);
            record.set_limits(parts.limits);
            record.set_restrictions(parts.restrictions);
            record.set_metadata(parts.metadata);
            record.revision = parts.revision;
            record.suspended = parts.suspended;
            record
        }
    }
}

/// Times as RFC 3339 text with nanoseconds, so that they are read back exactly.
#[cfg(feature = "serde")]
mod timestamp {
    use std::borrow::Cow;
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    use crate::rfc3339::{format_time, parse_time};

    pub(super) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_time(*time, None).map_err(ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        parse_time(&text).map_err(de::Error::custom)
    }

    pub(super) mod option {
        use super::*;

        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<SystemTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => {
                    let text = format_time(*time, None).map_err(ser::Error::custom)?;
                    serializer.serialize_some(&text)
                }
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
            text.map(|text| parse_time(&text).map_err(de::Error::custom)).transpose()
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
        let mut record =
            KeyRecord::new("key_1".parse().unwrap(), digest, "n\u{e4}me", SystemTime::UNIX_EPOCH);
        record.abilities = ["bots:*", "chat:send"].try_into().unwrap();
        record.tenant = Some("acme".parse().unwrap());
        record.set_created_by(Some(Actor::from("alice@acme.example")));
        record.set_stage(Some("prod".parse().unwrap()));
        record.kind = KeyKind::Public;
        record.set_counted_as(Some("key_0".parse().unwrap()));
        let limits = ["7 per second", "bulk: 900 per 2 hours, burst 3, shared by tenant"];
        record.set_limits(RateLimits::new(limits.map(|text| text.parse().unwrap())).unwrap());
        record.set_created_at(SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789));
        record.set_expires_at(Some(record.created_at() + Duration::from_secs(60)));
        record.change_metadata(|metadata| {
            metadata.insert("plan".to_owned(), Value::from("free"));
        });
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains(r#""created_by":"name:alice@acme.example""#), "{text}");
        assert!(text.contains(r#""created_at":"2023-11-14T22:13:20.123456789Z""#), "{text}");
        assert_eq!(serde_json::from_str::<KeyRecord>(&text).unwrap(), record);
    }

    #[test]
    fn a_record_whose_abilities_do_not_parse_is_refused() {
        let digest = KeyHasher::sha256().digest("k");
        let text = serde_json::json!({
            "id": "key_1", "digest": digest, "name": "x", "created_at": "2023-11-14T22:13:20Z",
            "abilities": ["bots:read", "admin:"],
        });
        let error = serde_json::from_value::<KeyRecord>(text).unwrap_err().to_string();
        assert!(error.contains("an ability is"), "{error}");
    }

    #[test]
    fn a_time_that_has_no_text_is_an_error_and_no_panic() {
        let digest = KeyHasher::sha256().digest("k");
        let mut record =
            KeyRecord::new("key_1".parse().unwrap(), digest, "x", SystemTime::UNIX_EPOCH);
        record.set_created_at(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        assert!(serde_json::to_string(&record).is_err());
        record.set_created_at(SystemTime::UNIX_EPOCH + Duration::from_secs(300_000_000_000));
        assert!(serde_json::to_string(&record).is_err());
    }
}
