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
/// A clone manages the same keys. Changes of one key through a manager and its clones are made one
/// after the other. Every call ends within a [deadline](Self::deadline), by the timer of a Tokio
/// runtime.
///
/// By default it may do everything;
/// [`on_behalf_of`](Self::on_behalf_of) bounds it by what an owner may grant.
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
    /// Manages the keys of `repository`.
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

    /// Sets what keys look like and how they are hashed. The layer needs the same scheme, as the one
    /// from [`layer`](Self::layer) has.
    ///
    /// The successor of a rotated key has the format with the same prefix.
    pub fn scheme(self, scheme: KeyScheme) -> Self {
        self.with(|settings| settings.scheme = scheme)
    }

    /// Sets the clock.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.with(|settings| {
            settings.clock = Arc::new(clock);
            settings.clock_was_set = true;
        })
    }

    /// Makes a layer that verifies the keys that this manager manages: by the same repository, the
    /// same scheme, and the same clock if one was set.
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
    /// ```
    pub fn layer(&self) -> ApiKeyLayer {
        let Settings { repository, scheme, clock, clock_was_set, .. } = &*self.settings;
        let layer = ApiKeyLayer::over(Arc::clone(repository) as _).scheme(scheme.clone());
        // Without one, a layer counts requests by a clock that does not jump.
        if *clock_was_set { layer.clock(Arc::clone(clock)) } else { layer }
    }

    /// Sets after which time new keys should be replaced, unless they say otherwise. By default
    /// never.
    ///
    /// [List](Self::list) keys by [`KeyQuery::rotation_due_by`](crate::store::KeyQuery::rotation_due_by) to find those that are due.
    pub fn rotation_period(self, period: Duration) -> Self {
        self.with(|settings| settings.rotation_period = Some(period))
    }

    /// Bounds how many keys each tenant has. By default it has as many as it likes.
    ///
    /// All those [count](KeyRecord::counts) that were not revoked and have not expired, also if they are
    /// disabled, or were rotated and work on for a while: leave room for rotations, or rotate without a
    /// grace. What would make them more is [`ManageError::TooManyKeys`]: issuing a key, rotating one
    /// with a grace, and letting an expired one live again. It is counted in the same transaction,
    /// script or lock as the change, so that those who issue at once do not get beyond it either; nodes
    /// with other bounds, or without one, go by their own. Tenants that have more already keep them.
    ///
    /// The keys of no tenant are not bounded.
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

    /// Sets the names of the metadata that keys hand on to those that are issued on their behalf,
    /// such as what a guard decides by. By default none.
    ///
    /// Under these names, a key that is issued, updated, enabled or rotated
    /// [on behalf](Self::on_behalf_of) of another one has afterwards what that one has: the same
    /// value, or none either. Which value allows more is known to the guard only.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// let keys = KeyManager::new(MemoryStore::new()).inherit_metadata(["office_hours_only"]);
    /// ```
    pub fn inherit_metadata<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.with(|settings| settings.inherited_metadata = names)
    }

    /// Sets the abilities that there are. A key with another ability is not issued, and none is changed to have
    /// one. By default, each text that is an ability is accepted.
    ///
    /// Abilities that a key has already, or is given because its [owner](Self::on_behalf_of) has them, stay,
    /// and keys are [imported](Self::import) as they are. A wildcard is known if it stands for an
    /// ability of the catalogue.
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
    /// assert!(matches!(refused, Err(ManageError::UnknownAbility)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn abilities(self, catalogue: AbilityCatalogue) -> Self {
        self.with(|settings| settings.abilities = Some(Arc::new(catalogue)))
    }

    /// Refuses abilities that there are not, but for those that were there before.
    pub(super) fn check_abilities(
        &self,
        abilities: &AbilitySet,
        before: &AbilitySet,
    ) -> Result<(), ManageError> {
        let catalogue = self.settings.abilities.as_deref();
        match catalogue.is_none_or(|catalogue| catalogue.knows_all(abilities, before)) {
            true => Ok(()),
            false => Err(ManageError::UnknownAbility),
        }
    }

    /// Adds a sink for every change of a key.
    pub fn audit(self, sink: impl AuditSink + 'static) -> Self {
        self.with(|settings| settings.sinks.push(Arc::new(sink)))
    }

    pub(super) fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }

    /// Returns a manager whose changes are noted as those of `actor`.
    pub fn acting_as(&self, actor: impl Into<Actor>) -> Self {
        let owner = Owner { actor: actor.into(), ..self.owner.clone() };
        Self { owner, ..self.clone() }
    }

    /// Returns a manager that does what `owner` may do: for applications that let the people of a
    /// tenant, or [keys](crate::VerifiedKey), manage keys.
    ///
    /// It sees the keys of the same tenant only, and to it those of others do not exist. A key that
    /// is issued, updated, enabled or rotated may afterwards not be allowed more than the owner is:
    /// its abilities have to be within those of the owner, and if the owner is a key, its stage,
    /// expiry, limits and restrictions too. What is not said of a new key is as it is with the
    /// owner. Taking away is allowed of any. A public key may do nothing, and neither may a key
    /// without a tenant unless the owner [says so](Owner::allow_tenantless).
    ///
    /// Limits that a key is granted have the names of the owner's, so that a new name does not let it
    /// begin anew, and may be lower; those that are
    /// [shared by the tenant](crate::RateLimit::shared_by_tenant) are exactly those of the owner. More
    /// limits of its own may be added.
    ///
    /// Not bounded are metadata, but for those that keys [hand on](Self::inherit_metadata), dates of
    /// rotation, and how many keys there are. Each key has limits of its own to use up, together with
    /// those that it replaced; only those that are shared by the tenant bound them all. Which keys may
    /// manage keys at all is for the owner [to say](Owner::requiring).
    ///
    /// # When the owner is judged
    ///
    /// An owner that is a key is judged by its record, which is read anew for every call, and a change
    /// is made only if that record is still the same in the moment of the change: in the same
    /// transaction, script or lock. So
    ///
    /// * after a revocation of the owner was acknowledged, nothing is changed on its behalf, however
    ///   long that was under way. The same goes for what it is deprived of: its abilities, its
    ///   expiry, its stage, its limits and its restrictions, and for taking it out of use;
    /// * what was changed before stays, and so do the keys that it has issued: list them by their
    ///   audit events;
    /// * if the owner's record has changed and still allows it, the change is made all the same: the
    ///   owner is judged again;
    /// * whether the owner has expired is judged by this manager's clock when its record is read. A
    ///   change that is under way then can be made after that time; what it grants expires with the
    ///   owner at the latest;
    /// * reading is judged when the record is read: a list that is under way meanwhile is answered.
    ///
    /// An owner that is [somebody of a tenant](Owner::of_tenant) counts as whoever made it says.
    pub fn on_behalf_of(&self, owner: impl Into<Owner>) -> Self {
        Self { owner: owner.into(), ..self.clone() }
    }

    /// Makes changes if they are still within `authority`, as it was judged for them.
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

    /// Tells of changes that were made.
    pub(super) fn tell_sinks(&self, events: &[AuditEvent]) {
        for (event, sink) in events
            .iter()
            .flat_map(|event| self.settings.sinks.iter().map(move |sink| (event, sink)))
        {
            // The change was made, whatever a sink does.
            contain::notify("an audit sink", || sink.record(event));
        }
    }

    /// Returns the bounds of the tenants that have more keys after what these events tell of.
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

    /// Returns who is noted for what is done.
    pub(super) fn actor(&self) -> &Actor {
        &self.owner.actor
    }

    pub(super) fn now(&self) -> SystemTime {
        to_microsecond(self.settings.clock.now())
    }

    /// Tells whether nothing bounds what is done.
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
    /// Sets how long a call may take. The default is 10 seconds.
    ///
    /// A call that takes longer is [`ManageError::Deadline`]. It leaves nothing half done; whether a
    /// change that was about to be made was made is not known. [`prune`](Self::prune) and
    /// [`issue_all`](Self::issue_all), which may have much to do, take the time for each page and each
    /// batch.
    ///
    /// Some stores give up earlier by themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// let keys = KeyManager::new(MemoryStore::new()).deadline(Duration::from_secs(5));
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
