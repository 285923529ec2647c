//! Revoking keys over the management API: what becomes of successors, and who is held up by it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::common::in_time;
use crate::world::{World, assert_blamed, over_each_database};

over_each_database! {
    a_successor_that_still_works_is_named
    successors_are_revoked_with_a_key
    a_parameter_that_is_none_is_refused
    whoever_does_not_see_a_key_holds_up_nobody
    changes_at_once_are_all_made
}

/// Rotates a key with a grace, and returns the id and the secret of its successor.
async fn rotate(world: &World, id: &str) -> (String, String) {
    let path = format!("/{id}/rotate");
    let rotated = world.alice("POST", &path, r#"{"grace_seconds":3600}"#).await.json();
    let text = |field: &str| rotated["data"][field].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

async fn status(world: &World, secret: &str) -> u16 {
    world.call(&format!("x-api-key: {secret}"), "GET", "/v1/api-keys", "").await.status
}

fn message() -> Value {
    json!({ "success": true, "message": "API key revoked successfully" })
}

async fn a_successor_that_still_works_is_named(world: &World) {
    let (old, old_secret) = world.create("rotated").await;
    let (new, new_secret) = rotate(world, &old).await;
    let mut expected = message();
    expected["working_successors"] = json!([new]);
    for _ in 0..2 {
        let revoked = world.alice("DELETE", &format!("/{old}"), "").await;
        assert_eq!((revoked.status, revoked.json()), (200, expected.clone()));
    }
    assert_eq!((status(world, &old_secret).await, status(world, &new_secret).await), (401, 403));
    let revoked = world.alice("DELETE", &format!("/{new}?with_successors=false"), "").await;
    assert_eq!(revoked.json(), message());
    assert_eq!(world.alice("DELETE", &format!("/{old}"), "").await.json(), message());
}

async fn successors_are_revoked_with_a_key(world: &World) {
    let (first, _) = world.create("rotated").await;
    let (second, second_secret) = rotate(world, &first).await;
    let (third, third_secret) = rotate(world, &second).await;
    let path = format!("/{first}?with_successors=true");
    let mut expected = message();
    expected["revoked_successors"] = json!([second, third]);
    assert_eq!(world.alice("DELETE", &path, "").await.json(), expected);
    assert_eq!(
        (status(world, &second_secret).await, status(world, &third_secret).await),
        (401, 401)
    );
    assert_eq!(world.alice("DELETE", &path, "").await.json(), message(), "again");
    let foreign = "x-session: globex *";
    let refused = world.call(foreign, "DELETE", &format!("/dashboard/api-keys{path}"), "").await;
    assert_blamed(&refused, 404, Value::Null);
}

async fn a_parameter_that_is_none_is_refused(world: &World) {
    let (id, secret) = world.create("kept").await;
    for (query, field) in [
        ("with_successor=true", json!("with_successor")),
        ("with_successors", json!("with_successors")),
        ("with_successors=1", json!("with_successors")),
        ("with_successors=true&with_successors=false", json!("with_successors")),
        ("sk_live_0123456789012345678901234567890", Value::Null),
    ] {
        let refused = world.alice("DELETE", &format!("/{id}?{query}"), "").await;
        assert_blamed(&refused, 400, field);
    }
    assert_eq!(status(world, &secret).await, 403, "it works");
}

async fn whoever_does_not_see_a_key_holds_up_nobody(world: &World) {
    let (id, _) = world.create("of acme").await;
    let path = format!("/dashboard/api-keys/{id}");
    let strangers = async {
        for _ in 0..50 {
            let refused = world.call("x-session: globex *", "DELETE", &path, "").await;
            assert_eq!(refused.status, 404);
        }
    };
    let owner = async {
        for number in 0..100 {
            let body = format!(r#"{{"name":"name {number}"}}"#);
            let changed = world.alice("PATCH", &format!("/{id}"), &body).await;
            assert_eq!(changed.status, 200, "{}", changed.text());
        }
        world.keys.disable(&id.parse().unwrap()).await.unwrap();
    };
    tokio::join!(strangers, strangers_again(world, &path), owner);
}

async fn strangers_again(world: &World, path: &str) {
    for _ in 0..50 {
        let path = format!("{path}?with_successors=true");
        assert_eq!(world.call("x-session: globex *", "DELETE", &path, "").await.status, 404);
    }
}

async fn changes_at_once_are_all_made(world: &World) {
    let (id, _) = world.create("contended").await;
    let changes = (0..60).map(|number| {
        let path = format!("/{id}");
        async move {
            let body = format!(r#"{{"name":"name {number}"}}"#);
            world.alice("PATCH", &path, &body).await.status
        }
    });
    let statuses = in_time(join_all(changes)).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let record = world.keys.get(&id.parse().unwrap()).await.unwrap().record;
    assert_eq!(record.revision(), 60);
}
