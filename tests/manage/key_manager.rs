//! The life of a key, from issue to revocation.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::{Request, Response};
use sqlx::sqlite::SqlitePoolOptions;
use tower::{Layer as _, ServiceExt as _};
use tower_api_key::key::{RateLimits, Restrictions};
use tower_api_key::manage::{Excess, Owner, RotatedKey, TraceEvents};
use tower_api_key::store::{
    Actor, AuditAction, AuditEvent, CommitError, KeyChange, KeyPage, KeyQuery, KeyState, KeyUse,
    Propagation, RecordUses, StoredKey,
};
use tower_api_key::testing::{FakeClock, check_key_repository, check_record_uses};
use tower_api_key::{
    AbilitySet, ApiKeyLayer, IssuedKey, KeyDigest, KeyFormat, KeyHasher, KeyId, KeyKind,
    KeyManager, KeyRecord, KeyRepository, KeyScheme, KeyStore, KeyUpdate, ManageError, MemoryStore,
    NewKey, PeerAddress, RateLimit, Secret, SqliteStore, StoreError, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::with_id;
use crate::common::{logged, start_log};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct World {
    store: MemoryStore,
    clock: Arc<FakeClock>,
    keys: KeyManager,
    events: Arc<Mutex<Vec<AuditEvent>>>,
}

fn world() -> World {
    let (store, clock) =
        (MemoryStore::new(), Arc::new(FakeClock::at(SystemTime::UNIX_EPOCH + 20_000 * DAY)));
    let events = Arc::<Mutex<Vec<_>>>::default();
    let keys = KeyManager::new(store.clone()).clock(Arc::clone(&clock)).audit({
        let events = Arc::clone(&events);
        move |event: &AuditEvent| events.lock().unwrap().push(event.clone())
    });
    World { store, clock, keys, events }
}

impl World {
    async fn issue(&self, key: NewKey) -> IssuedKey {
        self.keys.issue(key).await.unwrap()
    }

    async fn record(&self, id: &KeyId) -> Arc<KeyRecord> {
        self.keys.get(id).await.unwrap().record
    }

    /// Sends a request with the key through a layer, and returns what it says of the key.
    async fn verified(&self, secret: &str) -> Option<VerifiedKey> {
        let layer = ApiKeyLayer::new(self.store.clone())
            .clock(Arc::clone(&self.clock))
            .accept_public_keys();
        let service = layer.layer(tower::service_fn(async |request: Request<String>| {
            let mut response = Response::new(String::new());
            let key = request.extensions().get::<VerifiedKey>().cloned();
            response.extensions_mut().extend(
                key.map(|key| {
                    let mut extensions = http::Extensions::new();
                    extensions.insert(key);
                    extensions
                })
                .unwrap_or_default(),
            );
            Ok::<_, std::convert::Infallible>(response)
        }));
        let request = Request::builder()
            .header("x-api-key", secret)
            .header("origin", "https://shop.example")
            .extension(PeerAddress("127.0.0.1:50000".parse().unwrap()))
            .body(String::new())
            .unwrap();
        let response = service.oneshot(request).await.unwrap();
        response.extensions().get::<VerifiedKey>().cloned()
    }

    async fn is_accepted(&self, issued: &IssuedKey) -> bool {
        self.verified(issued.secret.reveal()).await.is_some()
    }

    async fn on_behalf_of(&self, key: NewKey) -> KeyManager {
        let granter = self.issue(key).await;
        self.keys.on_behalf_of(&self.verified(granter.secret.reveal()).await.unwrap())
    }

    fn actions(&self) -> Vec<AuditAction> {
        self.events.lock().unwrap().iter().map(|event| event.action).collect()
    }
}

fn named(name: &str) -> NewKey {
    NewKey::named(name)
}

fn abilities<const N: usize>(abilities: [&str; N]) -> AbilitySet {
    abilities.try_into().unwrap()
}

#[tokio::test]
async fn an_issued_key_works_until_it_is_revoked() {
    let world = world();
    let issued = world.issue(named("nightly import").tenant("acme")).await;
    assert!(world.is_accepted(&issued).await);
    assert_eq!(issued.record.created_at(), tower_api_key::Clock::now(&world.clock));
    let revoked = world.keys.revoke(issued.record.id()).await.unwrap();
    assert!(!world.is_accepted(&issued).await);
    assert_eq!(revoked.propagation, Propagation::Immediate);
}

#[tokio::test]
async fn revoking_twice_is_a_success_and_one_event() {
    let world = world();
    let issued = world.issue(named("nightly import")).await;
    let first = world.keys.revoke(issued.record.id()).await.unwrap();
    world.clock.advance(MINUTE);
    let second = world.keys.revoke(issued.record.id()).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(world.actions(), [AuditAction::Issued, AuditAction::Revoked]);
}

#[tokio::test]
async fn a_revoked_key_stays_as_it_is() {
    let world = world();
    let issued = world.issue(named("nightly import")).await;
    let id = issued.record.id();
    let revoked = world.keys.revoke(id).await.unwrap().record;
    let refused = [
        world.keys.update(id, &KeyUpdate::new().disabled(false)).await.map(drop),
        world.keys.enable(id).await.map(drop),
        world.keys.disable(id).await.map(drop),
        world.keys.rotate(id, MINUTE).await.map(drop),
    ];
    for result in refused {
        assert!(matches!(result, Err(ManageError::State(KeyState::Revoked))), "{result:?}");
    }
    assert_eq!(world.record(id).await, revoked);
}

/// A key and its secret.
struct Key {
    record: Arc<KeyRecord>,
    secret: Secret,
}

/// Rotates a key twice, and returns it and its successors, all of which work.
async fn chain_of_three(world: &World) -> [Key; 3] {
    let IssuedKey { record, secret, .. } =
        world.issue(named("nightly import").tenant("acme")).await;
    let first = Key { record, secret };
    let second = rotated(world, &first).await;
    let third = rotated(world, &second).await;
    [first, second, third]
}

async fn rotated(world: &World, key: &Key) -> Key {
    let RotatedKey { record, secret, .. } = world.keys.rotate(key.record.id(), DAY).await.unwrap();
    Key { record, secret }
}

async fn works(world: &World, key: &Key) -> bool {
    world.verified(key.secret.reveal()).await.is_some()
}

#[tokio::test]
async fn revoking_a_rotated_key_says_which_of_its_successors_still_work() {
    let world = world();
    let [first, second, third] = chain_of_three(&world).await;
    let ids =
        |keys: &[&Key]| -> Vec<_> { keys.iter().map(|key| key.record.id().clone()).collect() };
    let revoked = world.keys.revoke(first.record.id()).await.unwrap();
    assert_eq!(revoked.working_successors, ids(&[&second, &third]));
    assert!(revoked.revoked_successors.is_empty());
    assert!(works(&world, &second).await && works(&world, &third).await);
    // Also if it was revoked before, and as things are now.
    world.keys.disable(second.record.id()).await.unwrap();
    let again = world.keys.revoke_presented(first.secret.reveal()).await.unwrap();
    assert_eq!(again.working_successors, ids(&[&third]));
    let last = world.keys.revoke(third.record.id()).await.unwrap();
    assert!(last.working_successors.is_empty());
    let none = world.keys.revoke(second.record.id()).await.unwrap();
    assert!(none.working_successors.is_empty());
}

#[tokio::test]
async fn a_key_is_revoked_with_all_its_successors_or_with_none() {
    let world = world();
    let [first, second, third] = chain_of_three(&world).await;
    let before = world.actions().len();
    let revoked = world.keys.revoke_with_successors(second.record.id()).await.unwrap();
    assert_eq!(revoked.record.id(), second.record.id());
    assert_eq!(revoked.revoked_successors, std::slice::from_ref(third.record.id()));
    assert!(revoked.working_successors.is_empty());
    assert!(!works(&world, &second).await && !works(&world, &third).await);
    assert!(works(&world, &first).await, "what it replaced is not its successor");
    assert_eq!(world.actions()[before..], [AuditAction::Revoked; 2]);

    // What is revoked already stays as it is.
    let presented = world.keys.revoke_presented_with_successors(first.secret.reveal()).await;
    let presented = presented.unwrap();
    assert_eq!(presented.record.id(), first.record.id());
    assert!(presented.revoked_successors.is_empty() && !works(&world, &first).await);
    let again = world.keys.revoke_with_successors(first.record.id()).await.unwrap();
    assert_eq!(again, presented);
    assert_eq!(world.actions().len(), before + 3);
    let unknown = world.keys.revoke_with_successors(&KeyId::generate().unwrap()).await;
    assert!(matches!(unknown, Err(ManageError::NotFound)));

    let world = self::world();
    let [first, ..] = chain_of_three(&world).await;
    let store = Contended { fails: true, ..Contended::new(world.store.clone()) };
    let failed = KeyManager::new(store).revoke_with_successors(first.record.id()).await;
    assert!(matches!(failed, Err(ManageError::Store(_))), "{failed:?}");
    assert!(world.store.records().iter().all(|record| record.revoked_at().is_none()));
}

#[tokio::test]
async fn an_owner_revokes_no_successor_that_it_does_not_see() {
    let world = world();
    let [first, second, third] = chain_of_three(&world).await;
    // As it cannot come about but by hand.
    let foreign = |record: &mut KeyRecord| record.set_tenant(Some("globex".parse().unwrap()));
    world.store.update(third.record.id(), foreign).unwrap();
    let alice = Owner::of_tenant("acme".parse().unwrap(), AbilitySet::default(), "alice");
    let alice = world.keys.on_behalf_of(alice);
    let revoked = alice.revoke(first.record.id()).await.unwrap();
    assert_eq!(revoked.working_successors, std::slice::from_ref(second.record.id()));
    let revoked = alice.revoke_with_successors(first.record.id()).await.unwrap();
    assert_eq!(revoked.revoked_successors, std::slice::from_ref(second.record.id()));
    assert!(works(&world, &third).await);
    let bob = world.keys.on_behalf_of(Owner::of_tenant(
        "globex".parse().unwrap(),
        AbilitySet::default(),
        "bob",
    ));
    let foreign = bob.revoke_with_successors(first.record.id()).await;
    assert!(matches!(foreign, Err(ManageError::NotFound)));
    let revoked = world.keys.revoke_with_successors(first.record.id()).await.unwrap();
    assert_eq!(
        revoked.revoked_successors,
        std::slice::from_ref(third.record.id()),
        "the operator sees all"
    );
}

#[tokio::test]
async fn a_revocation_that_was_made_is_a_success_whatever_its_successors_are() {
    let world = world();
    let [first, second, third] = chain_of_three(&world).await;
    let reads = AtomicUsize::new(0);
    let after_read = Box::new(move || {
        assert!(reads.fetch_add(1, Ordering::SeqCst) == 0, "nobody can read a successor");
    });
    let store = Contended { after_read, ..Contended::new(world.store.clone()) };
    let revoked = KeyManager::new(store).revoke(first.record.id()).await.unwrap();
    assert_eq!(revoked.working_successors, std::slice::from_ref(second.record.id()), "it may work");

    // By hand, in a circle.
    let in_a_circle =
        |record: &mut KeyRecord| record.set_successor(Some(first.record.id().clone()));
    world.store.update(third.record.id(), in_a_circle).unwrap();
    let revoked = world.keys.revoke(first.record.id()).await.unwrap();
    assert_eq!(revoked.working_successors.len(), 2);
    let revoked = world.keys.revoke_with_successors(third.record.id()).await.unwrap();
    assert_eq!(revoked.revoked_successors, std::slice::from_ref(second.record.id()));
}

#[tokio::test]
async fn a_key_is_revoked_by_its_secret_under_any_pepper() {
    let store = MemoryStore::new();
    let old = KeyManager::new(store.clone())
        .scheme(KeyScheme::default().hasher(KeyHasher::hmac_sha256(&[1; 32])));
    let issued = old.issue(named("nightly import")).await.unwrap();
    let new = KeyManager::new(store).scheme(
        KeyScheme::default().hasher(KeyHasher::hmac_sha256(&[2; 32]).or_hmac_sha256(&[1; 32])),
    );
    let revoked = new.revoke_presented(issued.secret.reveal()).await.unwrap();
    assert_eq!(revoked.record.id(), issued.record.id());
    for wrong in
        ["", "ak_", "\0", &format!("{} ", issued.secret.reveal()), issued.record.id().as_str()]
    {
        let result = new.revoke_presented(wrong).await;
        assert!(matches!(result, Err(ManageError::NotFound)), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_disabled_key_works_again_when_it_is_enabled() {
    let world = world();
    let issued = world.issue(named("nightly import")).await;
    let disabled = world.keys.disable(issued.record.id()).await.unwrap();
    assert!(disabled.record.is_disabled() && !world.is_accepted(&issued).await);
    world.keys.disable(issued.record.id()).await.unwrap();
    world.keys.enable(issued.record.id()).await.unwrap();
    assert!(world.is_accepted(&issued).await);
    let expected = [AuditAction::Issued, AuditAction::Disabled, AuditAction::Enabled];
    assert_eq!(world.actions(), expected);
}

#[tokio::test]
async fn an_update_that_takes_a_key_out_of_use_or_puts_it_back_is_noted_as_that() {
    let world = world();
    let record = world.issue(named("nightly import")).await.record;
    let id = record.id();
    for update in [
        KeyUpdate::new().disabled(true),
        KeyUpdate::new().disabled(true).name("still disabled"),
        KeyUpdate::new().disabled(false).name("enabled beside another change"),
        KeyUpdate::new().disabled(false).name("still enabled"),
    ] {
        world.keys.update(id, &update).await.unwrap();
    }
    assert_eq!(
        world.actions(),
        [
            AuditAction::Issued,
            AuditAction::Disabled,
            AuditAction::Updated,
            AuditAction::Enabled,
            AuditAction::Updated,
        ]
    );
}

#[tokio::test]
async fn a_key_needs_a_name_and_a_future() {
    let world = world();
    for name in ["", "   ", "ab", "two\nlines", &"x".repeat(101)] {
        let result = world.keys.issue(named(name)).await;
        assert!(matches!(result, Err(ManageError::Name)), "{name:?}: {result:?}");
    }
    let now = tower_api_key::Clock::now(&world.clock);
    for past in [now, now - DAY, SystemTime::UNIX_EPOCH] {
        let result = world.keys.issue(named("late").expires_at(past)).await;
        assert!(matches!(result, Err(ManageError::Expiry)), "{result:?}");
    }
    let issued = world.issue(named("in time").expires_at(now + DAY)).await;
    let late = KeyUpdate::new().expires_at(now);
    let result = world.keys.update(issued.record.id(), &late).await;
    assert!(matches!(result, Err(ManageError::Expiry)));
    let result = world.keys.update(issued.record.id(), &KeyUpdate::new().name("x")).await;
    assert!(matches!(result, Err(ManageError::Name)));
    assert_eq!(world.store.records(), [issued.record], "nothing was kept of what failed");
}

#[tokio::test]
async fn an_update_changes_what_it_mentions_and_nothing_else() {
    let world = world();
    let issued = world.issue(
        named("nightly import").tenant("acme").abilities(["a:read"]).metadata("plan", "free"),
    );
    let old = issued.await.record;
    let expires_at = old.created_at() + DAY;
    let limits = RateLimits::new([RateLimit::per_hour(7)]).unwrap();
    let mut restrictions = Restrictions::default();
    restrictions.addresses = Some(["192.0.2.0/24".parse().unwrap()].into());
    let update = KeyUpdate::new()
        .name("hourly import")
        .abilities(abilities(["a:*"]))
        .expires_at(expires_at)
        .rotation_due_at(expires_at)
        .limits(limits.clone())
        .restrictions(restrictions.clone())
        .disabled(true);
    let changed = world.keys.update(old.id(), &update).await.unwrap().record;
    let mut expected = KeyRecord::clone(&old);
    expected.set_name("hourly import");
    expected.set_abilities(abilities(["a:*"]));
    expected.set_expires_at(Some(expires_at));
    expected.set_rotation_due_at(Some(expires_at));
    expected.set_limits(limits);
    expected.set_restrictions(restrictions);
    expected.set_disabled(true);
    expected.set_revision(1);
    assert_eq!(*changed, expected);
    assert_eq!(world.record(old.id()).await, changed);
    let metadata = KeyUpdate::new().without_metadata().expires_at(None);
    let changed = world.keys.update(old.id(), &metadata).await.unwrap().record;
    assert!(changed.metadata().is_empty() && changed.expires_at().is_none());
    let nothing = world.keys.update(old.id(), &KeyUpdate::new()).await.unwrap().record;
    assert_eq!(nothing.revision(), 2, "what changes nothing is no change");
}

#[tokio::test]
async fn a_restriction_is_changed_without_the_others() {
    let world = world();
    let restricted = named("nightly import")
        .addresses(["192.0.2.0/24"])
        .origins(["https://a.example"])
        .referrers(["https://a.example/*"])
        .endpoints(["GET /a"]);
    let old = world.issue(restricted).await.record;
    let mut expected = old.restrictions().clone();
    let mut check = async |update: KeyUpdate, set: &dyn Fn(&mut Restrictions)| {
        let changed = world.keys.update(old.id(), &update).await.unwrap().record;
        set(&mut expected);
        assert_eq!(*changed.restrictions(), expected);
    };
    let update = KeyUpdate::new().addresses(["10.0.0.0/8"]).origins(["https://b.example"]);
    check(update, &|expected| {
        expected.addresses = Some(["10.0.0.0/8".parse().unwrap()].into());
        expected.origins = Some(["https://b.example".parse().unwrap()].into());
    })
    .await;
    check(KeyUpdate::new().without_referrers(), &|expected| expected.referrers = None).await;
    check(KeyUpdate::new().without_endpoints(), &|expected| expected.endpoints = None).await;
    check(KeyUpdate::new().name("nothing of them"), &|_| {}).await;
}

#[tokio::test]
async fn an_unknown_key_is_not_found() {
    let world = world();
    let id = KeyId::generate().unwrap();
    for result in [
        world.keys.get(&id).await.map(drop),
        world.keys.update(&id, &KeyUpdate::new()).await.map(drop),
        world.keys.revoke(&id).await.map(drop),
        world.keys.disable(&id).await.map(drop),
        world.keys.enable(&id).await.map(drop),
        world.keys.rotate(&id, MINUTE).await.map(drop),
    ] {
        assert!(matches!(result, Err(ManageError::NotFound)), "{result:?}");
    }
}

#[tokio::test]
async fn while_the_grace_lasts_the_old_and_the_new_key_work() {
    let world = world();
    let old = world
        .issue(named("nightly import").tenant("acme").abilities(["a:read"]).limit("5 per minute"))
        .await;
    world.keys.disable(old.record.id()).await.unwrap();
    world.keys.enable(old.record.id()).await.unwrap();
    let new = world.keys.rotate(old.record.id(), MINUTE).await.unwrap();
    assert_eq!(new.predecessor.revision(), 3);
    assert_eq!(new.predecessor.successor(), Some(new.record.id()));
    assert_ne!(new.secret.reveal(), old.secret.reveal());
    assert_eq!(new.record.counted_as(), Some(old.record.id()));
    let mut expected = with_id(&new.record, old.record.id());
    expected.set_digest(old.record.digest());
    expected.set_hint(old.record.hint().clone());
    expected.set_counted_as(None);
    assert_eq!(expected, *old.record, "the successor is otherwise the same but for its secret");
    for _ in 0..2 {
        assert!(world.is_accepted(&old).await);
        assert!(world.verified(new.secret.reveal()).await.is_some());
        world.clock.advance(MINUTE / 2 - Duration::from_micros(1));
    }
    world.clock.advance(Duration::from_micros(2));
    assert!(!world.is_accepted(&old).await);
    assert!(world.verified(new.secret.reveal()).await.is_some());
}

#[tokio::test]
async fn without_grace_the_old_key_is_revoked_at_once() {
    let world = world();
    let old = world.issue(named("nightly import")).await;
    let new = world.keys.rotate(old.record.id(), Duration::ZERO).await.unwrap();
    assert!(new.predecessor.revoked_at().is_some(), "whatever the clocks of other nodes say");
    assert!(!world.is_accepted(&old).await);
    assert!(world.verified(new.secret.reveal()).await.is_some());
}

#[tokio::test]
async fn grace_never_lets_a_key_live_longer() {
    let world = world();
    let soon = tower_api_key::Clock::now(&world.clock) + MINUTE;
    for grace in [DAY, Duration::MAX] {
        let old = world.issue(named("nightly import").expires_at(soon)).await;
        let new = world.keys.rotate(old.record.id(), grace).await.unwrap();
        assert_eq!(new.predecessor.expires_at(), Some(soon));
        assert_eq!(new.record.expires_at(), Some(soon), "nor its successor");
    }
    let endless = world.issue(named("nightly import")).await;
    let new = world.keys.rotate(endless.record.id(), Duration::MAX).await.unwrap();
    assert_eq!(new.predecessor.expires_at(), None);
}

#[tokio::test]
async fn a_key_is_rotated_once_and_while_it_works() {
    let world = world();
    let old = world.issue(named("nightly import")).await;
    let new = world.keys.rotate(old.record.id(), MINUTE).await.unwrap();
    let again = world.keys.rotate(old.record.id(), MINUTE).await;
    assert!(matches!(again, Err(ManageError::Rotated(successor)) if successor == *new.record.id()));
    let newer = world.keys.rotate(new.record.id(), MINUTE).await.unwrap();
    assert_eq!(newer.predecessor.id(), new.record.id());

    let soon = tower_api_key::Clock::now(&world.clock) + MINUTE;
    let expiring = world.issue(named("expiring").expires_at(soon)).await.record;
    let disabled = world.issue(named("disabled")).await.record;
    world.keys.disable(disabled.id()).await.unwrap();
    world.clock.advance(MINUTE);
    for (record, state) in [(expiring, KeyState::Expired), (disabled, KeyState::Disabled)] {
        let result = world.keys.rotate(record.id(), MINUTE).await;
        assert!(matches!(result, Err(ManageError::State(found)) if found == state));
    }
}

#[tokio::test]
async fn a_successor_has_the_format_of_the_prefix() {
    let live = KeyFormat::new("sk_live_").stage("live");
    let test = KeyFormat::new("sk_test_").stage("test");
    let store = MemoryStore::new();
    let keys = KeyManager::new(store.clone()).scheme(KeyScheme::new([live.clone(), test.clone()]));
    for format in [&live, &test] {
        let old = keys.issue(named("nightly import").format(format)).await.unwrap();
        let new = keys.rotate(old.record.id(), MINUTE).await.unwrap();
        assert!(new.secret.reveal().starts_with(format.prefix()));
        assert!(new.record.hint().prefix() == Some(format.prefix()));
        assert_eq!(new.record.stage(), old.record.stage());
    }
    let old = keys.issue(named("nightly import").format(&live)).await.unwrap();
    let unaware = KeyManager::new(store.clone()).rotate(old.record.id(), MINUTE).await;
    assert!(matches!(unaware, Err(ManageError::Format)), "{unaware:?}");
    assert_eq!(store.record(old.record.id()), Some(old.record), "nothing was changed");
}

#[tokio::test]
async fn keys_are_listed_that_are_due_for_rotation() {
    let world = world();
    let keys = world.keys.clone().rotation_period(90 * DAY);
    let old = keys.issue(named("nightly import")).await.unwrap().record;
    let never = world.issue(named("no rotation")).await.record;
    assert_eq!(
        (old.rotation_due_at(), never.rotation_due_at()),
        (Some(old.created_at() + 90 * DAY), None)
    );
    let due = async || {
        let now = tower_api_key::Clock::now(&world.clock);
        let query = KeyQuery::new().state(KeyState::Active).rotation_due_by(now);
        let page = keys.list(&query).await.unwrap();
        page.keys.into_iter().map(|key| key.record.id().clone()).collect::<Vec<_>>()
    };
    assert!(due().await.is_empty());
    world.clock.advance(90 * DAY);
    assert_eq!(due().await, std::slice::from_ref(old.id()));
    // By a manager that knows of no period, too.
    let new = world.keys.rotate(old.id(), MINUTE).await.unwrap().record;
    assert!(due().await.is_empty(), "neither is due");
    assert_eq!(new.rotation_due_at(), Some(new.created_at() + 90 * DAY));
}

#[tokio::test]
async fn keys_that_ended_are_pruned() {
    let world = world();
    let start = tower_api_key::Clock::now(&world.clock);
    let live = world.issue(named("the live one")).await.record;
    let expiring = world.issue(named("expiring").expires_at(start + MINUTE)).await.record;
    let disabled = world.issue(named("disabled").expires_at(start + MINUTE)).await.record;
    world.keys.disable(disabled.id()).await.unwrap();
    let paused = world.issue(named("paused").expires_at(start + 500 * DAY)).await.record;
    let paused = world.keys.disable(paused.id()).await.unwrap().record;
    for number in 0..150 {
        let issued = world.issue(named(&format!("leaked {number}"))).await;
        world.keys.revoke(issued.record.id()).await.unwrap();
    }
    world.clock.advance(DAY);
    let late = world.issue(named("revoked today")).await.record;
    let late = world.keys.revoke(late.id()).await.unwrap().record;
    assert_eq!(world.keys.prune(start).await.unwrap(), 0);
    assert_eq!(world.keys.prune(start + DAY).await.unwrap(), 152);
    let mut left = [live, paused, late];
    left.sort_by(|one, other| one.id().cmp(other.id()));
    assert_eq!(world.store.records(), left);
    assert!(world.keys.get(expiring.id()).await.is_err());
    let removed = world.actions().into_iter().filter(|action| *action == AuditAction::Removed);
    assert_eq!(removed.count(), 152);
    world.clock.advance(MINUTE);
    assert_eq!(world.keys.prune(start + 1000 * DAY).await.unwrap(), 1, "only what has ended");
}

#[tokio::test]
async fn every_change_is_an_event_of_who_and_what() {
    let world = world();
    let alice = world.keys.acting_as("alice@acme.example");
    let issued = alice.issue(named("nightly import").tenant("acme")).await.unwrap();
    let id = issued.record.id();
    alice.update(id, &KeyUpdate::new().name("hourly import")).await.unwrap();
    let rotated = alice.rotate(id, MINUTE).await.unwrap();
    world.keys.revoke(id).await.unwrap();
    let events = world.events.lock().unwrap().clone();
    let whats: Vec<_> = events.iter().map(|event| (event.action, event.actor.clone())).collect();
    let by_alice = |action| (action, Actor::from("alice@acme.example"));
    assert_eq!(
        whats,
        [
            by_alice(AuditAction::Issued),
            by_alice(AuditAction::Updated),
            by_alice(AuditAction::Rotated),
            by_alice(AuditAction::Issued),
            (AuditAction::Revoked, Actor::System),
        ]
    );
    assert_eq!(events[0].before, None);
    assert_eq!(events[0].after.as_ref(), Some(&issued.record));
    assert_eq!(events[1].before.as_ref(), Some(&issued.record));
    assert_eq!(events[1].after.as_ref().unwrap().name(), "hourly import");
    assert_eq!(events[3].key_id(), Some(rotated.record.id()));
    assert!(events.iter().all(|event| event.tenant().unwrap().as_str() == "acme"));
    let text = format!("{events:?}");
    for secret in [issued.secret.reveal(), rotated.secret.reveal()] {
        assert!(!text.contains(secret));
    }
    assert_eq!(Actor::from("key:key_1").to_string(), "name:key:key_1", "no name is a key");
}

#[tokio::test]
async fn an_actor_is_one_line_of_the_log_and_of_the_audit_table_whatever_its_name_is() {
    start_log();
    let database = SqlitePoolOptions::new().max_connections(1).idle_timeout(None);
    let database = database.connect("sqlite::memory:").await.unwrap();
    let store = SqliteStore::from_pool(database.clone()).await.unwrap();
    let keys = KeyManager::new(store).audit(TraceEvents);
    let forged = "tower_api_key::audit: API key changed actor=system action=\"revoked\"";
    for line_break in ["\n", "\r\n", "\u{85}", "\u{2028}"] {
        let owner = Owner::of_tenant(
            "acme".parse().unwrap(),
            AbilitySet::default(),
            format!("mallory{line_break}{forged}"),
        );
        keys.on_behalf_of(owner).issue(named("a key")).await.unwrap();
    }
    let long = "x".repeat(100_000);
    keys.acting_as(&*long).issue(named("a key")).await.unwrap();
    let lines = logged("tower_api_key::audit");
    let of_mallory = lines.iter().filter(|line| line.contains("actor=name:mallory\\u{"));
    assert_eq!(of_mallory.count(), 4, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.starts_with("tower_api_key::audit")), "{lines:#?}");
    assert!(lines.iter().all(|line| line.len() < 1000), "{lines:#?}");
    let actors: Vec<String> = sqlx::query_scalar("SELECT actor FROM api_key_audit ORDER BY id")
        .fetch_all(&database)
        .await
        .unwrap();
    assert_eq!(actors.len(), 5);
    for actor in actors {
        assert!(actor.lines().count() == 1 && actor.len() < 1000, "{actor}");
        assert!(!actor.contains(['\u{85}', '\u{2028}']), "{actor}");
    }
}

#[tokio::test]
async fn what_failed_is_no_event_and_a_sink_that_panics_fails_nothing() {
    let world = world();
    assert!(world.keys.issue(named("")).await.is_err());
    assert!(world.keys.revoke(&KeyId::generate().unwrap()).await.is_err());
    assert_eq!(world.actions(), []);
    let keys = world.keys.clone().audit(|_: &AuditEvent| panic!("on purpose"));
    let issued = keys.issue(named("nightly import")).await.unwrap();
    assert!(world.is_accepted(&issued).await);
}

#[tokio::test]
async fn a_key_grants_a_part_of_what_it_may_in_its_own_tenant() {
    let world = world();
    let granter = NewKey::named("granter").tenant("acme").abilities(["bots:*", "keys:write"]);
    let keys = world.on_behalf_of(granter).await;
    let issued = keys.issue(named("reader").abilities(["bots:read"])).await.unwrap();
    assert_eq!(issued.record.tenant().unwrap(), &"acme");
    assert!(world.is_accepted(&issued).await);
    assert!(keys.issue(named("same tenant").tenant("acme")).await.is_ok());
    for (name, key) in [
        ("another ability", named("xyz").abilities(["chat:send"])),
        ("one of two", named("xyz").abilities(["bots:read", "chat:send"])),
        ("everything", named("xyz").abilities(["*"])),
        ("a wider one", named("xyz").abilities(["keys:*"])),
        ("another tenant", named("xyz").tenant("globex")),
    ] {
        let result = keys.issue(key).await;
        assert!(matches!(result, Err(ManageError::Exceeds(_))), "{name}: {result:?}");
    }
    assert_eq!(world.store.records().len(), 3);
    let event = world.events.lock().unwrap()[1].clone();
    let granter = world.events.lock().unwrap()[0].key_id().cloned().unwrap();
    assert_eq!(event.actor, Actor::Key(granter));
}

#[tokio::test]
async fn keys_of_another_tenant_do_not_exist_for_a_key() {
    let world = world();
    let foreign = world.issue(named("foreign").tenant("globex")).await;
    let nobodys = world.issue(named("of nobody")).await;
    let keys = world.on_behalf_of(named("granter").tenant("acme").abilities(["*"])).await;
    for issued in [&foreign, &nobodys] {
        let id = issued.record.id();
        for result in [
            keys.get(id).await.map(drop),
            keys.update(id, &KeyUpdate::new().name("mine now")).await.map(drop),
            keys.revoke(id).await.map(drop),
            keys.disable(id).await.map(drop),
            keys.enable(id).await.map(drop),
            keys.rotate(id, MINUTE).await.map(drop),
            keys.revoke_presented(issued.secret.reveal()).await.map(drop),
        ] {
            assert!(matches!(result, Err(ManageError::NotFound)), "{result:?}");
        }
        assert!(world.is_accepted(issued).await);
    }
    let globex = KeyQuery::new().tenant("globex");
    for query in [KeyQuery::new(), globex] {
        let page = keys.list(&query).await.unwrap();
        let names: Vec<_> = page.keys.iter().map(|key| key.record.name()).collect();
        assert_eq!(names, ["granter"]);
    }
    let granter = world.issue(named("granter").abilities(["*"])).await;
    let granter = world.verified(granter.secret.reveal()).await.unwrap();
    let of_nobody = world.keys.on_behalf_of(Owner::of_key(&granter).allow_tenantless());
    assert!(of_nobody.get(foreign.record.id()).await.is_err());
    assert!(of_nobody.get(nobodys.record.id()).await.is_ok());
}

#[tokio::test]
async fn a_key_cannot_make_itself_or_others_mightier() {
    let world = world();
    let mighty = world.issue(named("mighty").tenant("acme").abilities(["*"])).await;
    let peer = world.issue(named("peer").tenant("acme").abilities(["bots:read"])).await;
    let granter = world.issue(named("granter").tenant("acme").abilities(["bots:*"])).await;
    let verified = world.verified(granter.secret.reveal()).await.unwrap();
    let keys = world.keys.on_behalf_of(&verified);
    let exceeds = |result: Result<(), ManageError>| {
        assert!(matches!(result, Err(ManageError::Exceeds(_))), "{result:?}");
    };
    let more = KeyUpdate::new().abilities(abilities(["*"]));
    exceeds(keys.update(granter.record.id(), &more).await.map(drop));
    exceeds(keys.update(peer.record.id(), &more).await.map(drop));
    // Rotating tells the secret of the successor.
    exceeds(keys.rotate(mighty.record.id(), MINUTE).await.map(drop));
    world.keys.disable(mighty.record.id()).await.unwrap();
    exceeds(keys.enable(mighty.record.id()).await.map(drop));
    exceeds(keys.update(mighty.record.id(), &KeyUpdate::new().disabled(false)).await.map(drop));
    // What takes away may be done to any key of the tenant.
    keys.revoke(mighty.record.id()).await.unwrap();
    assert!(keys.rotate(peer.record.id(), MINUTE).await.is_ok());
    assert!(keys.disable(granter.record.id()).await.is_ok());
}

#[tokio::test]
async fn a_key_hands_on_what_it_is_bound_by() {
    let world = world();
    let soon = tower_api_key::Clock::now(&world.clock) + DAY;
    let bound = |name: &str| {
        named(name)
            .tenant("acme")
            .stage("prod")
            .abilities(["*"])
            .expires_at(soon)
            .limit("100 per hour")
            .limit("all: 9 per second, shared by tenant")
    };
    let keys = world.on_behalf_of(bound("granter")).await;
    let plain = keys.issue(named("plain")).await.unwrap().record;
    assert_eq!(plain.stage().unwrap(), &"prod");
    assert_eq!(plain.expires_at(), Some(soon));
    assert_eq!(plain.limits().len(), 2);
    let lower = named("lower")
        .expires_at(soon - MINUTE)
        .limit("50 per hour")
        .limit("all: 9 per second, shared by tenant")
        .limit("1 per second");
    assert!(keys.issue(lower).await.is_ok());
    for (name, key) in [
        ("longer", named("xyz").expires_at(soon + MINUTE)),
        ("another stage", named("xyz").stage("dev")),
        ("one limit of two", named("xyz").limit("50 per hour")),
        (
            "a higher limit",
            bound("xyz").limit("x: 1 per hour").limit("y: 1000 per minute").stage("dev"),
        ),
        (
            "a higher burst",
            named("xyz")
                .limit("100 per hour, burst 200")
                .limit("all: 9 per second, shared by tenant"),
        ),
        (
            "another window",
            named("xyz").limit("100 per minute").limit("all: 9 per second, shared by tenant"),
        ),
        ("not shared", named("xyz").limit("100 per hour").limit("all: 9 per second")),
        (
            "shared under another name",
            named("xyz").limit("100 per hour").limit("own: 9 per second, shared by tenant"),
        ),
        (
            "another name",
            named("xyz").limit("own: 100 per hour").limit("all: 9 per second, shared by tenant"),
        ),
        (
            "a lower one that is shared",
            named("xyz").limit("100 per hour").limit("all: 8 per second, shared by tenant"),
        ),
        (
            "a lower burst of one that is shared",
            named("xyz")
                .limit("100 per hour")
                .limit("all: 9 per second, burst 1, shared by tenant"),
        ),
        ("one more that is shared", bound("xyz").limit("more: 1 per day, shared by tenant")),
    ] {
        let result = keys.issue(key).await;
        assert!(matches!(result, Err(ManageError::Exceeds(_))), "{name}: {result:?}");
    }
    let endless = keys.update(plain.id(), &KeyUpdate::new().expires_at(None)).await;
    assert!(matches!(endless, Err(ManageError::Exceeds(_))));
    let unlimited = keys.update(plain.id(), &KeyUpdate::new().limits(RateLimits::default())).await;
    assert!(matches!(unlimited, Err(ManageError::Exceeds(_))));
}

#[tokio::test]
async fn a_limited_key_does_not_begin_anew_by_changing_its_limits() {
    let world = world();
    let key = named("limited").tenant("acme").abilities(["*"]).limit("100 per hour");
    let key = world.issue(key.limit("all: 9 per day, shared by tenant")).await;
    let verified = world.verified(key.secret.reveal()).await.unwrap();
    let keys = world.keys.on_behalf_of(&verified);
    let update = async |limits: &[&str]| {
        let limits = RateLimits::new(limits.iter().map(|limit| limit.parse().unwrap())).unwrap();
        keys.update(key.record.id(), &KeyUpdate::new().limits(limits)).await
    };
    let shared = "all: 9 per day, shared by tenant";
    for limits in [
        &["x: 100 per hour", shared][..],
        &["x: 99 per hour", shared],
        &["hourly: 100 per hour, shared by tenant", shared],
        &["100 per hour", "x: 9 per day, shared by tenant"],
        &["100 per hour", "all: 8 per day, shared by tenant"],
        &["100 per hour", "all: 9 per day, burst 8, shared by tenant"],
        &["100 per hour", shared, "x: 9 per day, shared by tenant"],
        &["100 per hour", "all: 9 per day"],
        &["100 per hour"],
    ] {
        let result = update(limits).await;
        assert!(
            matches!(result, Err(ManageError::Exceeds(Excess::Limits))),
            "{limits:?}: {result:?}"
        );
    }
    // What is lower, under the same name, and more limits are allowed.
    update(&["50 per hour, burst 1", "more: 1 per second", shared]).await.unwrap();
    update(&["50 per hour, burst 1", shared]).await.unwrap_err();
    let rotated = keys.rotate(key.record.id(), MINUTE).await.unwrap();
    assert_eq!(rotated.record.counted_as(), Some(key.record.id()));
}

#[tokio::test]
async fn a_key_whose_limits_the_application_set_is_changed_otherwise_on_behalf_of_another() {
    let world = world();
    let keys = world.on_behalf_of(named("owner").tenant("acme").limit("100 per hour")).await;
    let other = named("other").tenant("acme").limit("import: 50 per hour");
    let other = world.issue(other.limit("all: 9 per day, shared by tenant")).await.record;
    let renamed = keys.update(other.id(), &KeyUpdate::new().name("renamed")).await.unwrap();
    assert_eq!(renamed.record.limits(), other.limits());
    keys.disable(other.id()).await.unwrap();
    keys.enable(other.id()).await.unwrap();
    let set = async |limits: &[&str]| {
        let limits = RateLimits::new(limits.iter().map(|limit| limit.parse().unwrap())).unwrap();
        keys.update(other.id(), &KeyUpdate::new().limits(limits)).await
    };
    set(&["import: 40 per hour", "all: 9 per day, shared by tenant"]).await.unwrap_err();
    set(&["40 per hour", "all: 8 per day, shared by tenant"]).await.unwrap_err();
    set(&["40 per hour", "all: 9 per day, shared by tenant"]).await.unwrap();
    // A session at a dashboard is bound by no limits.
    let alice = Owner::of_tenant("acme".parse().unwrap(), Default::default(), "alice");
    let limits = RateLimits::new(["all: 1 per day, shared by tenant".parse().unwrap()]).unwrap();
    let keys = world.keys.on_behalf_of(alice);
    keys.update(other.id(), &KeyUpdate::new().limits(limits)).await.unwrap();
}

#[tokio::test]
async fn a_key_hands_on_its_restrictions() {
    let world = world();
    let granter =
        named("granter").tenant("acme").abilities(["*"]).origins(["https://shop.example"]);
    let keys = world.on_behalf_of(granter).await;
    let plain = keys.issue(named("plain")).await.unwrap().record;
    assert_eq!(plain.restrictions().origins.as_ref().unwrap().len(), 1);
    assert!(keys.issue(named("narrower").addresses(["10.0.0.0/8"])).await.is_ok());
    let wider = named("wider").origins(["https://shop.example", "https://evil.example"]);
    assert!(matches!(keys.issue(wider).await, Err(ManageError::Exceeds(_))));
    let office =
        named("office").tenant("acme").origins(["https://shop.example"]).addresses(["127.0.0.0/8"]);
    let office = world.keys.issue(office.abilities(["*"])).await.unwrap();
    let office = world.keys.on_behalf_of(&world.verified(office.secret.reveal()).await.unwrap());
    for (addresses, is_within) in [
        (&["127.0.0.1/32"][..], true),
        (&["127.0.0.0/8"], true),
        (&["127.0.0.1/32", "10.0.0.1/32"], false),
        (&["0.0.0.0/0"], false),
        (&["126.0.0.0/7"], false),
    ] {
        let result = office.issue(named("xyz").addresses(addresses)).await;
        assert_eq!(result.is_ok(), is_within, "{addresses:?}");
    }
    let lifted = KeyUpdate::new().restrictions(Restrictions::default());
    let lifted = keys.update(plain.id(), &lifted).await;
    assert!(matches!(lifted, Err(ManageError::Exceeds(_))));
}

#[tokio::test]
async fn a_public_key_manages_nothing() {
    let world = world();
    let public = || named("widget").kind(KeyKind::Public).origins(["https://shop.example"]);
    let keys = world.on_behalf_of(public().abilities(["*"])).await;
    let other = world.issue(named("other")).await.record.id().clone();
    for result in [
        keys.issue(public()).await.map(drop),
        keys.get(&other).await.map(drop),
        keys.list(&KeyQuery::new()).await.map(drop),
        keys.revoke(&other).await.map(drop),
        keys.rotate(&other, MINUTE).await.map(drop),
        keys.prune(SystemTime::now()).await.map(drop),
    ] {
        assert!(matches!(result, Err(ManageError::Exceeds(_))), "{result:?}");
    }
}

#[tokio::test]
async fn a_session_grants_a_part_of_its_ceiling_in_its_own_tenant() {
    let world = world();
    let foreign = world.issue(named("foreign").tenant("globex")).await.record.id().clone();
    let mighty = world.issue(named("mighty").tenant("acme").abilities(["*"])).await;
    let alice = Owner::of_tenant("acme".parse().unwrap(), abilities(["bots:*"]), "alice");
    let keys = world.keys.on_behalf_of(alice);
    let issued = keys.issue(named("reader").abilities(["bots:read"])).await.unwrap().record;
    assert_eq!(issued.tenant().unwrap(), "acme");
    let id = mighty.record.id();
    for (result, excess) in [
        (keys.issue(named("chat").abilities(["chat:send"])).await.map(drop), Excess::Abilities),
        (keys.issue(named("other").tenant("globex")).await.map(drop), Excess::Tenant),
        (keys.rotate(id, MINUTE).await.map(drop), Excess::Abilities),
        (keys.enable(id).await.map(drop), Excess::Abilities),
        (keys.update(id, &KeyUpdate::new().name("mine")).await.map(drop), Excess::Abilities),
    ] {
        assert!(matches!(&result, Err(ManageError::Exceeds(is)) if *is == excess), "{result:?}");
    }
    assert!(matches!(keys.get(&foreign).await, Err(ManageError::NotFound)));
    assert_eq!(keys.list(&KeyQuery::new()).await.unwrap().keys.len(), 2);
    keys.update(id, &KeyUpdate::new().disabled(true)).await.unwrap();
    keys.acting_as("bob").revoke(id).await.unwrap();
    let events = world.events.lock().unwrap();
    let actors: Vec<_> = events[2..].iter().map(|event| event.actor.to_string()).collect();
    assert_eq!(actors, ["name:alice", "name:alice", "name:bob"]);
}

#[tokio::test]
async fn a_key_that_was_changed_since_it_was_verified_acts_as_it_is_now() {
    let world = world();
    let other = world.issue(named("other").tenant("acme")).await.record;
    let soon = tower_api_key::Clock::now(&world.clock) + DAY;
    let all = named("granter").tenant("acme").abilities(["*"]).expires_at(soon);
    let granter = world.issue(all).await;
    let verified = world.verified(granter.secret.reveal()).await.unwrap();
    let (keys, id) = (world.keys.on_behalf_of(&verified), granter.record.id());
    let less = KeyUpdate::new().abilities(abilities(["bots:read"]));
    world.keys.update(id, &less).await.unwrap();
    let demoted = keys.issue(named("mighty").abilities(["*"])).await;
    assert!(matches!(demoted, Err(ManageError::Exceeds(_))), "{demoted:?}");
    let again = keys.update(id, &KeyUpdate::new().abilities(abilities(["*"]))).await;
    assert!(matches!(again, Err(ManageError::Exceeds(_))), "{again:?}");
    assert!(keys.issue(named("reader").abilities(["bots:read"])).await.is_ok());

    let nothing = async |why: &str| {
        for result in [
            keys.issue(named("heir")).await.map(drop),
            keys.enable(id).await.map(drop),
            keys.revoke(other.id()).await.map(drop),
            keys.rotate(id, MINUTE).await.map(drop),
            keys.list(&KeyQuery::new()).await.map(drop),
        ] {
            assert!(matches!(result, Err(ManageError::Exceeds(_))), "{why}: {result:?}");
        }
    };
    world.keys.disable(id).await.unwrap();
    nothing("disabled").await;
    world.keys.enable(id).await.unwrap();
    assert!(keys.get(other.id()).await.is_ok());
    world.clock.advance(DAY);
    nothing("expired").await;
    world.keys.revoke(id).await.unwrap();
    nothing("revoked").await;
    world.store.remove(id).unwrap();
    let removed = keys.issue(named("heir")).await;
    assert!(matches!(removed, Err(ManageError::Exceeds(Excess::Inactive))), "{removed:?}");
}

#[tokio::test]
async fn times_beyond_the_year_9999_are_never() {
    let world = world();
    let issued = world.keys.clone().rotation_period(Duration::MAX).issue(named("no end")).await;
    let old = issued.unwrap().record;
    assert_eq!(old.rotation_due_at(), None);
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let due = KeyUpdate::new().rotation_due_at(far);
    world.keys.update(old.id(), &due).await.unwrap();
    world.clock.advance(DAY);
    let new = world.keys.rotate(old.id(), Duration::from_secs(300_000_000_000)).await.unwrap();
    assert_eq!((new.record.rotation_due_at(), new.predecessor.expires_at()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_record_at_the_last_revision_is_not_changed_and_nothing_panics() {
    let world = world();
    let mut record = KeyRecord::clone(&world.issue(named("worn out")).await.record);
    record.set_revision(u64::MAX);
    world.store.insert(record.clone());
    assert!(matches!(world.keys.revoke(record.id()).await, Err(ManageError::Conflict)));
    assert!(matches!(world.keys.rotate(record.id(), MINUTE).await, Err(ManageError::Conflict)));
}

/// A repository in whose way somebody else gets, after reads and before each of its first commits.
struct Contended {
    store: MemoryStore,
    after_read: Box<dyn Fn() + Send + Sync>,
    rivals: AtomicUsize,
    fails: bool,
}

#[async_trait]
impl KeyStore for Contended {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.store.find(digest).await
    }
}

#[async_trait]
impl KeyRepository for Contended {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        let read = KeyRepository::get(&self.store, id).await;
        (self.after_read)();
        read
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        KeyRepository::list(&self.store, query).await
    }

    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        if self.fails {
            return Err(StoreError::new("down").into());
        }
        let rivals = self
            .rivals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if let (Ok(_), [KeyChange::Replace(record), ..]) = (rivals, changes) {
            self.store
                .update(record.id(), |record| record.set_name(format!("{}!", record.name())))
                .unwrap();
        }
        self.store.commit(changes, events).await
    }
}

#[async_trait]
impl RecordUses for Contended {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        self.store.record_uses(uses).await
    }
}

impl Contended {
    fn new(store: MemoryStore) -> Self {
        Self { store, after_read: Box::new(|| ()), rivals: 0.into(), fails: false }
    }
}

fn contended(rivals: usize, fails: bool) -> (MemoryStore, KeyManager) {
    let store = MemoryStore::new();
    let repository = Contended { rivals: rivals.into(), fails, ..Contended::new(store.clone()) };
    (store, KeyManager::new(repository))
}

#[tokio::test(start_paused = true)]
async fn a_change_is_made_upon_what_others_changed_in_the_meantime() {
    let (store, keys) = contended(90, false);
    let record = store.issue(named("contended")).unwrap().record;
    let revoked = keys.revoke(record.id()).await.unwrap().record;
    assert!(revoked.revoked_at().is_some());
    assert_eq!(revoked.name(), format!("contended{}", "!".repeat(90)), "their changes are kept");

    let (store, keys) = contended(20, false);
    let record = store.issue(named("contended")).unwrap().record;
    let rotated = keys.rotate(record.id(), MINUTE).await.unwrap();
    assert_eq!(rotated.record.name(), format!("contended{}", "!".repeat(20)));
    assert_eq!(store.records().len(), 2, "one successor");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_never_has_its_turn_is_an_error() {
    let (store, keys) = contended(usize::MAX, false);
    let record = store.issue(named("contended")).unwrap().record;
    assert!(matches!(keys.revoke(record.id()).await, Err(ManageError::Conflict)));
    assert!(matches!(keys.rotate(record.id(), MINUTE).await, Err(ManageError::Conflict)));
    assert_eq!(store.records().len(), 1);
}

#[tokio::test]
async fn a_key_that_is_demoted_meanwhile_does_not_undo_it() {
    let back = KeyUpdate::new().name("mighty").abilities(abilities(["*"])).disabled(false);
    for reads_before in [0, 1] {
        let world = world();
        let key = world.issue(named("leaked").tenant("acme").abilities(["*"])).await;
        let verified = world.verified(key.secret.reveal()).await.unwrap();
        let id = &key.record.id().clone();
        let (store, demoted) = (world.store.clone(), id.clone());
        let reads_left = AtomicUsize::new(reads_before);
        let after_read = Box::new(move || {
            if reads_left.fetch_sub(1, Ordering::SeqCst) == 0 {
                let demote = |record: &mut KeyRecord| {
                    record.set_disabled(true);
                    record.set_abilities(AbilitySet::default());
                };
                store.update(&demoted, demote).unwrap();
            }
        });
        let store = Contended { after_read, ..Contended::new(world.store.clone()) };
        let keys = KeyManager::new(store).clock(Arc::clone(&world.clock)).on_behalf_of(&verified);
        let result = keys.update(id, &back).await;
        assert!(matches!(result, Err(ManageError::Exceeds(Excess::Inactive))), "{result:?}");
        let record = world.record(id).await;
        assert!(
            record.is_disabled() && record.abilities().is_empty(),
            "after {reads_before} reads"
        );
    }
}

#[tokio::test]
async fn a_store_that_fails_is_an_error_and_no_event() {
    let (store, keys) = contended(0, true);
    let record = store.issue(named("unlucky")).unwrap().record;
    let keys = keys.audit(|_: &AuditEvent| panic!("nothing happened"));
    for result in [
        keys.issue(named("unlucky")).await.map(drop),
        keys.revoke(record.id()).await.map(drop),
        keys.rotate(record.id(), MINUTE).await.map(drop),
    ] {
        assert!(matches!(result, Err(ManageError::Store(_))), "{result:?}");
    }
}

#[tokio::test]
async fn a_memory_store_keeps_the_contract_of_repositories() {
    let store = MemoryStore::new();
    check_key_repository(&store).await;
    check_key_repository(&Arc::new(store.clone())).await;
    check_record_uses(&Arc::new(store.clone())).await;
    check_record_uses(&Box::new(store.clone())).await;
    check_key_repository(&(Box::new(store) as Box<dyn KeyRepository>)).await;
}

#[tokio::test]
async fn of_those_who_rotate_at_once_one_gets_the_successor() {
    let world = world();
    let old = world.issue(named("nightly import")).await.record;
    let rotations = (0..8).map(|_| {
        let (keys, id) = (world.keys.clone(), old.id().clone());
        tokio::spawn(async move { keys.rotate(&id, MINUTE).await })
    });
    let mut successors = Vec::new();
    for rotation in rotations.collect::<Vec<_>>() {
        match rotation.await.unwrap() {
            Ok(rotated) => successors.push(rotated.record.id().clone()),
            Err(error) => assert!(matches!(error, ManageError::Rotated(_)), "{error}"),
        }
    }
    assert_eq!(successors.len(), 1);
    assert_eq!(world.record(old.id()).await.successor(), successors.first());
}
