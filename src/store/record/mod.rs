//! [`KeyRecord`]: the stored data of a key, without its text.

mod changes;
mod parts;
#[cfg(feature = "serde")]
mod timestamp;

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

/// The stored data of a key.
///
/// It does not contain the text of the key. This crate creates records when it [issues](crate::NewKey)
/// keys. A store over a table of another system creates one from a row: by [`new`](Self::new), which
/// grants no abilities, and the methods that begin with `set_`. The id of a record never changes.
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
    /// The parts of the key by which people recognize it: its prefix and last four characters.
    pub(crate) hint: KeyHint,
    /// The name of the key, which says what the key is for.
    pub(crate) name: Compact<23, Box<str>>,
    /// The tenant on whose behalf it acts.
    pub(crate) tenant: Option<TenantId>,
    /// Whether it is a secret.
    pub(crate) kind: KeyKind,
    /// The abilities.
    pub(crate) abilities: AbilitySet,
    /// When it was issued.
    pub(crate) created_at: Moment,
    /// The time from which it is refused.
    pub(crate) expires_at: Option<Moment>,
    /// When it was revoked.
    pub(crate) revoked_at: Option<Moment>,
    /// Whether it is disabled.
    pub(crate) disabled: bool,
    /// The number of changes of the record, by which writers detect each other.
    pub(crate) revision: u64,
    /// Whether its tenant is suspended. The store sets it when it finds the record, and does not store
    /// it with the record.
    pub(crate) suspended: bool,
    /// Never equal to [none](Terms::NONE).
    pub(crate) terms: Option<Arc<Terms>>,
    /// Never empty.
    pub(crate) rare: Option<Box<Rare>>,
}

impl KeyRecord {
    /// Creates the record of a secret key that has no abilities and does not expire. All else is empty.
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

    /// Returns the id under which the limits count: that of the record, unless it has
    /// [another](Self::counted_as).
    #[must_use]
    pub fn counted_id(&self) -> &KeyId {
        self.counted_as().unwrap_or(&self.id)
    }

    /// Returns when the key ends permanently: when it was revoked, or else when it expires.
    pub(crate) fn ends_at(&self) -> Option<SystemTime> {
        self.revoked_at.or(self.expires_at).map(SystemTime::from)
    }

    /// Estimates the size of the record in bytes. Shared parts count for each record.
    pub(super) fn size(&self) -> usize {
        // Each field by its name, so that none that is added later is forgotten.
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

    /// Returns the terms, if others may have the same: restrictions usually belong to one key.
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

/// Shows the content, and not how it is stored.
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

    /// Returns the parts of the key by which people recognize it: its prefix and last four characters.
    #[must_use]
    pub fn hint(&self) -> &KeyHint {
        &self.hint
    }

    /// Returns the name of the key, which says what the key is for.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Returns the tenant on whose behalf the key acts.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Returns who issued the key, if known: a [`KeyManager`](crate::KeyManager) records it.
    #[must_use]
    pub fn created_by(&self) -> Option<&Actor> {
        self.terms().created_by.as_ref()
    }

    /// Returns the stage in which the key works, if it works in one only.
    #[must_use]
    pub fn stage(&self) -> Option<&Stage> {
        self.terms().stage.as_ref()
    }

    /// Returns the kind of the key: secret or public.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the abilities of the key: what it may do.
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

    /// Returns when the key was revoked.
    #[must_use]
    pub fn revoked_at(&self) -> Option<SystemTime> {
        self.revoked_at.map(SystemTime::from)
    }

    /// Tells whether the key is disabled.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// Returns the time from which the key should be replaced. The key continues to work.
    #[must_use]
    pub fn rotation_due_at(&self) -> Option<SystemTime> {
        self.rare.as_ref()?.rotation_due_at.map(SystemTime::from)
    }

    /// Returns the id of the key that replaces this one.
    #[must_use]
    pub fn successor(&self) -> Option<&KeyId> {
        self.rare.as_ref()?.successor.as_ref()
    }

    /// Returns the id under which the limits count, if it is that of another key: the first of a chain
    /// of rotations.
    ///
    /// So a successor continues with the used limits, and while several keys of the chain work, they
    /// count together. [`counted_id`](Self::counted_id) always returns an id.
    #[must_use]
    pub fn counted_as(&self) -> Option<&KeyId> {
        self.rare.as_ref()?.counted_as.as_ref()
    }

    /// Returns the rate limits of the key.
    #[must_use]
    pub fn limits(&self) -> &RateLimits {
        &self.terms().limits
    }

    /// Returns the restrictions of the key: addresses, sites, pages and endpoints.
    #[must_use]
    pub fn restrictions(&self) -> &Restrictions {
        &self.terms().restrictions
    }

    /// Returns the metadata that the application stored with the key.
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Value> {
        static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        self.rare.as_ref().map_or(&*NONE, |rare| &rare.metadata)
    }

    /// Returns the number of changes of the record, by which writers detect each other.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Tells whether the tenant of the key was suspended when the store found the record.
    ///
    /// It is not stored with the key, and `serde` skips it: the store knows which tenants are
    /// [suspended](crate::KeyManager::suspend).
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended
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
