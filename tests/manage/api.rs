//! The life of a key over the management API.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tower_api_key::store::{
    KeyQuery, KeyUsage, KeyUse, RecordUses, UsageBatch, UsageCounts, UsageKind, UsageRetention,
};
use tower_api_key::{KeyRepository as _, NewKey};

use crate::world::{ALICE, World, assert_blamed, over_each_database};

over_each_database! {
    a_key_lives_as_the_documentation_says
    a_created_key_is_all_that_the_body_says
    a_change_changes_what_it_mentions
    null_and_empty_take_bounds_away
    what_is_disabled_can_be_enabled_again
    rotating_gives_a_successor_once
    a_rotated_key_works_on_for_its_grace
    revoking_at_once_is_a_success_for_all
    a_revoked_key_is_changed_no_more
    pages_have_every_key_once_while_keys_come_and_go
    a_list_has_the_keys_in_a_state
    a_list_is_filtered_by_what_else_a_page_asks_for
    the_last_use_is_shown
    usage_is_told_to_the_owner_of_a_key
    head_is_get_without_a_body
}

async fn a_key_lives_as_the_documentation_says(world: &World) {
    let created = world.alice("POST", "", r#"{"name":"Production Key","prefix":"sk_live_"}"#).await;
    assert_eq!((created.status, &created.json()["success"]), (201, &true.into()));
    let created_json = created.json();
    let data = created_json["data"].as_object().unwrap();
    let (id, secret) = (data["id"].as_str().unwrap(), data["secret"].as_str().unwrap());
    let location = format!("/dashboard/api-keys/{id}");
    assert_eq!(created.header("location"), Some(&*location));
    assert_eq!(created.header("cache-control"), Some("no-store"));
    assert!(secret.starts_with("sk_live_"));

    let shown = world.call(ALICE, "GET", &location, "").await;
    let mut without_secret = data.clone();
    without_secret.remove("secret");
    assert_eq!(shown.json(), json!({ "success": true, "data": without_secret }));
    let listed = world.alice("GET", "", "").await;
    let page = json!({ "success": true, "data": [without_secret], "next_cursor": null });
    assert_eq!(listed.json(), page);
    for (field, value) in [
        ("name", json!("Production Key")),
        ("prefix", json!("sk_live_")),
        ("state", json!("active")),
        ("stage", json!("live")),
        ("kind", json!("secret")),
        ("last_used", Value::Null),
    ] {
        assert_eq!(data[field], value);
    }
    let created_at = humantime::parse_rfc3339(data["created_at"].as_str().unwrap()).unwrap();
    assert!(created_at <= SystemTime::now());
    let line = format!("x-api-key: {secret}");
    assert_eq!(world.call(&line, "GET", "/v1/api-keys", "").await.status, 403, "it works");

    let revoked = world.call(ALICE, "DELETE", &location, "").await;
    let message = json!({ "success": true, "message": "API key revoked successfully" });
    assert_eq!((revoked.status, revoked.json()), (200, message));
    assert_eq!(world.call(&line, "GET", "/v1/api-keys", "").await.status, 401);
    assert_eq!(world.call(ALICE, "DELETE", &location, "").await, revoked, "again");
    assert_eq!(world.call(ALICE, "GET", &location, "").await.json()["data"]["state"], "revoked");
    for response in [shown, listed, revoked] {
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert!(!response.text().contains(secret) && !response.text().contains("secret\":\"sk"));
    }
}

async fn a_created_key_is_all_that_the_body_says(world: &World) {
    let body = json!({
        "name": "nightly import",
        "prefix": "sk_test_",
        "stage": "test",
        "abilities": ["imports:write", "imports:read"],
        "expires_at": "2100-01-01T01:30:00+01:30",
        "limits": ["1000 per hour, burst 50", "export: 5 per 10 minutes"],
        "restrictions": {
            "addresses": ["192.0.2.0/24"],
            "origins": ["https://*.shop.example"],
            "referrers": null,
            "endpoints": ["POST /v1/imports"],
        },
    });
    let created = world.alice("POST", "", &body.to_string()).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let data = &created.json()["data"];
    for field in ["name", "prefix", "stage", "limits", "restrictions"] {
        assert_eq!(data[field], body[field]);
    }
    assert_eq!(data["abilities"], json!(["imports:read", "imports:write"]));
    assert_eq!(data["expires_at"], "2100-01-01T00:00:00Z");
    let record = world.keys.get(&data["id"].as_str().unwrap().parse().unwrap()).await.unwrap();
    assert_eq!(record.record.tenant().unwrap(), "acme");
    assert!(record.record.metadata().is_empty());
}

async fn a_change_changes_what_it_mentions(world: &World) {
    let (id, _) = world.create("nightly import").await;
    let before = world.alice("GET", &format!("/{id}"), "").await.json();
    for (field, value) in [
        ("name", json!("weekly import")),
        ("abilities", json!(["bots:read"])),
        ("expires_at", json!("2100-01-01T00:00:00Z")),
        ("limits", json!(["5 per 10 minutes"])),
    ] {
        let changed =
            world.alice("PATCH", &format!("/{id}"), &json!({ field: value }).to_string()).await;
        assert_eq!((changed.status, &changed.json()["data"][field]), (200, &value));
        assert_eq!(changed.json(), world.alice("GET", &format!("/{id}"), "").await.json());
    }
    let restrictions = r#"{"restrictions":{"addresses":["10.0.0.0/8"]}}"#;
    let restricted = world.alice("PATCH", &format!("/{id}"), restrictions).await.json();
    let addresses = &restricted["data"]["restrictions"]["addresses"];
    assert_eq!(addresses, &json!(["10.0.0.0/8"]));
    for field in ["id", "prefix", "hint", "created_at", "stage", "kind", "state"] {
        assert_eq!(restricted["data"][field], before["data"][field]);
    }
    assert_eq!(world.alice("PATCH", &format!("/{id}"), "{}").await.json(), restricted);
}

async fn null_and_empty_take_bounds_away(world: &World) {
    let bounded = r#"{"name":"bounded","prefix":"sk_live_","expires_at":"2100-01-01T00:00:00Z",
        "abilities":["a:b"],"limits":["1 per hour"],"restrictions":{"addresses":["::1"]}}"#;
    let created = world.alice("POST", "", bounded).await.json();
    let path = format!("/{}", created["data"]["id"].as_str().unwrap());
    let free = r#"{"expires_at":null,"abilities":[],"limits":[],"restrictions":{}}"#;
    let data = &world.alice("PATCH", &path, free).await.json()["data"];
    let restrictions =
        ["addresses", "origins", "referrers", "endpoints"].map(|list| (list, Value::Null));
    assert_eq!(
        data["restrictions"],
        Value::Object(
            restrictions.map(|(list, value)| (list.to_owned(), value)).into_iter().collect()
        )
    );
    assert_eq!(
        (&data["expires_at"], &data["abilities"], &data["limits"]),
        (&Value::Null, &json!([]), &json!([]))
    );
}

async fn what_is_disabled_can_be_enabled_again(world: &World) {
    let (id, secret) = world.create("now and then").await;
    let line = format!("x-api-key: {secret}");
    for (disabled, state, status) in [(true, "disabled", 401), (false, "active", 403)] {
        let body = json!({ "disabled": disabled }).to_string();
        let changed = world.alice("PATCH", &format!("/{id}"), &body).await.json();
        assert_eq!(changed["data"]["state"], state);
        assert_eq!(world.call(&line, "GET", "/v1/api-keys", "").await.status, status);
    }
}

async fn rotating_gives_a_successor_once(world: &World) {
    let (id, secret) = world.create("rotated").await;
    let rotated = world.alice("POST", &format!("/{id}/rotate"), "").await;
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    let json = rotated.json();
    let (successor, new) = (json["data"]["id"].as_str().unwrap(), json["data"]["secret"].as_str());
    assert_eq!(rotated.header("location"), Some(&*format!("/dashboard/api-keys/{successor}")));
    assert_eq!(rotated.header("cache-control"), Some("no-store"));
    assert!(successor != id && new.unwrap().starts_with("sk_live_"));
    assert_eq!(json["data"]["counted_as"], id);
    for (secret, status) in [(&*secret, 401), (new.unwrap(), 403)] {
        let line = format!("x-api-key: {secret}");
        assert_eq!(world.call(&line, "GET", "/v1/api-keys", "").await.status, status);
    }
    let old = world.alice("GET", &format!("/{id}"), "").await.json();
    assert_eq!(
        (&old["data"]["state"], &old["data"]["successor"]),
        (&"revoked".into(), &successor.into())
    );
    let again = world.alice("POST", &format!("/{id}/rotate"), "{}").await;
    assert_blamed(&again, 409, Value::Null);
}

async fn a_rotated_key_works_on_for_its_grace(world: &World) {
    let (id, secret) = world.create("rotated").await;
    let body = r#"{"grace_seconds":86400}"#;
    assert_eq!(world.alice("POST", &format!("/{id}/rotate"), body).await.status, 201);
    let line = format!("x-api-key: {secret}");
    assert_eq!(world.call(&line, "GET", "/v1/api-keys", "").await.status, 403);
    let old = world.alice("GET", &format!("/{id}"), "").await.json();
    assert_eq!(old["data"]["state"], "active");
    let end = humantime::parse_rfc3339(old["data"]["expires_at"].as_str().unwrap()).unwrap();
    let left = end.duration_since(SystemTime::now()).unwrap();
    assert!(left > Duration::from_secs(86_000) && left <= Duration::from_secs(86_400));
}

async fn revoking_at_once_is_a_success_for_all(world: &World) {
    let (id, secret) = world.create("leaked").await;
    let path = format!("/{id}");
    let responses = join_all((0..20).map(|_| world.alice("DELETE", &path, ""))).await;
    for response in responses {
        assert_eq!((response.status, &response.json()["success"]), (200, &true.into()));
    }
    let line = format!("x-api-key: {secret}");
    assert_eq!(world.call(&line, "GET", "/v1/api-keys", "").await.status, 401);
}

async fn a_revoked_key_is_changed_no_more(world: &World) {
    let (id, _) = world.create("revoked").await;
    assert_eq!(world.alice("DELETE", &format!("/{id}"), "").await.status, 200);
    for (method, path, body) in [
        ("PATCH", format!("/{id}"), r#"{"disabled":false}"#),
        ("PATCH", format!("/{id}"), r#"{"name":"alive"}"#),
        ("POST", format!("/{id}/rotate"), ""),
    ] {
        let refused = world.alice(method, &path, body).await;
        assert_blamed(&refused, 409, Value::Null);
        assert_eq!(refused.json()["detail"], "The key is revoked");
    }
}

async fn pages_have_every_key_once_while_keys_come_and_go(world: &World) {
    let mut expected = HashSet::new();
    for number in 0..25 {
        let issued = world.issue(NewKey::named(format!("key {number}")).tenant("acme")).await;
        expected.insert(issued.record.id().to_string());
    }
    world.issue(NewKey::named("foreign").tenant("globex")).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.alice("GET", &format!("?limit=4{cursor}"), "").await.json();
        let ids = page["data"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap());
        seen.extend(ids.map(str::to_owned));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        // What is new comes before the first page, and the key where the next begins goes.
        world.issue(NewKey::named("new").tenant("acme")).await;
        let last = seen.last().unwrap();
        assert_eq!(world.alice("DELETE", &format!("/{last}"), "").await.status, 200);
        world.keys.prune(SystemTime::now() + Duration::from_secs(1)).await.unwrap();
    }
    let distinct: HashSet<_> = seen.iter().cloned().collect();
    assert_eq!((seen.len(), distinct), (25, expected));
    let default = world.alice("GET", "", "").await.json();
    assert_eq!(default["data"].as_array().unwrap().len(), 20);
}

async fn a_list_has_the_keys_in_a_state(world: &World) {
    let states = ["active", "disabled", "revoked"];
    for state in states {
        let (id, _) = world.create(state).await;
        match state {
            "disabled" => drop(world.keys.disable(&id.parse().unwrap()).await.unwrap()),
            "revoked" => drop(world.keys.revoke(&id.parse().unwrap()).await.unwrap()),
            _ => {}
        }
    }
    for state in states {
        let page = world.alice("GET", &format!("?state={state}"), "").await.json();
        let names: Vec<_> =
            page["data"].as_array().unwrap().iter().map(|key| &key["name"]).collect();
        assert_eq!(names, [state]);
        assert_eq!(page["data"][0]["state"], state);
    }
    assert_eq!(world.alice("GET", "?state=expired", "").await.json()["data"], json!([]));
}

async fn usage_is_told_to_the_owner_of_a_key(world: &World) {
    let (id, _) = world.create("nightly import").await;
    let at = |text| humantime::parse_rfc3339(text).unwrap();
    let used = |time, accepted, limited| {
        let mut counts = UsageCounts::default();
        counts.add(UsageKind::Accepted, accepted);
        counts.add(UsageKind::RateLimited, limited);
        KeyUsage::new(id.parse().unwrap(), Some("acme".parse().unwrap()), at(time), counts)
    };
    let rows = [
        used("2025-01-15T10:30:00Z", 5, 0),
        used("2025-01-15T11:00:00Z", 7, 2),
        used("2025-02-01T00:00:00Z", 100, 0),
    ];
    let batch = UsageBatch::new(&id, 1, UsageRetention::days(40_000, 40_000), rows);
    world.store.usage_store().unwrap().add_usage(&batch).await.unwrap();
    let ask = async |query: &str| world.alice("GET", &format!("/{id}/usage{query}"), "").await;

    let january = "?from=2025-01-15T10:00:00Z&to=2025-01-15T12:00:00Z";
    let limited = json!({ "rate_limited": 2 });
    let told = ask(january).await;
    assert_eq!(told.header("cache-control"), Some("no-store"));
    let day = json!({
        "start": "2025-01-15T00:00:00Z", "accepted": 12, "refused": 2, "reasons": limited,
    });
    let total = json!({ "accepted": 12, "refused": 2, "reasons": limited });
    let data = json!({ "bucket": "day", "total": total, "buckets": [day] });
    assert_eq!(told.json(), json!({ "success": true, "data": data }));
    let hours = ask(&format!("{january}&bucket=hour")).await.json();
    let starts: Vec<_> =
        hours["data"]["buckets"].as_array().unwrap().iter().map(|hour| &hour["start"]).collect();
    assert_eq!(starts, ["2025-01-15T10:00:00Z", "2025-01-15T11:00:00Z"]);
    let months = ask("?from=2025-01-31T00:00:00Z&to=2025-02-02T00:00:00Z&bucket=month").await;
    let months = months.json();
    let counts = |number: usize| months["data"]["buckets"][number].clone();
    assert_eq!(
        (&counts(0)["start"], &counts(0)["accepted"]),
        (&json!("2025-01-01T00:00:00Z"), &json!(12))
    );
    assert_eq!(
        (&counts(1)["start"], &counts(1)["accepted"]),
        (&json!("2025-02-01T00:00:00Z"), &json!(100))
    );
    let recent = ask("").await;
    assert_eq!((recent.status, &recent.json()["data"]["buckets"]), (200, &json!([])));

    for (query, blamed) in [
        ("?from=yesterday", "from"),
        ("?to=2025-01-15", "to"),
        ("?bucket=year", "bucket"),
        ("?bucket=day&bucket=day", "bucket"),
        ("?since=1", "since"),
        ("?from=2025-02-01T00:00:00Z&to=2025-01-01T00:00:00Z", "from"),
        ("?from=1970-01-01T00:00:00Z&bucket=hour", "from"),
    ] {
        let refused = ask(query).await;
        assert_eq!((refused.status, &refused.json()["field"]), (400, &json!(blamed)), "{query}");
    }
    // The key of another tenant, and no key.
    let foreign = world.keys.issue(NewKey::named("foreign").tenant("globex").prefix("sk_live_"));
    let foreign = foreign.await.unwrap().record.id().to_string();
    for id in [&*foreign, "key_unknown"] {
        let refused = world.alice("GET", &format!("/{id}/usage?bucket=year"), "").await;
        assert_eq!(refused.status, 404, "{}", refused.text());
    }
}

async fn a_list_is_filtered_by_what_else_a_page_asks_for(world: &World) {
    let issue = async |name: &str, stage: &str, body: &str| {
        let body = format!(r#"{{"name":"{name}","prefix":"sk_{stage}_","stage":"{stage}"{body}}}"#);
        let response = world.alice("POST", "", &body).await;
        assert_eq!(response.status, 201, "{}", response.text());
    };
    issue("Nightly import", "live", "").await;
    issue("nightly export", "test", "").await;
    let by_bob = NewKey::named("by bob").tenant("acme").prefix("sk_live_").stage("live");
    let due = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    world.keys.acting_as("bob").issue(by_bob.rotation_due_at(due)).await.unwrap();
    for (query, expected) in [
        ("name=NIGHTLY", &["nightly export", "Nightly import"][..]),
        ("name=import&stage=live", &["Nightly import"]),
        ("name=import&stage=test", &[]),
        ("stage=test", &["nightly export"]),
        ("kind=public", &[]),
        ("kind=secret", &["by bob", "nightly export", "Nightly import"]),
        ("created_by=name:bob", &["by bob"]),
        ("created_by=name:alice%40acme.example", &["nightly export", "Nightly import"]),
        ("created_by=system", &[]),
        ("unused_since=2025-01-01T00:00:00Z", &[]),
        ("unused_since=2999-01-01T00:00:00Z&limit=1", &["by bob"]),
        ("rotation_due_by=2025-01-01T00:00:00Z", &[]),
        ("rotation_due_by=2999-01-01T00:00:00Z", &["by bob"]),
    ] {
        let page = world.alice("GET", &format!("?{query}"), "").await.json();
        let names = page["data"].as_array().unwrap().iter().map(|key| &key["name"]);
        assert_eq!(names.collect::<Vec<_>>(), expected, "{query}");
    }
    let page = world.alice("GET", "?name=bob", "").await.json();
    assert_eq!(page["data"][0]["created_by"], "name:bob");
}

async fn the_last_use_is_shown(world: &World) {
    let (id, _) = world.create("used").await;
    let at = humantime::parse_rfc3339("2025-01-15T10:30:00Z").unwrap();
    world.store.record_uses(&[KeyUse::new(id.parse().unwrap(), at)]).await.unwrap();
    let shown = world.alice("GET", &format!("/{id}"), "").await.json();
    assert_eq!(shown["data"]["last_used"], "2025-01-15T10:30:00Z");
    assert_eq!(world.alice("GET", "", "").await.json()["data"][0], shown["data"]);
    let changed = world.alice("PATCH", &format!("/{id}"), "{}").await;
    assert_eq!(changed.json(), shown);
}

async fn head_is_get_without_a_body(world: &World) {
    let (id, _) = world.create("head").await;
    for path in ["".to_owned(), format!("/{id}"), "/key_unknown".to_owned()] {
        let (get, head) =
            (world.alice("GET", &path, "").await, world.alice("HEAD", &path, "").await);
        assert_eq!((head.status, &head.headers), (get.status, &get.headers));
        assert!(head.body.is_empty() && !get.body.is_empty());
    }
    assert_eq!(world.keys.list(&KeyQuery::new()).await.unwrap().keys.len(), 1);
}
