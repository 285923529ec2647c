//! What keys hand on to those that are issued on their behalf, and which may manage keys at all.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use serde_json::{Map, Value, json};
use tower::{Layer as _, ServiceExt as _};
use tower_api_key::manage::{Excess, Owner};
use tower_api_key::store::KeyQuery;
use tower_api_key::{
    ApiKeyLayer, GuardLayer, IssuedKey, KeyManager, KeyRepository, KeyUpdate, ManageError,
    MemoryStore, NewKey, Rejection, RejectionKind, RequestHead, Secret, VerifiedKey,
};

use crate::meanwhile::verified;

const HOUR: Duration = Duration::from_secs(60 * 60);

struct World {
    store: Arc<dyn KeyRepository>,
    app: KeyManager,
}

fn world() -> World {
    let store: Arc<dyn KeyRepository> = Arc::new(MemoryStore::new());
    let app = KeyManager::new(Arc::clone(&store));
    World { app: app.inherit_metadata(["office_hours_only", "plan"]), store }
}

impl World {
    async fn issue(&self, key: NewKey) -> IssuedKey {
        self.app.issue(key.tenant("acme").abilities(["*"])).await.unwrap()
    }

    async fn owner(&self, secret: &Secret) -> Owner {
        Owner::of_key(&verified(&self.store, secret).await)
    }

    /// A manager on behalf of a key that works in office hours only, and has no plan.
    async fn clerk(&self) -> KeyManager {
        let clerk = NewKey::named("clerk").metadata("office_hours_only", true);
        let clerk = self.issue(clerk.metadata("color", "red")).await;
        self.app.on_behalf_of(self.owner(&clerk.secret).await)
    }
}

fn metadata<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[track_caller]
fn assert_exceeds<T: std::fmt::Debug>(result: Result<T, ManageError>, excess: Excess) {
    let result = result.map(drop);
    assert!(matches!(&result, Err(ManageError::Exceeds(is)) if *is == excess), "{result:?}");
}

#[tokio::test]
async fn a_key_hands_on_the_metadata_that_the_application_lists() {
    let world = world();
    let clerk = world.clerk().await;
    let heir = clerk.issue(NewKey::named("heir").metadata("own", 1)).await.unwrap().record;
    assert_eq!(*heir.metadata(), metadata([("office_hours_only", json!(true)), ("own", json!(1))]));
    let same = NewKey::named("heir").metadata("office_hours_only", true);
    assert!(clerk.issue(same).await.is_ok());
    // By a manager that lists nothing, and on nobody's behalf, nothing is handed on.
    let owner = world.issue(NewKey::named("clerk").metadata("office_hours_only", true)).await;
    let owner = world.owner(&owner.secret).await;
    let unlisted = KeyManager::new(Arc::clone(&world.store)).on_behalf_of(owner);
    assert!(unlisted.issue(NewKey::named("heir")).await.unwrap().record.metadata().is_empty());
    assert!(world.issue(NewKey::named("any")).await.record.metadata().is_empty());
}

#[tokio::test]
async fn what_is_handed_on_cannot_be_changed() {
    let world = world();
    let clerk = world.clerk().await;
    for (name, value) in [
        ("office_hours_only", json!(false)),
        ("office_hours_only", json!(null)),
        ("office_hours_only", json!("true")),
        // What the owner has not, the other has not either.
        ("plan", json!("premium")),
        ("plan", json!(null)),
    ] {
        let key = NewKey::named("heir").metadata(name, value.clone());
        assert_exceeds(clerk.issue(key).await, Excess::Metadata);
        let heir = clerk.issue(NewKey::named("heir")).await.unwrap().record;
        let update = KeyUpdate::new().metadata(name, value);
        assert_exceeds(clerk.update(heir.id(), &update).await, Excess::Metadata);
        let none = KeyUpdate::new().without_metadata();
        assert_exceeds(clerk.update(heir.id(), &none).await, Excess::Metadata);
        let more = KeyUpdate::new().metadata("color", "blue");
        clerk.update(heir.id(), &more).await.unwrap();
        clerk.update(heir.id(), &KeyUpdate::new().name("renamed")).await.unwrap();
        let successor = clerk.rotate(heir.id(), HOUR).await.unwrap().record;
        assert_eq!(successor.metadata()["office_hours_only"], true);
    }
}

#[tokio::test]
async fn a_key_gets_at_none_with_other_metadata() {
    let world = world();
    let clerk = world.clerk().await;
    for mightier in [
        NewKey::named("manager"),
        NewKey::named("manager").metadata("office_hours_only", false),
        NewKey::named("premium").metadata("office_hours_only", true).metadata("plan", "premium"),
    ] {
        let record = world.issue(mightier).await.record;
        let id = record.id();
        assert_exceeds(clerk.update(id, &KeyUpdate::new().name("mine")).await, Excess::Metadata);
        // Rotating tells the secret of the successor.
        assert_exceeds(clerk.rotate(id, HOUR).await, Excess::Metadata);
        // Taking away is allowed of any.
        clerk.disable(id).await.unwrap();
        assert_exceeds(clerk.enable(id).await, Excess::Metadata);
        clerk.revoke(id).await.unwrap();
    }
    // Somebody of the tenant is not bounded by them, and neither is the application.
    let alice = Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "alice");
    for keys in [world.app.on_behalf_of(alice), world.app.clone()] {
        let key = NewKey::named("any").tenant("acme").metadata("plan", "premium");
        let record = keys.issue(key).await.unwrap().record;
        keys.update(record.id(), &KeyUpdate::new().without_metadata()).await.unwrap();
    }
}

/// A guard that never lets such keys pass, as if it were night.
fn office_hours(key: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
    match key.metadata().get("office_hours_only") {
        None | Some(Value::Bool(false)) => Ok(()),
        Some(_) => Err(Rejection::new(RejectionKind::NotAllowed)),
    }
}

#[tokio::test]
async fn a_guard_that_decides_by_metadata_decides_alike_of_those_that_a_key_issues() {
    let world = world();
    let ask = async |secret: &Secret| {
        let handler = tower::service_fn(async |_: Request<String>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
        });
        let layer = ApiKeyLayer::new(Arc::clone(&world.store));
        let service = layer.layer(GuardLayer::new(office_hours).layer(handler));
        let request = Request::builder().header("x-api-key", secret.reveal()).body(String::new());
        service.oneshot(request.unwrap()).await.unwrap().status()
    };
    let clerk = world.clerk().await;
    let heir = clerk.issue(NewKey::named("heir")).await.unwrap();
    assert_eq!(ask(&heir.secret).await, StatusCode::FORBIDDEN);
    let heir = clerk.rotate(heir.record.id(), HOUR).await.unwrap();
    assert_eq!(ask(&heir.secret).await, StatusCode::FORBIDDEN);
    let manager = world.issue(NewKey::named("manager")).await;
    assert_eq!(ask(&manager.secret).await, StatusCode::OK);
    let manager = world.app.on_behalf_of(world.owner(&manager.secret).await);
    let heir = manager.issue(NewKey::named("heir")).await.unwrap();
    assert_eq!(ask(&heir.secret).await, StatusCode::OK);
}

/// Asserts that nothing can be done with keys, not even with the own one.
async fn assert_manages_nothing(keys: &KeyManager, own: &IssuedKey, excess: Excess) {
    let own = own.record.id();
    assert_exceeds(keys.issue(NewKey::named("heir")).await, excess);
    assert_exceeds(keys.get(own).await, excess);
    assert_exceeds(keys.list(&KeyQuery::new()).await, excess);
    assert_exceeds(keys.update(own, &KeyUpdate::new().name("mine")).await, excess);
    assert_exceeds(keys.enable(own).await, excess);
    assert_exceeds(keys.disable(own).await, excess);
    assert_exceeds(keys.rotate(own, HOUR).await, excess);
    assert_exceeds(keys.revoke(own).await, excess);
    assert_exceeds(keys.prune(std::time::SystemTime::now()).await, excess);
}

#[tokio::test]
async fn a_key_without_a_tenant_manages_keys_only_where_that_is_said() {
    let world = world();
    let own = world.app.issue(NewKey::named("service").abilities(["*"])).await.unwrap();
    let other = world.app.issue(NewKey::named("another")).await.unwrap().record;
    let foreign = world.issue(NewKey::named("of a tenant")).await.record;
    let owner = world.owner(&own.secret).await;
    let keys = world.app.on_behalf_of(owner.clone());
    assert_manages_nothing(&keys, &own, Excess::Tenantless).await;
    let keys = world.app.on_behalf_of(owner.allow_tenantless());
    let heir = keys.issue(NewKey::named("heir")).await.unwrap().record;
    assert_eq!(heir.tenant(), None);
    keys.update(other.id(), &KeyUpdate::new().name("mine")).await.unwrap();
    assert_eq!(keys.list(&KeyQuery::new()).await.unwrap().keys.len(), 3);
    assert!(matches!(keys.get(foreign.id()).await, Err(ManageError::NotFound)));
    let of_a_tenant = keys.issue(NewKey::named("heir").tenant("acme")).await;
    assert_exceeds(of_a_tenant, Excess::Tenant);
    // Of a key with a tenant, it allows nothing.
    let clerk = world.issue(NewKey::named("clerk")).await;
    let clerk = world.owner(&clerk.secret).await.allow_tenantless();
    let result = world.app.on_behalf_of(clerk).get(other.id()).await;
    assert!(matches!(result, Err(ManageError::NotFound)));
}

#[tokio::test]
async fn an_ability_that_is_required_to_manage_keys_is_one_of_the_record() {
    let world = world();
    let own = world.issue(NewKey::named("manager")).await;
    let required = ["api-keys:write"].try_into().unwrap();
    let owner = world.owner(&own.secret).await.requiring(required);
    let keys = world.app.on_behalf_of(owner);
    keys.issue(NewKey::named("heir")).await.unwrap();
    let less = KeyUpdate::new().abilities(["api-keys:read", "bots:*"]);
    world.app.update(own.record.id(), &less).await.unwrap();
    assert_manages_nothing(&keys, &own, Excess::Management).await;
    let more = KeyUpdate::new().abilities(["api-keys:*", "bots:*"]);
    world.app.update(own.record.id(), &more).await.unwrap();
    keys.issue(NewKey::named("heir").abilities(["bots:read"])).await.unwrap();

    let alice = |ceiling: &str| {
        let ceiling = [ceiling].try_into().unwrap();
        let alice = Owner::of_tenant("acme".parse().unwrap(), ceiling, "alice");
        world.app.on_behalf_of(alice.requiring(["api-keys:write"].try_into().unwrap()))
    };
    assert_manages_nothing(&alice("bots:*"), &own, Excess::Management).await;
    alice("*").get(own.record.id()).await.unwrap();
}
