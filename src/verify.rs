//! [`VerifiedKey`]: the proof that a request has a valid API key.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::key::{AbilitySet, KeyDigest, KeyId, KeyKind, Stage, TenantId};
use crate::limit::LimitDecision;
use crate::reject::{Rejection, RejectionKind, Rejector};
use crate::store::{KeyRecord, KeyState};
use crate::trace;
use crate::watch::{Admission, Asked, Watcher};

/// Proves that a request has a valid API key, and holds the record of the key.
///
/// Only the layer creates one, after all checks. Handlers find it in the extensions of the request.
/// Cloning it is cheap and does not contend with other threads. It describes the key at the time of the
/// request. For long requests, [`ended`](Self::ended) and [`while_valid`](Self::while_valid) tell when
/// the key stops being valid; the layer ends response bodies itself.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use tower_api_key::testing::verified_key;
/// use tower_api_key::{KeyKind, NewKey, VerifiedKey};
///
/// fn greeting(request: &http::Request<()>) -> Option<String> {
///     let key = request.extensions().get::<VerifiedKey>()?;
///     Some(format!("hello {}", key.tenant()?))
/// }
/// let in_a_week = SystemTime::now() + Duration::from_secs(7 * 86_400);
/// let key = NewKey::named("nightly import")
///     .tenant("acme")
///     .stage("prod")
///     .abilities(["bots:read"])
///     .rotation_due_at(in_a_week)
///     .metadata("plan", "paid");
/// let request = http::Request::builder().extension(verified_key(key)).body(())?;
/// assert_eq!(greeting(&request).unwrap(), "hello acme");
///
/// let key: &VerifiedKey = request.extensions().get().unwrap();
/// assert!(key.id().as_str().starts_with("key_"));
/// assert_eq!((key.name(), key.kind()), ("nightly import", KeyKind::Secret));
/// assert_eq!(key.stage().unwrap(), "prod");
/// assert!(key.can("bots:read") && !key.abilities().can("bots:write"));
/// assert!(key.created_at() <= SystemTime::now() && key.expires_at().is_none());
/// assert!(key.rotation_due_at().is_some() && !key.is_rotation_due(SystemTime::now()));
/// assert_eq!(key.metadata()["plan"], "paid");
/// assert_eq!(key.record().id(), key.id());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct VerifiedKey {
    known: Arc<Known>,
    /// None if the layer has nothing to check again.
    asked: Option<Arc<Asked>>,
}

/// A record that a store returned to a layer. The layer checks it again at each request.
pub(crate) struct Known {
    record: Arc<KeyRecord>,
    authority: Arc<dyn Watcher>,
}

impl Known {
    pub(crate) fn new(
        record: Arc<KeyRecord>,
        authority: &Arc<impl Watcher + 'static>,
    ) -> Arc<Self> {
        Arc::new(Self { record, authority: Arc::clone(authority) as _ })
    }

    pub(crate) fn record(&self) -> &KeyRecord {
        &self.record
    }
}

impl VerifiedKey {
    /// Returns the public id of the key, for logs.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.known.record.id
    }

    /// Returns the name of the key, which says what the key is for.
    #[must_use]
    pub fn name(&self) -> &str {
        self.known.record.name()
    }

    /// Returns the tenant on whose behalf the key acts.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.known.record.tenant.as_ref()
    }

    /// Returns the stage in which the key works, if it is limited to one.
    #[must_use]
    pub fn stage(&self) -> Option<&Stage> {
        self.known.record.stage()
    }

    /// Returns whether the key is secret or public.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.known.record.kind
    }

    /// Returns the abilities of the key: what it may do.
    #[must_use]
    pub fn abilities(&self) -> &AbilitySet {
        &self.known.record.abilities
    }

    /// Tells whether the key has `ability`, such as `bots:read`.
    ///
    /// See [`AbilitySet::can`].
    #[must_use]
    pub fn can(&self, ability: &str) -> bool {
        self.known.record.abilities.can(ability)
    }

    /// Returns when the key was issued.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.known.record.created_at()
    }

    /// Returns the time from which the key is refused.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.known.record.expires_at()
    }

    /// Returns the time from which the key should be replaced. The key continues to work.
    #[must_use]
    pub fn rotation_due_at(&self) -> Option<SystemTime> {
        self.known.record.rotation_due_at()
    }

    /// Tells whether the key should have been replaced at `time`.
    #[must_use]
    pub fn is_rotation_due(&self, time: SystemTime) -> bool {
        self.known.record.rotation_due_at().is_some_and(|due_at| time >= due_at)
    }

    /// Returns the metadata that the application stored with the key.
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Value> {
        self.known.record.metadata()
    }

    /// Returns the whole record of the key.
    #[must_use]
    pub fn record(&self) -> &Arc<KeyRecord> {
        &self.known.record
    }

    /// Returns how the layer that verified the key refuses requests.
    pub(crate) fn rejector(&self) -> &Rejector {
        self.known.authority.rejector()
    }

    /// Refunds a granted cost to the limits of the key. Returns the state of the limits after that.
    pub(crate) fn refund(
        &self,
        cost: u32,
        granted: LimitDecision,
    ) -> BoxFuture<'static, LimitDecision> {
        let Known { record, authority } = &*self.known;
        Arc::clone(authority).refund(Arc::clone(record), cost, granted)
    }

    /// Returns the observers of the layer that verified the key.
    #[inline]
    pub(crate) fn observers(&self) -> &(dyn Any + Send + Sync) {
        self.known.authority.observers()
    }

    /// Keeps what the request asked for, for later checks.
    pub(crate) fn keep_asked(&mut self, asked: Arc<Asked>) {
        self.asked = Some(asked);
    }

    /// Returns the admission of the request, if the layer watches it.
    pub(crate) fn admission(self) -> Option<Admission> {
        let Self { known, asked } = self;
        let Known { record, authority } = &*known;
        authority.settings().is_on.then(|| Admission {
            authority: Arc::clone(authority),
            record: Arc::clone(record),
            asked,
        })
    }
}

impl fmt::Debug for VerifiedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifiedKey").field(&self.known.record).finish()
    }
}

/// What the prefix of a key says about it, if formats were set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    pub(crate) stage: Option<Stage>,
    pub(crate) kind: Option<KeyKind>,
}

/// Checks the record that a store returned for `digest`, now or a short time ago.
///
/// Only this file creates a [`VerifiedKey`].
pub(crate) fn verify(
    known: Arc<Known>,
    digest: &KeyDigest,
    claims: &Claims,
    clock: &dyn Clock,
) -> Result<VerifiedKey, Rejection> {
    let record = &*known.record;
    let refuse = |kind: RejectionKind| Err(Rejection::new(kind).of_key(&known.record));
    // In constant time: `KeyDigest` has no other comparison.
    if record.digest != *digest {
        trace::foreign_record(record.id.as_str(), "its digest is another");
        return Err(RejectionKind::Unknown.into());
    }
    let contradicts = (claims.stage.is_some() && claims.stage.as_ref() != record.stage())
        || claims.kind.is_some_and(|kind| kind != record.kind);
    if contradicts {
        trace::foreign_record(
            record.id.as_str(),
            "its stage or kind is not that of the key's prefix",
        );
        return refuse(RejectionKind::Unknown);
    }
    match record.state_by(|| clock.now()) {
        KeyState::Active => {}
        KeyState::Disabled => return refuse(RejectionKind::Disabled),
        KeyState::Expired => return refuse(RejectionKind::Expired),
        KeyState::Revoked => return refuse(RejectionKind::Revoked),
        KeyState::Suspended => return refuse(RejectionKind::Suspended),
    }
    trace::verified(|| record.id.as_str());
    Ok(VerifiedKey { known, asked: None })
}

/// Returns the key as it was verified at the request, and as it is now, so that guards can be checked
/// again.
pub(crate) fn verified_again(
    before: &Arc<KeyRecord>,
    now: &Arc<KeyRecord>,
    authority: &Arc<impl Watcher + 'static>,
) -> [VerifiedKey; 2] {
    [before, now].map(|record| {
        let known = Known::new(Arc::clone(record), authority);
        VerifiedKey { known, asked: None }
    })
}

/// The extension of a request that the layer accepted without a key, so that a guard can tell it from a
/// request without a layer.
#[derive(Clone, Debug)]
pub(crate) struct Anonymous(pub(crate) Arc<Rejector>);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::SystemClock;
    use crate::gate::Gate;
    use crate::key::KeyHasher;
    use crate::store::MemoryStore;

    struct At(SystemTime);

    impl Clock for At {
        fn now(&self) -> SystemTime {
            self.0
        }
    }

    fn record() -> KeyRecord {
        let digest = KeyHasher::sha256().digest("k");
        KeyRecord::new("key_1".parse().unwrap(), digest, "test", SystemTime::now())
    }

    fn judge(record: KeyRecord, claims: &Claims, clock: &dyn Clock) -> Result<(), RejectionKind> {
        let digest = KeyHasher::sha256().digest("k");
        let gate = Arc::new(Gate::new(Arc::new(MemoryStore::new())));
        verify(Known::new(Arc::new(record), &gate), &digest, claims, clock)
            .map(drop)
            .map_err(|rejection| rejection.kind())
    }

    #[test]
    fn a_record_of_another_key_is_an_unknown_key() {
        let mut record = record();
        record.digest = KeyHasher::sha256().digest("K");
        let judged = judge(record, &Claims::default(), &SystemClock);
        assert_eq!(judged, Err(RejectionKind::Unknown));
    }

    #[test]
    fn a_key_expires_at_the_very_moment() {
        let mut record = record();
        let end = record.created_at() + Duration::from_secs(60);
        record.set_expires_at(Some(end));
        let at = |time| judge(record.clone(), &Claims::default(), &At(time));
        assert_eq!(at(end - Duration::from_nanos(1)), Ok(()));
        assert_eq!(at(end), Err(RejectionKind::Expired));
        assert_eq!(at(end + Duration::from_secs(1)), Err(RejectionKind::Expired));
    }

    #[test]
    fn revoked_disabled_and_suspended_keys_are_refused() {
        let mut revoked = record();
        revoked.set_revoked_at(Some(revoked.created_at()));
        revoked.disabled = true;
        let judged = judge(revoked, &Claims::default(), &SystemClock);
        assert_eq!(judged, Err(RejectionKind::Revoked));
        let mut disabled = record();
        disabled.disabled = true;
        let judged = judge(disabled, &Claims::default(), &SystemClock);
        assert_eq!(judged, Err(RejectionKind::Disabled));
        let mut suspended = record();
        suspended.suspended = true;
        let judged = judge(suspended, &Claims::default(), &SystemClock);
        assert_eq!(judged, Err(RejectionKind::Suspended));
    }

    #[test]
    fn a_record_that_contradicts_the_prefix_is_refused() {
        let live = Claims { stage: Some("live".parse().unwrap()), kind: None };
        assert_eq!(judge(record(), &live, &SystemClock), Err(RejectionKind::Unknown));
        let mut record = record();
        record.set_stage(live.stage.clone());
        assert_eq!(judge(record.clone(), &live, &SystemClock), Ok(()));
        let public = Claims { kind: Some(KeyKind::Public), ..live };
        assert_eq!(judge(record, &public, &SystemClock), Err(RejectionKind::Unknown));
    }
}
