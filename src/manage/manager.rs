//! [`KeyManager`]: what applications call to issue, change and revoke keys.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::authority::Authority;
use super::deadline::{DEADLINE, Deadline};
use super::owner::Bound;
use super::turns::Turns;
use super::{Excess, ManageError, Owner};
use crate::clock::{Clock, SystemClock, to_microsecond};
use crate::contain;
use crate::key::{AbilityCatalogue, AbilitySet, KeyScheme};
use crate::layer::ApiKeyLayer;
use crate::store::{
    Actor, AuditAction, AuditEvent, AuditSink, CommitError, KeyBound, KeyChange, KeyRecord,
    KeyRepository,
};

/// Issues, lists, changes, rotates and revokes the keys of a repository.
///
/// A clone manages the same keys. A manager and its clones make changes of one key one after the other.
/// Every call ends within a [deadline](Self::deadline), by the timer of a Tokio runtime.
///
/// A new manager may do everything. [`on_behalf_of`](Self::on_behalf_of) returns one that grants no more than
/// an owner has.
///
/// # Examples
///
/// ```
/// use tower_api_key::{KeyManager, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyManager::new(MemoryStore::new()).acting_as("alice@acme.example");
/// let issued = keys.issue(NewKey::named("nightly import").tenant("acme")).await?;
/// println!("shown once: {}", issued.secret.reveal());
///
/// let revoked = keys.revoke(issued.record.id()).await?;
/// assert!(revoked.record.revoked_at().is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct KeyManager {
    pub(super) settings: Arc<Settings>,
    owner: Owner,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) repository: Arc<dyn KeyRepository>,
    pub(super) scheme: KeyScheme,
    pub(super) clock: Arc<dyn Clock>,
    clock_was_set: bool,
    pub(super) rotation_period: Option<Duration>,
    max_keys: Option<u64>,
    inherited_metadata: Arc<[String]>,
    pub(super) abilities: Option<Arc<AbilityCatalogue>>,
    pub(super) deadline: Duration,
    pub(super) turns: Arc<Turns>,
    sinks: Vec<Arc<dyn AuditSink>>,
}

impl KeyManager {
    /// Creates a manager of the keys in `repository`, which is a store such as a
    /// [`MemoryStore`](crate::MemoryStore).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// assert!(issued.secret.reveal().starts_with("ak_"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(repository: impl KeyRepository + 'static) -> Self {
        let settings = Settings {
            repository: Arc::new(repository),
            scheme: KeyScheme::default(),
            clock: Arc::new(SystemClock),
            clock_was_set: false,
            rotation_period: None,
            max_keys: None,
            inherited_metadata: Arc::default(),
            abilities: None,
            deadline: DEADLINE,
            turns: Arc::default(),
            sinks: Vec::new(),
        };
        Self { settings: Arc::new(settings), owner: Owner::application() }
    }

    /// Sets the scheme of new keys: their format and how they are hashed. The layer needs the same scheme;
    /// [`layer`](Self::layer) returns one that has it.
    ///
    /// The successor of a rotated key has the format with the same prefix.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyFormat, KeyManager, KeyScheme, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let scheme = KeyScheme::new(KeyFormat::new("sk_live_"));
    /// let keys = KeyManager::new(MemoryStore::new()).scheme(scheme);
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// assert!(issued.secret.reveal().starts_with("sk_live_"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn scheme(self, scheme: KeyScheme) -> Self {
        self.with(|settings| settings.scheme = scheme)
    }

    /// Sets the clock, such as a `FakeClock` in tests. By default, the system's clock is used.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use std::time::Duration;
    ///
    /// use tower_api_key::store::KeyState;
    /// use tower_api_key::testing::FakeClock;
    /// use tower_api_key::{Clock, KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = FakeClock::default();
    /// let keys = KeyManager::new(MemoryStore::new()).clock(clock.clone());
    /// let key = NewKey::named("trial").expires_at(clock.now() + Duration::from_secs(3600));
    /// let issued = keys.issue(key).await?;
    /// clock.advance(Duration::from_secs(3600));
    /// assert_eq!(issued.record.state(clock.now()), KeyState::Expired);
    /// # Ok(())
    /// # }
    /// # main().unwrap();
    /// # }
    /// ```
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.with(|settings| {
            settings.clock = Arc::new(clock);
            settings.clock_was_set = true;
        })
    }

    /// Returns an [`ApiKeyLayer`] that verifies the keys of this manager: with the same repository, the same
    /// scheme, and the same clock if one was set.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::Router;
    /// use tower_api_key::{KeyFormat, KeyManager, KeyScheme, MemoryStore};
    ///
    /// let scheme = KeyScheme::new(KeyFormat::new("sk_live_"));
    /// let keys = KeyManager::new(MemoryStore::new()).scheme(scheme);
    /// let app: Router = Router::new().layer(keys.layer().realm("shop"));
    /// # assert!(!app.has_routes());
    /// ```
    pub fn layer(&self) -> ApiKeyLayer {
        let Settings { repository, scheme, clock, clock_was_set, .. } = &*self.settings;
        let layer = ApiKeyLayer::over(Arc::clone(repository) as _).scheme(scheme.clone());
        // Without one, a layer counts requests by a clock that does not jump.
        if *clock_was_set { layer.clock(Arc::clone(clock)) } else { layer }
    }

    /// Sets the rotation period: how long after its issue a new key should be replaced. By default, there is
    /// none. A new key that has a date of its own keeps it.
    ///
    /// Nothing happens to a key that is due. To find such keys, [list](Self::list) them by
    /// [`KeyQuery::rotation_due_by`](crate::KeyQuery::rotation_due_by).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let period = Duration::from_secs(90 * 24 * 3600);
    /// let keys = KeyManager::new(MemoryStore::new()).rotation_period(period);
    /// let record = keys.issue(NewKey::named("nightly import")).await?.record;
    /// assert_eq!(record.rotation_due_at(), Some(record.created_at() + period));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rotation_period(self, period: Duration) -> Self {
        self.with(|settings| settings.rotation_period = Some(period))
    }

    /// Limits the number of keys of each tenant. By default, there is no limit.
    ///
    /// A key [counts](KeyRecord::counts) until it is revoked or expires. A disabled key counts, and so does a
    /// rotated one in its grace period: leave room for rotations, or rotate without a grace period.
    ///
    /// Beyond the limit, these calls return [`ManageError::TooManyKeys`]: issuing a key, rotating one with a
    /// grace period, and extending an expired one. Keys are counted in the transaction, script or lock of the
    /// change, so calls at the same time do not exceed the limit. Each node applies its own limit. A tenant
    /// that has more keys already keeps them.
    ///
    /// The limit does not apply to keys without a tenant.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, ManageError, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new()).max_keys_per_tenant(1);
    /// let first = keys.issue(NewKey::named("first").tenant("acme")).await?;
    /// let second = keys.issue(NewKey::named("second").tenant("acme")).await;
    /// assert!(matches!(second, Err(ManageError::TooManyKeys(1))));
    /// keys.revoke(first.record.id()).await?;
    /// keys.issue(NewKey::named("second").tenant("acme")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_keys_per_tenant(self, keys: u64) -> Self {
        self.with(|settings| settings.max_keys = Some(keys))
    }

    /// Sets the names of inherited metadata, such as those that a guard uses. By default, there are none.
    ///
    /// A key that is issued, updated, enabled or rotated [on behalf](Self::on_behalf_of) of another key must
    /// have the same value under each of these names, or none if the other one has none. Only the guard knows
    /// which value allows more.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new()).inherit_metadata(["office_hours_only"]);
    /// let parent = NewKey::named("parent").tenant("acme").metadata("office_hours_only", true);
    /// let parent = keys.issue(parent).await?;
    /// // The key of a request, as a handler finds it:
    /// let request = http::Request::get("/").header("x-api-key", parent.secret.reveal());
    /// let (mut parts, ()) = request.body(())?.into_parts();
    /// let admitted = keys.layer().verify(&mut parts).await?;
    /// let key = admitted.key().ok_or("no key")?;
    ///
    /// let child = keys.on_behalf_of(key).issue(NewKey::named("child")).await?;
    /// assert_eq!(child.record.metadata()["office_hours_only"], true);
    /// # Ok(())
    /// # }
    /// ```
    pub fn inherit_metadata<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.with(|settings| settings.inherited_metadata = names)
    }

    /// Sets the catalogue of abilities. The manager refuses to give a key an ability that is not in it. By
    /// default, every well-formed ability is accepted.
    ///
    /// A key keeps abilities that it has already, and [imported](Self::import) keys are not checked. A wildcard
    /// is accepted if it covers an ability of the catalogue.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::key::AbilityCatalogue;
    /// use tower_api_key::{KeyManager, ManageError, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let catalogue = AbilityCatalogue::new().ability("bots:read", "List and read bots");
    /// let keys = KeyManager::new(MemoryStore::new()).abilities(catalogue);
    /// keys.issue(NewKey::named("reader").abilities(["bots:read"])).await?;
    /// let refused = keys.issue(NewKey::named("reader").abilities(["bots:raed"])).await;
    /// let Err(ManageError::UnknownAbility(unknown)) = refused else { panic!("it is issued") };
    /// assert_eq!(unknown, ["bots:raed"].try_into()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn abilities(self, catalogue: AbilityCatalogue) -> Self {
        self.with(|settings| settings.abilities = Some(Arc::new(catalogue)))
    }

    /// Refuses abilities that are not in the catalogue, unless the key had them before.
    pub(super) fn check_abilities(
        &self,
        abilities: &AbilitySet,
        before: &AbilitySet,
    ) -> Result<(), ManageError> {
        let Some(catalogue) = &self.settings.abilities else { return Ok(()) };
        let unknown = catalogue.unknown(abilities, before);
        match unknown.is_empty() {
            true => Ok(()),
            false => Err(ManageError::UnknownAbility(unknown)),
        }
    }

    /// Adds an audit sink, which receives an event for every change of a key.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// use tower_api_key::store::{AuditAction, AuditEvent, AuditSink};
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// #[derive(Clone, Default)]
    /// struct Actions(Arc<Mutex<Vec<AuditAction>>>);
    ///
    /// impl AuditSink for Actions {
    ///     fn record(&self, event: &AuditEvent) {
    ///         self.0.lock().unwrap().push(event.action);
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let actions = Actions::default();
    /// let keys = KeyManager::new(MemoryStore::new()).audit(actions.clone());
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// keys.revoke(issued.record.id()).await?;
    /// assert_eq!(*actions.0.lock().unwrap(), [AuditAction::Issued, AuditAction::Revoked]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn audit(self, sink: impl AuditSink + 'static) -> Self {
        self.with(|settings| settings.sinks.push(Arc::new(sink)))
    }

    pub(super) fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }

    /// Returns a manager that names `actor` in its audit events and as the issuer of new keys.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::store::Actor;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new()).acting_as("alice@acme.example");
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// assert_eq!(issued.record.created_by(), Some(&Actor::from("alice@acme.example")));
    /// # Ok(())
    /// # }
    /// ```
    pub fn acting_as(&self, actor: impl Into<Actor>) -> Self {
        let owner = Owner { actor: actor.into(), ..self.owner.clone() };
        Self { owner, ..self.clone() }
    }

    /// Returns a manager that acts on behalf of `owner` and is limited to what the owner may do. For
    /// applications that let the users of a tenant, or [keys](crate::VerifiedKey), manage keys.
    ///
    /// * The manager sees the keys of the owner's tenant. All other keys are
    ///   [`NotFound`](ManageError::NotFound).
    /// * A key that is issued, updated, enabled or rotated must not be allowed more than the owner: its
    ///   abilities have to be within the owner's. If the owner is a key, its stage, expiry, limits and
    ///   restrictions have to be, too. A new key inherits from the owner what its [`NewKey`](crate::NewKey)
    ///   leaves open.
    /// * Every key of the tenant can be disabled and revoked.
    /// * A public key may do nothing. A key without a tenant may do nothing either, unless
    ///   [`Owner::allow_tenantless`] permits it.
    /// * The limits of a key have the names of the owner's limits, so that a new name does not reset what was
    ///   used, and may be lower. Limits that are [shared by the tenant](crate::RateLimit::shared_by_tenant)
    ///   have to be exactly the owner's. A key may have more limits.
    ///
    /// Metadata are free, except [inherited](Self::inherit_metadata) ones, and so are dates of rotation and the
    /// number of keys. Each key uses up its own limits, together with the keys that it replaced; only limits
    /// that are shared by the tenant bound all keys together. [`Owner::requiring`] sets which abilities an owner
    /// needs to manage keys.
    ///
    /// # When the owner is judged
    ///
    /// If the owner is a key, every call reads its record anew. A change is made only if that record is still
    /// the same at the moment of the change, in the same transaction, script or lock. Therefore:
    ///
    /// * Once a revocation of the owner is acknowledged, nothing is changed on its behalf, even by calls that
    ///   began earlier. The same holds when it is disabled and when it loses abilities, time, a stage, limits or
    ///   restrictions.
    /// * Earlier changes stay, and so do the keys that it has issued. Find them by their audit events.
    /// * If the owner's record changes during a call, the owner is judged again. If it still may make the
    ///   change, the change is made.
    /// * The manager's clock decides whether the owner has expired, when the record is read. A call that began
    ///   before can end after that time; the keys that it grants expire no later than the owner.
    /// * Reads are judged when the owner's record is read.
    ///
    /// An owner that is a [user of a tenant](Owner::of_tenant) is not looked up: the application judges it when
    /// it creates the [`Owner`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::manage::Owner;
    /// use tower_api_key::{KeyManager, ManageError, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let other = keys.issue(NewKey::named("of another tenant").tenant("globex")).await?;
    ///
    /// let alice = Owner::of_tenant("acme".parse()?, ["bots:*"].try_into()?, "alice@acme.example");
    /// let keys = keys.on_behalf_of(alice);
    /// let issued = keys.issue(NewKey::named("nightly import").abilities(["bots:read"])).await?;
    /// assert_eq!(issued.record.tenant().unwrap(), "acme");
    /// let refused = keys.issue(NewKey::named("too much").abilities(["chat:send"])).await;
    /// assert!(matches!(refused, Err(ManageError::Exceeds(_))));
    /// let foreign = keys.get(other.record.id()).await;
    /// assert!(matches!(foreign, Err(ManageError::NotFound)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_behalf_of(&self, owner: impl Into<Owner>) -> Self {
        Self { owner: owner.into(), ..self.clone() }
    }

    /// Commits changes, provided that the owner is still the one that `authority` was read from.
    pub(super) async fn commit(
        &self,
        authority: &Authority,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        let repository = &self.settings.repository;
        let (requirement, bounds) = (authority.requirement(), self.bounds(events));
        if requirement.is_none() && bounds.is_empty() {
            repository.commit(changes, events).await?;
        } else {
            // The requirement is first, so that it is asked of the record before the changes, should it
            // be the same; what there is afterwards is counted last.
            let requirement = requirement.into_iter().collect::<Vec<_>>();
            repository.commit(&[&*requirement, changes, &*bounds].concat(), events).await?;
        }
        self.tell_sinks(events);
        Ok(())
    }

    /// Sends the events of committed changes to the sinks.
    pub(super) fn tell_sinks(&self, events: &[AuditEvent]) {
        for (event, sink) in events
            .iter()
            .flat_map(|event| self.settings.sinks.iter().map(move |sink| (event, sink)))
        {
            // The change was made, whatever a sink does.
            contain::notify("an audit sink", || sink.record(event));
        }
    }

    /// Returns the limits of the tenants that have more keys after these events.
    fn bounds(&self, events: &[AuditEvent]) -> Vec<KeyChange> {
        let Some(at_most) = self.settings.max_keys else { return Vec::new() };
        let now = self.now();
        let mut growth = BTreeMap::new();
        let counted = |record: &Option<Arc<KeyRecord>>| {
            record.clone().filter(|record| record.tenant.is_some() && record.counts(now))
        };
        for event in events {
            for (record, more) in [(counted(&event.before), -1), (counted(&event.after), 1)] {
                let Some(record) = record else { continue };
                growth.entry(record.tenant.clone()).or_insert((0i64, record)).0 += more;
            }
        }
        let grown = growth.into_values().filter(|(more, _)| *more > 0);
        grown.map(|(_, record)| KeyChange::Bound(KeyBound::new(record, at_most, now))).collect()
    }

    pub(super) fn event(
        &self,
        at: SystemTime,
        action: AuditAction,
        before: Option<&Arc<KeyRecord>>,
        after: Option<&Arc<KeyRecord>>,
    ) -> AuditEvent {
        AuditEvent::new(at, self.owner.actor.clone(), action, before.cloned(), after.cloned())
    }

    /// Returns the actor of audit events.
    pub(super) fn actor(&self) -> &Actor {
        &self.owner.actor
    }

    pub(super) fn now(&self) -> SystemTime {
        to_microsecond(self.settings.clock.now())
    }

    /// Returns whether the manager may do everything.
    pub(super) fn is_unbounded(&self) -> bool {
        matches!(self.owner.bound, Bound::Nothing)
    }

    /// Returns the authority of the owner, as it is now.
    pub(super) async fn authority(&self) -> Result<Authority, ManageError> {
        match &self.owner.bound {
            Bound::Nothing => Ok(Authority::unbounded()),
            Bound::Key(id) => {
                let Settings { repository, inherited_metadata, .. } = &*self.settings;
                let key = repository.get(id).await?.ok_or(Excess::Inactive)?;
                Authority::of_key(&key.record, &self.owner, inherited_metadata, self.now())
            }
            Bound::Tenant { tenant, abilities } => {
                Authority::of_tenant(tenant, abilities, &self.owner)
            }
        }
    }
}

// Every call ends in time.
impl KeyManager {
    /// Sets the deadline: how long a call may take. By default, it is 10 seconds.
    ///
    /// A call that takes longer returns [`ManageError::Deadline`]. It leaves nothing half done, but it is not
    /// known whether its change was made. For [`prune`](Self::prune) and [`issue_all`](Self::issue_all), the
    /// deadline is that of each page and each batch.
    ///
    /// Some stores have shorter time-outs of their own.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// let keys = KeyManager::new(MemoryStore::new()).deadline(Duration::from_secs(5));
    /// assert!(format!("{keys:?}").contains("deadline: 5s"));
    /// ```
    pub fn deadline(self, time: Duration) -> Self {
        self.with(|settings| settings.deadline = time)
    }

    pub(super) fn begin(&self) -> Deadline {
        Deadline::after(self.settings.deadline)
    }

    pub(super) async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, ManageError>>,
    ) -> Result<T, ManageError> {
        self.begin().bound(call).await
    }
}

impl fmt::Debug for KeyManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyManager")
            .field("scheme", &self.settings.scheme)
            .field("rotation_period", &self.settings.rotation_period)
            .field("max_keys_per_tenant", &self.settings.max_keys)
            .field("inherited_metadata", &self.settings.inherited_metadata)
            .field("deadline", &self.settings.deadline)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}
