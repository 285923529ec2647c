//! Sessions that have ended, and people who have to confirm who they are.

use tower_api_key::KeyUpdate;
use tower_api_key::store::KeyQuery;

use crate::world::{World, hidden, secret};

#[tokio::test]
async fn a_page_is_answered_as_the_application_says_and_protected_all_the_same() {
    let world = World::new().await;
    let key = world.live("Nightly import").await;
    world.sessions.end();
    for path in ["".to_owned(), "/new".to_owned(), format!("/key/{}", key.record.id())] {
        let answer = world.get(&path).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in/acme")));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(!answer.text().contains("Nightly import"));
    }
}

#[tokio::test]
async fn a_session_that_ended_while_a_form_was_open_loses_nothing_that_was_typed() {
    let world = World::new().await;
    let token = world.token().await;
    world.sessions.end();
    let typed = [
        ("token", &*token),
        ("name", "CI \"deploys\""),
        ("stage", "test"),
        ("access", "custom"),
        ("level.bots", "custom"),
        ("ability", "bots:delete"),
        ("expiry", "date"),
        ("date", "2027-01-31"),
        ("limits", "100 per minute"),
        ("addresses", "192.0.2.7"),
    ];
    let answer = world.post("/new", &typed).await;
    assert_eq!(answer.status, 403);
    for says in [
        "Nothing that you typed is lost",
        r#"href="/sign-in/acme" target="_blank""#,
        "value=\"CI &quot;deploys&quot;\"",
        "value=\"test\" checked",
        "name=\"level.bots\" value=\"custom\"",
        "name=\"ability\" value=\"bots:delete\"",
        "value=\"2027-01-31\"",
        "100 per minute",
        "192.0.2.7",
        &format!("name=\"token\" value=\"{token}\""),
    ] {
        assert!(answer.text().contains(says), "{says} is not in {}", answer.text());
    }
    assert!(world.keys.list(&KeyQuery::new()).await.unwrap().keys.is_empty());
    // In another tab, and then again.
    crate::common::get_raw(world.address, "/sign-in/acme", &[]).await;
    assert_eq!(world.post("/new", &typed).await.status, 201);
}

/// Neither strangers, who have no session, nor people who have to confirm who they are.
#[tokio::test]
async fn a_form_that_is_refused_does_not_say_what_there_is_to_grant() {
    let world = World::new().await;
    let key = world.live("Nightly import").await;
    let change = format!("/key/{}/change", key.record.id());
    let typed = [("name", "CI deploys"), ("access", "custom"), ("level.bots", "read")];
    world.sessions.must_confirm(true);
    let confirming = [world.post("/new", &typed).await];
    world.sessions.end();
    let strangers = [world.post("/new", &typed).await, world.post(&change, &typed).await];
    for answer in confirming.iter().chain(&strangers) {
        assert_eq!(answer.status, 403);
        assert!(answer.text().contains("name=\"level.bots\" value=\"read\""));
        for secret in ["admin:all", "The provider", "Everything of the provider", "Delete bots"] {
            assert!(!answer.text().contains(secret), "{secret} is in {}", answer.text());
        }
    }
}

#[tokio::test]
async fn what_is_grave_is_done_once_it_is_confirmed() {
    let world = World::new().await;
    let key = world.live("Secret project").await;
    world.sessions.must_confirm(true);
    for (path, field) in [
        ("/new".to_owned(), ("name", "CI deploys")),
        (format!("/key/{}/rotate", key.record.id()), ("grace", "604800")),
        (format!("/key/{}/revoke", key.record.id()), ("with_successors", "true")),
    ] {
        assert_eq!(world.get(&path).await.header("location"), Some("/confirm"), "{path}");
        let answer = world.post(&path, &[field]).await;
        assert_eq!((answer.status, secret(answer.text())), (403, None), "{path}");
        assert!(answer.text().contains(r#"href="/confirm""#), "{path}");
        assert!(answer.text().contains(&format!("value=\"{}\"", field.1)), "{path}");
        assert!(!answer.text().contains("Secret project"), "nothing is said of the key");
    }
    assert_eq!(world.keys.get(key.record.id()).await.unwrap().record, key.record);
    // What is not grave needs no confirmation.
    let rename = format!("/key/{}/rename", key.record.id());
    assert_eq!(world.post(&rename, &[("name", "Hourly import")]).await.status, 303);
    crate::common::get_raw(world.address, "/confirm", &[]).await;
    let rotate = format!("/key/{}/rotate", key.record.id());
    assert_eq!(world.post(&rotate, &[("grace", "0")]).await.status, 201);
}

#[tokio::test]
async fn somebody_who_may_only_read_is_told_so_and_changes_nothing() {
    let world = World::new().await;
    let key = world.live("Nightly import").await;
    world.sessions.may_read_only();
    assert_eq!(world.get("").await.status, 200);
    assert_eq!(world.get("/new").await.status, 403);
    for action in ["rename", "change", "disable", "enable", "rotate", "revoke"] {
        let fields = [("name", "theirs"), ("grace", "0"), ("expiry", "keep")];
        let answer = world.post(&format!("/key/{}/{action}", key.record.id()), &fields).await;
        assert_eq!(answer.status, 403, "{action}");
        assert!(answer.text().contains("You may not do this"), "{action}");
    }
    assert_eq!(world.keys.get(key.record.id()).await.unwrap().record, key.record);
}

#[tokio::test]
async fn the_form_of_a_change_is_kept_without_a_word_of_the_key() {
    let world = World::new().await;
    let key = world.live("Nightly import").await;
    let path = format!("/key/{}/change", key.record.id());
    let form = world.get(&path).await;
    let revision = hidden(form.text(), "revision").to_owned();
    world.keys.update(key.record.id(), &KeyUpdate::new().name("Secret name")).await.unwrap();
    world.sessions.end();
    let fields =
        [("revision", &*revision), ("name", "Mine"), ("expiry", "90"), ("limits", "9 per day")];
    let answer = world.post(&path, &fields).await;
    assert_eq!(answer.status, 403);
    for kept in ["value=\"Mine\"", "value=\"90\" checked", "9 per day"] {
        assert!(answer.text().contains(kept), "{kept}");
    }
    assert!(!answer.text().contains("Secret name"));
}
