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
            "detail": "The number of keys is bounded by 1, and there are as many: revoke one that is not needed",
        })
    );
}
