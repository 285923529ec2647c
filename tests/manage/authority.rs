//! A key that manages keys, and is revoked, reduced or changed while it does: what is done on its
//! behalf is judged in the moment in which it is done.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::task::JoinHandle;
use tower_api_key::key::{RateLimits, Restrictions};
use tower_api_key::manage::{Excess, Owner};
use tower_api_key::store::RecordUses;
use tower_api_key::store::{Actor, AuditEvent, KeyChange, KeyQuery};
use tower_api_key::{
    IssuedKey, KeyId, KeyKind, KeyManager, KeyRecord, KeyUpdate, ManageError, NewKey, TenantId,
};

use crate::common::in_time;
use crate::meanwhile::{Meanwhile, verified};
use crate::stores::{Store, over_each_store};

over_each_store! {
    a_key_that_is_deprived_of_something_meanwhile_grants_it_no_more
    a_key_that_may_manage_keys_no_more_takes_nothing_away_either
    a_key_that_only_changed_meanwhile_is_judged_again
    what_a_new_key_inherits_is_what_its_owner_has_in_that_moment
    a_key_that_never_stays_the_same_is_an_error
    keys_are_removed_only_on_behalf_of_one_that_may_still
    a_key_whose_use_is_noted_meanwhile_is_the_same
    keys_that_manage_each_other_do_not_lock_each_other_out
    many_who_use_a_leaked_key_do_not_hold_up_its_end_and_do_nothing_after
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A key that may manage keys, and one that it manages.
struct World {
    store: Store,
    /// The application, which nothing bounds.
    app: KeyManager,
    owner: IssuedKey,
    on_behalf: Owner,
    tenant: TenantId,
    peer: KeyId,
    disabled: KeyId,
    until: SystemTime,
}

impl World {
    async fn new(store: &Store) -> Self {
        let app = KeyManager::new(Arc::clone(store)).inherit_metadata(["office_hours_only"]);
        let until = SystemTime::UNIX_EPOCH + 1_000_000 * HOUR;
        // Of its own, since stores are used for several worlds.
        let tenant: TenantId = KeyId::generate().unwrap().as_str().parse().unwrap();
        let key = bounded(NewKey::named("owner"), until).tenant(tenant.as_str());
        let owner = app.issue(key.abilities(["bots:*", "api-keys:write"])).await.unwrap();
        let on_behalf = Owner::of_key(&verified(store, &owner.secret).await)
            .requiring(["api-keys:write"].try_into().unwrap());
        let keys = app.on_behalf_of(on_behalf.clone());
        let issue = async |name: &str| {
            let key = bounded(NewKey::named(name), until).abilities(["bots:read"]);
            keys.issue(key).await.unwrap().record.id().clone()
        };
        let (peer, disabled) = (issue("peer").await, issue("disabled").await);
        app.disable(&disabled).await.unwrap();
        Self { store: Arc::clone(store), app, owner, on_behalf, tenant, peer, disabled, until }
    }

    /// A manager on behalf of the owner, before whose commits something happens.
    fn keys(
        &self,
        happens: impl Fn(usize) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> (KeyManager, Meanwhile, Arc<Mutex<Vec<AuditEvent>>>) {
        let store = Meanwhile::new(self.store.clone(), happens);
        let events = Arc::<Mutex<Vec<_>>>::default();
        let sink = Arc::clone(&events);
        let keys = KeyManager::new(store.clone())
            .inherit_metadata(["office_hours_only"])
            .audit(move |event: &AuditEvent| sink.lock().unwrap().push(event.clone()));
        (keys.on_behalf_of(self.on_behalf.clone()), store, events)
    }

    /// All records of the tenant but that of the owner.
    async fn others(&self) -> BTreeMap<KeyId, Arc<KeyRecord>> {
        let mut query = KeyQuery::new().tenant(self.tenant.clone()).limit(1000);
        let mut others = BTreeMap::new();
        loop {
            let page = self.app.list(&query).await.unwrap();
            let records = page.keys.into_iter().map(|key| (key.record.id().clone(), key.record));
            others.extend(records);
            let Some(next) = page.next else { break };
            query = query.after(next);
        }
        others.remove(self.owner.record.id());
        others
    }
}

/// Bounds a key by all that can bound one.
fn bounded(key: NewKey, until: SystemTime) -> NewKey {
    key.stage("prod")
        .expires_at(until)
        .limit("100 per hour")
        .addresses(["127.0.0.0/8"])
        .origins(["https://shop.example", "https://app.example"])
        .endpoints(["/v1/*"])
        .metadata("office_hours_only", true)
}

/// What is done on behalf of a key.
#[derive(Clone, Copy, Debug)]
enum Act {
    Issue,
    Update,
    Enable,
    EnableByUpdate,
    Rotate,
    Disable,
    DisableByUpdate,
    Revoke,
}

const GRANTS: [Act; 5] = [Act::Issue, Act::Update, Act::Enable, Act::EnableByUpdate, Act::Rotate];

const TAKES_AWAY: [Act; 3] = [Act::Disable, Act::DisableByUpdate, Act::Revoke];

impl Act {
    async fn on(self, world: &World, keys: &KeyManager) -> Result<(), ManageError> {
        let (peer, disabled) = (&world.peer, &world.disabled);
        let flag = |disabled| KeyUpdate::new().disabled(disabled);
        match self {
            Self::Issue => {
                let key = bounded(NewKey::named("heir"), world.until).abilities(["bots:read"]);
                keys.issue(key).await.map(drop)
            }
            Self::Update => keys.update(peer, &KeyUpdate::new().name("mine")).await.map(drop),
            Self::Enable => keys.enable(disabled).await.map(drop),
            Self::EnableByUpdate => keys.update(disabled, &flag(false)).await.map(drop),
            Self::Rotate => keys.rotate(peer, HOUR).await.map(drop),
            Self::Disable => keys.disable(peer).await.map(drop),
            Self::DisableByUpdate => keys.update(peer, &flag(true)).await.map(drop),
            Self::Revoke => keys.revoke(peer).await.map(drop),
        }
    }
}

/// What happens to a record.
type Change = fn(&mut KeyRecord);

/// Changes a record in the store.
async fn change(store: &Store, id: &KeyId, change: Change) {
    let mut record = KeyRecord::clone(&store.get(id).await.unwrap().unwrap().record);
    change(&mut record);
    record.set_revision(record.revision() + 1);
    store.commit(&[KeyChange::Replace(Arc::new(record))], &[]).await.unwrap();
}

async fn remove(store: &Store, id: &KeyId) {
    let record = store.get(id).await.unwrap().unwrap().record;
    store.commit(&[KeyChange::Remove(record)], &[]).await.unwrap();
}

/// Has the owner changed once, before the first commit, or removed.
fn once(
    world: &World,
    changes: Option<Change>,
) -> impl Fn(usize) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    let (store, id) = (Arc::clone(&world.store), world.owner.record.id().clone());
    move |commits| {
        let (store, id) = (Arc::clone(&store), id.clone());
        async move {
            match changes {
                _ if commits > 0 => {}
                Some(changes) => change(&store, &id, changes).await,
                None => remove(&store, &id).await,
            }
        }
        .boxed()
    }
}

/// After these, a key manages nothing. `None` removes it.
const ENDS: [(&str, Option<Change>); 7] = [
    ("revoked", Some(|record| record.set_revoked_at(Some(record.created_at())))),
    ("disabled", Some(|record| record.set_disabled(true))),
    ("removed", None),
    ("expired", Some(|record| record.set_expires_at(Some(record.created_at())))),
    ("made public", Some(|record| record.set_kind(KeyKind::Public))),
    ("without the ability", Some(|record| record.set_abilities(["bots:*"].try_into().unwrap()))),
    ("without a tenant", Some(|record| record.set_tenant(None))),
];

/// After these, a key has less to grant.
const REDUCES: [(&str, Change); 8] = [
    ("abilities", |record| record.set_abilities(["api-keys:write"].try_into().unwrap())),
    ("expiry", |record| record.set_expires_at(Some(record.expires_at().unwrap() - HOUR))),
    ("stage", |record| record.set_stage(Some("dev".parse().unwrap()))),
    ("limits", |record| {
        record.set_limits(RateLimits::new(["50 per hour".parse().unwrap()]).unwrap());
    }),
    ("addresses", |record| {
        let addresses = ["127.0.0.1/32".parse().unwrap()].into();
        restrict(record, |restrictions| restrictions.addresses = Some(addresses));
    }),
    ("origins", |record| {
        let origins = ["https://shop.example".parse().unwrap()].into();
        restrict(record, |restrictions| restrictions.origins = Some(origins));
    }),
    ("endpoints", |record| {
        let endpoints = ["/v1/bots".parse().unwrap()].into();
        restrict(record, |restrictions| restrictions.endpoints = Some(endpoints));
    }),
    ("metadata", |record| insert_metadata(record, "office_hours_only", false.into())),
];

fn restrict(record: &mut KeyRecord, change: impl FnOnce(&mut Restrictions)) {
    let mut restrictions = record.restrictions().clone();
    change(&mut restrictions);
    record.set_restrictions(restrictions);
}

fn insert_metadata(record: &mut KeyRecord, name: &str, value: Value) {
    let mut metadata = record.metadata().clone();
    metadata.insert(name.to_owned(), value);
    record.set_metadata(metadata);
}

/// Asserts that a change is refused, and that nothing but the owner was changed.
async fn assert_refused(world: &World, act: Act, what: &str, happens: Option<Change>) {
    let before = world.others().await;
    let (keys, store, events) = world.keys(once(world, happens));
    let refused = in_time(act.on(world, &keys)).await;
    assert!(matches!(refused, Err(ManageError::Exceeds(_))), "{act:?}, {what}: {refused:?}");
    assert_eq!(store.commits(), 1, "{act:?}, {what}: judged to be too much");
    assert_eq!(world.others().await, before, "{act:?}, {what}");
    assert!(events.lock().unwrap().is_empty(), "{act:?}, {what}");
}

async fn a_key_that_is_deprived_of_something_meanwhile_grants_it_no_more(store: Store) {
    for act in GRANTS {
        for (what, change) in ENDS {
            assert_refused(&World::new(&store).await, act, what, change).await;
        }
        for (what, change) in REDUCES {
            assert_refused(&World::new(&store).await, act, what, Some(change)).await;
        }
    }
}

async fn a_key_that_may_manage_keys_no_more_takes_nothing_away_either(store: Store) {
    for act in TAKES_AWAY {
        for (what, change) in ENDS {
            assert_refused(&World::new(&store).await, act, what, change).await;
        }
        // Of what it grants, nothing is needed.
        for (what, change) in REDUCES {
            let world = World::new(&store).await;
            let (keys, store, events) = world.keys(once(&world, Some(change)));
            in_time(act.on(&world, &keys)).await.unwrap();
            assert_eq!((store.commits(), events.lock().unwrap().len()), (2, 1), "{act:?}, {what}");
        }
    }
}

async fn a_key_that_only_changed_meanwhile_is_judged_again(store: Store) {
    let harmless: [Change; 4] = [
        |record| record.set_name(format!("{}!", record.name())),
        |record| insert_metadata(record, "plan", 1.into()),
        |record| record.set_abilities(["*"].try_into().unwrap()),
        |record| record.set_expires_at(None),
    ];
    for act in GRANTS.into_iter().chain(TAKES_AWAY) {
        for change in harmless {
            let world = World::new(&store).await;
            let before = world.others().await;
            let (keys, store, events) = world.keys(once(&world, Some(change)));
            in_time(act.on(&world, &keys)).await.unwrap();
            assert_eq!(store.commits(), 2, "{act:?}");
            let expected = if matches!(act, Act::Rotate) { 2 } else { 1 };
            let events = events.lock().unwrap().clone();
            assert_eq!(events.len(), expected, "{act:?}: {events:?}");
            let actor = Actor::Key(world.owner.record.id().clone());
            assert!(events.iter().all(|event| event.actor == actor), "{act:?}");
            assert_ne!(world.others().await, before, "{act:?}");
        }
    }
}

async fn what_a_new_key_inherits_is_what_its_owner_has_in_that_moment(store: Store) {
    for (what, change) in &REDUCES[1..] {
        let world = World::new(&store).await;
        let (keys, _, _) = world.keys(once(&world, Some(*change)));
        let heir = in_time(keys.issue(NewKey::named("heir"))).await.unwrap().record;
        let owner = world.app.get(world.owner.record.id()).await.unwrap().record;
        assert_ne!(owner.revision(), world.owner.record.revision());
        let bounds = |record: &KeyRecord| {
            let (limits, restrictions) = (record.limits().clone(), record.restrictions().clone());
            let metadata = record.metadata().clone();
            (record.stage().cloned(), record.expires_at(), limits, restrictions, metadata)
        };
        assert_eq!(bounds(&heir), bounds(&owner), "{what}");
        assert_eq!(*world.app.get(heir.id()).await.unwrap().record, *heir);
    }
}

async fn a_key_that_never_stays_the_same_is_an_error(store: Store) {
    for act in GRANTS {
        let world = World::new(&store).await;
        let before = world.others().await;
        let (inner, id) = (Arc::clone(&world.store), world.owner.record.id().clone());
        let (keys, store, events) = world.keys(move |_| {
            let (inner, id) = (Arc::clone(&inner), id.clone());
            async move { change(&inner, &id, |record| record.set_name("renamed")).await }.boxed()
        });
        let result = in_time(act.on(&world, &keys)).await;
        assert!(matches!(result, Err(ManageError::Conflict)), "{act:?}: {result:?}");
        assert!((2..1000).contains(&store.commits()), "{act:?}: {}", store.commits());
        assert_eq!(world.others().await, before);
        assert!(events.lock().unwrap().is_empty());
    }
}

async fn keys_are_removed_only_on_behalf_of_one_that_may_still(store: Store) {
    let world = World::new(&store).await;
    world.app.revoke(&world.peer).await.unwrap();
    world.app.revoke(&world.disabled).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    let (keys, _, events) =
        world.keys(once(&world, Some(|record| record.set_name(format!("{}!", record.name())))));
    assert_eq!(in_time(keys.prune(SystemTime::now())).await.unwrap(), 2);
    assert_eq!(events.lock().unwrap().len(), 2);
    for (what, change) in ENDS {
        let world = World::new(&store).await;
        world.app.revoke(&world.peer).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let (keys, _, events) = world.keys(once(&world, change));
        let refused = in_time(keys.prune(SystemTime::now())).await;
        assert!(matches!(refused, Err(ManageError::Exceeds(_))), "{what}: {refused:?}");
        assert!(events.lock().unwrap().is_empty(), "{what}");
        world.app.get(&world.peer).await.unwrap();
    }
}

async fn a_key_whose_use_is_noted_meanwhile_is_the_same(store: Store) {
    let world = World::new(&store).await;
    let (inner, id) = (Arc::clone(&world.store), world.owner.record.id().clone());
    let (keys, store, _) = world.keys(move |_| {
        let (inner, id) = (Arc::clone(&inner), id.clone());
        let used = tower_api_key::store::KeyUse::new(id, SystemTime::now());
        async move { inner.record_uses(&[used]).await.unwrap() }.boxed()
    });
    in_time(Act::Issue.on(&world, &keys)).await.unwrap();
    assert_eq!(store.commits(), 1);
}

/// Each of two keys changes the other, so that both records are needed by both, in turn.
async fn keys_that_manage_each_other_do_not_lock_each_other_out(store: Store) {
    let app = KeyManager::new(Arc::clone(&store));
    let manager = || NewKey::named("manager").tenant("acme").abilities(["*"]);
    let (one, other) = (app.issue(manager()).await.unwrap(), app.issue(manager()).await.unwrap());
    let changes = [(&one, &other), (&other, &one)].map(|(owner, target)| async {
        let keys = app.on_behalf_of(&verified(&store, &owner.secret).await);
        let id = target.record.id().clone();
        tokio::spawn(async move {
            let mut made = 0;
            for number in 0..40 {
                let update = KeyUpdate::new().name(format!("name {number}"));
                match keys.update(&id, &update).await {
                    Ok(_) => made += 1,
                    Err(ManageError::Conflict) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            made
        })
        .await
        .unwrap()
    });
    let made = in_time(futures_util::future::join_all(changes)).await;
    for (record, made) in [other.record, one.record].iter().zip(made) {
        assert!(made > 0, "never had its turn");
        assert_eq!(app.get(record.id()).await.unwrap().record.revision(), made);
    }
}

/// Whoever has the key manages keys with it from 16 tasks, and it is revoked or reduced meanwhile.
async fn many_who_use_a_leaked_key_do_not_hold_up_its_end_and_do_nothing_after(store: Store) {
    for end in [End::Revoke, End::Revoke, End::Disable, End::Reduce] {
        let world = World::new(&store).await;
        let thieves = Thieves::start(&world);
        while thieves.done.load(Ordering::SeqCst) < 32 {
            tokio::task::yield_now().await;
        }
        // Another node.
        let operator = Meanwhile::new(world.store.clone(), |_| async {}.boxed());
        let id = world.owner.record.id();
        let ended = in_time(end.of(&KeyManager::new(operator.clone()), id)).await.unwrap();
        // What is there now is all that there will ever be.
        let there = world.others().await;
        thieves.is_over.store(true, Ordering::SeqCst);
        assert_eq!(operator.commits(), 1, "nobody has changed the key itself");
        for id in thieves.end().await {
            assert!(there.contains_key(&id), "{end:?}: {id} came later");
        }
        assert_eq!(world.others().await, there, "{end:?}: something was changed later");
        assert_eq!(world.app.get(id).await.unwrap().record, ended);
    }
}

/// How it comes that a key manages keys no more.
#[derive(Clone, Copy, Debug)]
enum End {
    Revoke,
    Disable,
    Reduce,
}

impl End {
    async fn of(self, keys: &KeyManager, id: &KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        Ok(match self {
            Self::Revoke => keys.revoke(id).await?.record,
            Self::Disable => keys.disable(id).await?.record,
            Self::Reduce => {
                let abilities = ["bots:*"];
                keys.update(id, &KeyUpdate::new().abilities(abilities)).await?.record
            }
        })
    }
}

struct Thieves {
    tasks: Vec<JoinHandle<Vec<KeyId>>>,
    done: Arc<AtomicUsize>,
    /// Whether the key manages keys no more, as was acknowledged.
    is_over: Arc<AtomicBool>,
}

impl Thieves {
    fn start(world: &World) -> Self {
        let (done, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let tasks = (0..16).map(|number| {
            // Half of them on each of two nodes.
            let node = KeyManager::new(Arc::clone(&world.store));
            let keys = if number % 2 == 0 { &world.app } else { &node };
            let keys = keys.on_behalf_of(world.on_behalf.clone());
            let (done, is_over) = (Arc::clone(&done), Arc::clone(&is_over));
            let peer = [&world.peer, &world.disabled][number % 2].clone();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                loop {
                    let was_over = is_over.load(Ordering::SeqCst);
                    match steal(&keys, number, &peer, &mut ids).await {
                        Ok(()) => {
                            assert!(!was_over, "something was done after the end");
                            done.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(ManageError::Exceeds(Excess::Inactive | Excess::Management)) => {
                            return ids;
                        }
                        // They change the same keys.
                        Err(ManageError::Conflict) => {}
                        Err(error) => panic!("{error}"),
                    }
                    tokio::task::yield_now().await;
                }
            })
        });
        Self { tasks: tasks.collect(), done, is_over }
    }

    /// Waits for all of them, and returns the keys that they have issued.
    async fn end(self) -> Vec<KeyId> {
        let mut ids = Vec::new();
        for task in self.tasks {
            ids.extend(in_time(task).await.unwrap());
        }
        ids
    }
}

/// Does something with keys, most of all issues some.
async fn steal(
    keys: &KeyManager,
    number: usize,
    peer: &KeyId,
    ids: &mut Vec<KeyId>,
) -> Result<(), ManageError> {
    match (number % 8, ids.last()) {
        (0, _) => {
            let update = KeyUpdate::new().name(format!("name {number}"));
            keys.update(peer, &update).await.map(drop)
        }
        (1, _) => keys.disable(peer).await.map(drop),
        (2, _) => keys.enable(peer).await.map(drop),
        (3, Some(id)) => {
            ids.push(keys.rotate(id, HOUR).await?.record.id().clone());
            Ok(())
        }
        _ => {
            ids.push(keys.issue(NewKey::named("loot")).await?.record.id().clone());
            Ok(())
        }
    }
}
