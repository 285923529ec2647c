//! Forms that are sent more than once.

use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use http::request::Parts;
use tower_api_key::KeyKind;
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::KeyAction;
use tower_api_key::manage::pages::KeyPages;
use tower_api_key::store::{KeyQuery, KeyState, KeyUse, RecordUses as _};

use crate::common::{get_raw, serve};
use crate::world::{BASE, NOON, SAME_ORIGIN, World, catalogue, post_to, secret};

fn fields<'a>(token: &'a str, name: &'a str) -> [(&'a str, &'a str); 6] {
    [
        ("token", token),
        ("name", name),
        ("stage", "live"),
        ("access", "custom"),
        ("level.bots", "read"),
        ("expiry", "30"),
    ]
}

async fn active(world: &World) -> Vec<String> {
    let keys = world.keys.list(&KeyQuery::new().state(KeyState::Active)).await.unwrap().keys;
    keys.iter().map(|key| key.record.id().to_string()).collect()
}

/// Tells whether a secret works, by the layer of the manager.
async fn works(world: &World, secret: &str) -> bool {
    let app =
        axum::Router::new().route("/", axum::routing::get(async || "")).layer(world.keys.layer());
    let address = crate::common::serve(app).await;
    get_raw(address, "/", &[&format!("x-api-key: {secret}")]).await.status == 200
}

#[tokio::test]
async fn a_form_that_is_sent_twice_makes_one_key_whose_last_secret_works() {
    let world = World::new().await;
    let token = world.token().await;
    let mut secrets = Vec::new();
    for _ in 0..3 {
        let answer = world.post("/new", &fields(&token, "CI deploys")).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        secrets.push(secret(answer.text()).unwrap().to_owned());
        let says = "sent more than once";
        assert_eq!(answer.text().contains(says), secrets.len() > 1);
    }
    assert_eq!(active(&world).await.len(), 1);
    assert!(!works(&world, &secrets[0]).await && !works(&world, &secrets[1]).await);
    assert!(works(&world, &secrets[2]).await);
}

#[tokio::test]
async fn of_forms_that_are_sent_at_once_exactly_one_secret_works() {
    let world = World::new().await;
    let token = world.token().await;
    let form = fields(&token, "CI deploys");
    let answers = futures_util::future::join_all((0..6).map(|_| world.post("/new", &form))).await;
    let mut working = 0;
    for answer in &answers {
        if let Some(secret) = secret(answer.text()) {
            working += usize::from(works(&world, secret).await);
        }
    }
    assert_eq!((working, active(&world).await.len()), (1, 1));
}

#[tokio::test]
async fn a_key_that_is_in_use_is_not_rotated_by_its_form() {
    let world = World::new().await;
    let token = world.token().await;
    let form = fields(&token, "CI deploys");
    let first = world.post("/new", &form).await;
    let first = secret(first.text()).unwrap().to_owned();
    let id = world.keys.list(&KeyQuery::new()).await.unwrap().keys[0].record.id().clone();
    let used = KeyUse::new(id, UNIX_EPOCH + Duration::from_secs(NOON));
    world.store.record_uses(&[used]).await.unwrap();
    let again = world.post("/new", &form).await;
    assert_eq!((again.status, secret(again.text())), (409, None));
    assert!(again.text().contains("already created"));
    assert!(works(&world, &first).await);
}

#[tokio::test]
async fn a_form_that_comes_again_late_or_says_something_else_makes_nothing() {
    let world = World::new().await;
    let token = world.token().await;
    let first = world.post("/new", &fields(&token, "CI deploys")).await;
    let first = secret(first.text()).unwrap().to_owned();
    let other = world.post("/new", &fields(&token, "Another name")).await;
    assert_eq!((other.status, secret(other.text())), (409, None));
    world.clock.advance(Duration::from_secs(11 * 60));
    let late = world.post("/new", &fields(&token, "CI deploys")).await;
    assert_eq!((late.status, secret(late.text())), (409, None));
    assert!(works(&world, &first).await);
    assert_eq!(active(&world).await.len(), 1);
    // The token of a tenant is not that of another.
    let lines = ["cookie: session=globex", crate::world::SAME_ORIGIN];
    let fields = [("token", &*token), ("name", "CI deploys"), ("stage", "live"), ("expiry", "30")];
    assert_eq!(world.post_with("/new", &lines, &fields).await.status, 201);
}

#[tokio::test]
async fn a_key_that_was_revoked_is_not_brought_back_by_its_form() {
    let world = World::new().await;
    let token = world.token().await;
    world.post("/new", &fields(&token, "CI deploys")).await;
    let id = world.keys.list(&KeyQuery::new()).await.unwrap().keys[0].record.id().clone();
    world.keys.revoke(&id).await.unwrap();
    let again = world.post("/new", &fields(&token, "CI deploys")).await;
    assert_eq!((again.status, secret(again.text())), (409, None));
    assert_eq!(active(&world).await.len(), 0);
}

/// Such as by somebody who reloads the page of a secret.
#[tokio::test]
async fn a_form_that_is_sent_again_takes_no_secret_from_somebody_else() {
    let world = World::new().await;
    let token = world.token().await;
    let form = fields(&token, "CI deploys");
    let alices = world.post("/new", &form).await;
    let alices = secret(alices.text()).unwrap().to_owned();
    // Somebody of the same tenant, by the same form.
    let bob = |_: &mut Parts, _: &KeyAction| {
        let ceiling = ["bots:*"].try_into().unwrap();
        Ok(Owner::of_tenant("acme".parse().unwrap(), ceiling, "bob"))
    };
    let pages = KeyPages::new(world.keys.clone(), bob).catalogue(catalogue());
    let address = serve(Router::new().nest(BASE, pages.into_router())).await;
    let again = post_to(address, "/new", &[SAME_ORIGIN], &form).await;
    assert_eq!((again.status, secret(again.text())), (409, None));
    assert!(works(&world, &alices).await);
    // And of who has rotated the key since.
    let id = world.keys.list(&KeyQuery::new()).await.unwrap().keys[0].record.id().clone();
    let bobs = world.keys.acting_as("bob").rotate(&id, Duration::ZERO).await.unwrap();
    let again = world.post("/new", &form).await;
    assert_eq!((again.status, secret(again.text())), (409, None));
    assert!(works(&world, bobs.secret.reveal()).await);
}

#[tokio::test]
async fn a_rotation_that_is_sent_twice_shows_a_secret_that_works() {
    let world = World::new().await;
    let key = world.live("Nightly import").await;
    let path = format!("/key/{}/rotate", key.record.id());
    let first = world.post(&path, &[("grace", "3600")]).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let again = world.post(&path, &[("grace", "3600")]).await;
    assert_eq!(again.status, 201, "{}", again.text());
    let [first, again] = [&first, &again].map(|answer| secret(answer.text()).unwrap());
    assert!(works(&world, again).await && !works(&world, first).await);
    assert!(works(&world, key.secret.reveal()).await, "the old one has its hour");
    // Of another person, whose secret it is, nothing is taken.
    let other = world.live("Another").await;
    let others =
        world.keys.acting_as("bob").rotate(other.record.id(), Duration::ZERO).await.unwrap();
    let path = format!("/key/{}/rotate", other.record.id());
    let refused = world.post(&path, &[("grace", "0")]).await;
    assert_eq!((refused.status, secret(refused.text())), (409, None));
    assert!(works(&world, others.secret.reveal()).await);
}

#[tokio::test]
async fn a_public_key_is_shown_whole_also_later_and_after_a_rotation() {
    let world = World::new().await;
    let token = world.token().await;
    let form = [
        ("token", &*token),
        ("name", "Support widget"),
        ("origins", "https://www.shop.example"),
        ("access", "preset:Chat only"),
        ("expiry", "never"),
    ];
    let answer = world.post("/new-public", &form).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let text = secret(answer.text()).unwrap().to_owned();
    assert!(text.starts_with("pk_"));
    let key = world.keys.list(&KeyQuery::new()).await.unwrap().keys.remove(0);
    assert_eq!(key.record.kind(), KeyKind::Public);
    let path = format!("/key/{}", key.record.id());
    assert!(world.get(&path).await.text().contains(&text));
    assert!(world.get("").await.text().contains(&text));
    let rotated = world.post(&format!("{path}/rotate"), &[("grace", "0")]).await;
    let new = secret(rotated.text()).unwrap().to_owned();
    let list = world.get("").await;
    assert!(list.text().contains(&new) && list.text().contains(&text), "each has its own");
}
