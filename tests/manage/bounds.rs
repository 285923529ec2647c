//! How many keys a tenant has, and who has issued them.

use std::time::{Duration, SystemTime};

use axum::Router;
use futures_util::future::join_all;
use serde_json::json;
use tower_api_key::manage::api::{ApiError, KeyRoutes};
use tower_api_key::store::{Actor, KeyQuery, KeyState};
use tower_api_key::{KeyManager, KeyUpdate, ManageError, MemoryStore, NewKey};

use crate::common::{in_time, send_raw_with_body, serve};
use crate::stores::{Store, over_each_store};
use crate::world::{ALICE, session};

fn key(tenant: &str) -> NewKey {
    NewKey::named("a key").tenant(tenant)
}

#[track_caller]
fn assert_full<T: std::fmt::Debug>(result: Result<T, ManageError>, at_most: u64) {
    let result = result.map(drop);
    assert!(matches!(&result, Err(ManageError::TooManyKeys(n)) if *n == at_most), "{result:?}");
}

async fn what_would_make_too_many_keys_is_refused(store: Store) {
    let unbounded = KeyManager::new(store);
    let keys = unbounded.clone().max_keys_per_tenant(2);
    let first = keys.issue(key("acme")).await.unwrap().record;
    let second = keys.issue(key("acme")).await.unwrap().record;
    assert_full(keys.issue(key("acme")).await, 2);
    // Others have their own, and those of nobody are not counted.
    keys.issue(key("globex")).await.unwrap();
    for _ in 0..4 {
        keys.issue(NewKey::named("nobody's")).await.unwrap();
    }
    // What does not make more is allowed, also to a tenant that has too many.
    unbounded.issue(key("acme")).await.unwrap();
    keys.disable(first.id()).await.unwrap();
    keys.enable(first.id()).await.unwrap();
    keys.update(first.id(), &KeyUpdate::new().name("another name")).await.unwrap();
    assert_full(keys.rotate(first.id(), Duration::from_secs(60)).await, 2);
    let rotated = keys.rotate(first.id(), Duration::ZERO).await.unwrap();
    keys.revoke(rotated.record.id()).await.unwrap();
    assert_full(keys.issue(key("acme")).await, 2);
    keys.revoke(second.id()).await.unwrap();
    let third = keys.issue(key("acme")).await.unwrap().record;
    // One that has expired makes room, and may live again only if there is some.
    let at = SystemTime::now() + Duration::from_millis(300);
    keys.update(third.id(), &KeyUpdate::new().expires_at(at)).await.unwrap();
    assert_full(keys.issue(key("acme")).await, 2);
    in_time(async {
        while SystemTime::now() <= at {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let fourth = keys.issue(key("acme")).await.unwrap().record;
    let forever = KeyUpdate::new().expires_at(None);
    assert_full(keys.update(third.id(), &forever).await, 2);
    keys.revoke(fourth.id()).await.unwrap();
    keys.update(third.id(), &forever).await.unwrap();
}

async fn those_who_issue_at_once_do_not_get_beyond_the_bound(store: Store) {
    // Of several nodes, each of which has tenants of both kinds.
    let nodes = [(); 3].map(|()| KeyManager::new(store.clone()).max_keys_per_tenant(5));
    let issues = (0..24).map(|number| {
        let keys = nodes[number % 3].clone();
        async move {
            let tenant = if number % 2 == 0 { "even" } else { "odd" };
            match keys.issue(key(tenant)).await {
                Ok(_) => true,
                Err(ManageError::TooManyKeys(5)) => false,
                Err(error) => panic!("{error}"),
            }
        }
    });
    let issued = in_time(join_all(issues)).await;
    assert_eq!(issued.into_iter().filter(|issued| *issued).count(), 10);
    for tenant in ["even", "odd"] {
        let query = KeyQuery::new().tenant(tenant.parse().unwrap()).state(KeyState::Active);
        assert_eq!(nodes[0].list(&query).await.unwrap().keys.len(), 5, "{tenant}");
    }
}

/// A manager that waits as long as a busy machine needs.
fn bounded(store: &Store, at_most: u64) -> KeyManager {
    let keys = KeyManager::new(store.clone()).deadline(Duration::from_secs(100));
    keys.max_keys_per_tenant(at_most)
}

async fn count(keys: &KeyManager, tenant: &str) -> usize {
    let query = KeyQuery::new().tenant(tenant.parse().unwrap()).limit(1000);
    keys.list(&query).await.unwrap().keys.len()
}

async fn many_keys_are_bounded_batch_by_batch(store: Store) {
    let keys = bounded(&store, 300);
    // As many as a batch of others more, whose tenant is not the one that is full.
    let others = (0..50).map(|_| key("globex"));
    let error = keys.issue_all((0..500).map(|_| key("acme")).chain(others)).await.unwrap_err();
    assert!(matches!(error.source, ManageError::TooManyKeys(300)), "{error:?}");
    assert_eq!((error.index, error.issued.len(), error.uncertain.len()), (250, 250, 0));
    assert_eq!((count(&keys, "acme").await, count(&keys, "globex").await), (250, 0));
    // Batches of several tenants are bounded for each.
    let both = (0..80).map(|number| key(if number % 2 == 0 { "acme" } else { "globex" }));
    assert_eq!(keys.issue_all(both).await.unwrap().len(), 80);
    let both = (0..30).map(|number| key(if number % 2 == 0 { "globex" } else { "acme" }));
    let error = keys.issue_all(both).await.unwrap_err();
    assert!(matches!(error.source, ManageError::TooManyKeys(300)), "{error:?}");
    assert_eq!((count(&keys, "acme").await, count(&keys, "globex").await), (290, 40));
    keys.issue_all((0..10).map(|_| key("acme"))).await.unwrap();
    assert_full(keys.issue(key("acme")).await, 300);
    // One that is suspended gets none, and those of the others in the batch are not issued either.
    let acme = "acme".parse().unwrap();
    keys.suspend(&acme).await.unwrap();
    let unbounded = KeyManager::new(store);
    let error = unbounded.issue_all([key("globex"), key("acme")]).await.unwrap_err();
    assert!(matches!(error.source, ManageError::Suspended), "{error:?}");
    assert_eq!((error.index, error.issued.len(), error.uncertain.len()), (0, 0, 0));
    assert_eq!((count(&keys, "acme").await, count(&keys, "globex").await), (300, 40));
    // Its keys count all the same.
    keys.resume(&acme).await.unwrap();
    assert_full(keys.issue(key("acme")).await, 300);
}

async fn those_who_issue_many_at_once_do_not_get_beyond_the_bound(store: Store) {
    let nodes = [(); 3].map(|()| bounded(&store, 50));
    let issues = (0..9).map(|number| {
        let keys = &nodes[number % 3];
        async move {
            match keys.issue_all((0..20).map(|_| key("acme"))).await {
                Ok(issued) => issued.len(),
                Err(error) => {
                    assert!(matches!(error.source, ManageError::TooManyKeys(50)), "{error:?}");
                    assert!(error.issued.is_empty() && error.uncertain.is_empty(), "{error:?}");
                    0
                }
            }
        }
    });
    let issued: usize = in_time(join_all(issues)).await.into_iter().sum();
    assert_eq!((issued, count(&nodes[0], "acme").await), (40, 40));
}

async fn it_is_kept_who_has_issued_a_key(store: Store) {
    let keys = KeyManager::new(store);
    let alice = keys.acting_as("alice@acme.example");
    let issued = alice.issue(key("acme")).await.unwrap().record;
    assert_eq!(issued.created_by(), Some(&Actor::from("alice@acme.example")));
    let renamed = KeyUpdate::new().name("renamed");
    let updated = keys.acting_as("bob").update(issued.id(), &renamed).await.unwrap();
    assert_eq!(updated.record.created_by(), issued.created_by());
    let bob = keys.acting_as("bob").rotate(issued.id(), Duration::ZERO).await.unwrap();
    assert_eq!(bob.record.created_by(), Some(&Actor::from("bob")));
    let own = keys.issue(key("acme")).await.unwrap().record;
    for (actor, expected) in [
        (Actor::from("alice@acme.example"), issued.id()),
        (Actor::from("bob"), bob.record.id()),
        (Actor::System, own.id()),
    ] {
        let listed = keys.list(&KeyQuery::new().created_by(actor)).await.unwrap().keys;
        assert_eq!(listed.iter().map(|key| key.record.id()).collect::<Vec<_>>(), [expected]);
    }
}

over_each_store! {
    what_would_make_too_many_keys_is_refused
    those_who_issue_at_once_do_not_get_beyond_the_bound
    many_keys_are_bounded_batch_by_batch
    those_who_issue_many_at_once_do_not_get_beyond_the_bound
    it_is_kept_who_has_issued_a_key
}

#[tokio::test]
async fn a_client_can_tell_that_there_are_too_many_keys() {
    let keys = KeyManager::new(MemoryStore::new()).max_keys_per_tenant(1);
    let app = Router::new().nest("/v1", KeyRoutes::new(keys, session).into_router());
    let address = serve(app).await;
    let create = async || {
        let body = r#"{"name":"one more"}"#;
        let request = format!(
            "POST /v1/api-keys HTTP/1.1\r\n{ALICE}\r\ncontent-type: application/json\r\n\
             content-length: {}",
            body.len()
        );
        in_time(send_raw_with_body(address, request, body)).await
    };
    assert_eq!(create().await.status, 201);
    let refused = create().await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!(
        refused.json(),
        json!({
            "type": ApiError::TOO_MANY_KEYS,
            "title": "Too many API keys",
            "status": 409,
            "detail": "The limit of keys of the tenant, 1, is reached: revoke one that is not needed",
        })
    );
}
