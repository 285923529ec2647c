//! What the management API refuses, and what of a request it blames.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Map, Value, json};
use tower_api_key::client::Problem;
use tower_api_key::store::KeyQuery;

use crate::common::{RawResponse, in_time, send_raw_with_body};
use crate::world::{ALICE, World, assert_blamed, over_each_database, over_sqlite};

over_each_database! {
    a_wrong_field_is_named
    all_wrong_fields_are_named_at_once
    all_wrong_parameters_are_named_at_once
    a_body_does_not_say_whose_the_key_is
    a_wrong_field_changes_nothing
    a_wrong_grace_is_refused
    a_wrong_parameter_is_named
    no_parameter_is_the_fault_of_the_server
    what_is_no_json_is_refused
    other_sites_cannot_have_a_browser_rotate_a_key
    a_long_body_is_refused
}

/// Fields of bodies to create or change a key, with what is wrong with them.
fn wrong_fields() -> Vec<(&'static str, Value, &'static str)> {
    let many = |count: usize, text: &str| Value::from(vec![text; count]);
    let limits: Vec<_> = (0..9).map(|number| format!("l{number}: 1 per hour")).collect();
    vec![
        ("name", json!(7), "name"),
        ("name", json!(null), "name"),
        ("name", json!("x"), "name"),
        ("name", json!("x".repeat(101)), "name"),
        ("name", json!("two\nlines"), "name"),
        ("abilities", json!("bots:read"), "abilities"),
        ("abilities", json!(null), "abilities"),
        ("abilities", json!(["bots:read", "bots:"]), "abilities[1]"),
        ("abilities", json!([["bots:read"]]), "abilities[0]"),
        ("abilities", json!([format!("a:{}", "b".repeat(2000))]), "abilities[0]"),
        ("abilities", many(101, "bots:read"), "abilities"),
        ("expires_at", json!("2020-01-01T00:00:00Z"), "expires_at"),
        ("expires_at", json!("tomorrow"), "expires_at"),
        ("expires_at", json!("9999-12-31T23:59:59-23:00"), "expires_at"),
        ("expires_at", json!(1_900_000_000), "expires_at"),
        ("expires_at", json!(false), "expires_at"),
        ("limits", json!(null), "limits"),
        ("limits", json!(["often"]), "limits[0]"),
        ("limits", json!(["1 per hour", "0 per minute"]), "limits[1]"),
        ("limits", json!(["99999999999 per hour"]), "limits[0]"),
        ("limits", json!(["1 per 1000 days"]), "limits[0]"),
        ("limits", json!(["1 per hour", "2 per hour"]), "limits"),
        ("limits", json!(limits), "limits"),
        ("restrictions", json!(null), "restrictions"),
        ("restrictions", json!([]), "restrictions"),
        ("restrictions", json!({ "adresses": [] }), "restrictions.adresses"),
        ("restrictions", json!({ "addresses": "::1" }), "restrictions.addresses"),
        (
            "restrictions",
            json!({ "addresses": ["::1", "10.0.0.1/8"] }),
            "restrictions.addresses[1]",
        ),
        ("restrictions", json!({ "addresses": many(101, "::1") }), "restrictions.addresses"),
        ("restrictions", json!({ "origins": ["https://*"] }), "restrictions.origins[0]"),
        ("restrictions", json!({ "origins": [null] }), "restrictions.origins[0]"),
        ("restrictions", json!({ "referrers": ["app.example"] }), "restrictions.referrers[0]"),
        ("restrictions", json!({ "endpoints": ["FETCH /"] }), "restrictions.endpoints[0]"),
        (
            "restrictions",
            json!({ "endpoints": [format!("/{}", "x".repeat(1024))] }),
            "restrictions.endpoints[0]",
        ),
        ("abilites", json!([]), "abilites"),
        ("rotation_due_at", json!(null), "rotation_due_at"),
    ]
}

async fn a_wrong_field_is_named(world: &World) {
    let (id, _) = world.create("nightly import").await;
    for (field, value, blamed) in wrong_fields() {
        let mut body = json!({ "name": "nightly import", "prefix": "sk_live_" });
        body[field] = value.clone();
        assert_blamed(&world.alice("POST", "", &body.to_string()).await, 422, blamed);
        let body = json!({ field: value }).to_string();
        assert_blamed(&world.alice("PATCH", &format!("/{id}"), &body).await, 422, blamed);
    }
    for (body, blamed) in [
        (json!({}), json!("name")),
        (json!({ "name": "nightly import" }), json!("prefix")),
        (json!({ "name": "nightly import", "prefix": "sk_" }), json!("prefix")),
        (json!({ "name": "nightly import", "prefix": 7 }), json!("prefix")),
        (
            json!({ "name": "nightly import", "prefix": "sk_live_", "stage": "test" }),
            json!("stage"),
        ),
        (json!({ "name": "nightly import", "prefix": "sk_live_", "stage": "a b" }), json!("stage")),
        (
            json!({ "name": "nightly import", "prefix": "sk_live_", "disabled": true }),
            json!("disabled"),
        ),
        (json!([]), json!(null)),
        (json!("sk_live_"), json!(null)),
        (json!(null), json!(null)),
    ] {
        assert_blamed(&world.alice("POST", "", &body.to_string()).await, 422, blamed);
    }
    for (body, blamed) in [
        (json!({ "disabled": "yes" }), json!("disabled")),
        (json!({ "disabled": null }), json!("disabled")),
        (json!({ "prefix": "sk_test_" }), json!("prefix")),
        (json!({ "stage": "test" }), json!("stage")),
        (json!([]), json!(null)),
    ] {
        let response = world.alice("PATCH", &format!("/{id}"), &body.to_string()).await;
        assert_blamed(&response, 422, blamed);
    }
    assert_eq!(world.keys.list(&KeyQuery::new()).await.unwrap().keys.len(), 1);
}

/// Returns the wrong fields that a problem lists. The first of them is the one that it names by itself.
#[track_caller]
fn all_blamed(response: &RawResponse, status: u16) -> Vec<Value> {
    let problem = response.json();
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{problem}")).clone();
    assert_blamed(response, status, errors[0]["field"].clone());
    assert_eq!(problem["detail"], errors[0]["detail"]);
    for error in &errors {
        assert!(error["detail"].as_str().unwrap().starts_with(char::is_uppercase), "{problem}");
    }
    errors.into_iter().map(|mut error| error["field"].take()).collect()
}

async fn all_wrong_fields_are_named_at_once(world: &World) {
    let (id, _) = world.create("nightly import").await;
    let wrong = json!({
        "name": "x",
        "prefix": 7,
        "stage": "hush hush",
        "abilities": ["bots:read", "hush hush", "bots:read", 7],
        "expires_at": "2020-01-01T00:00:00Z",
        "limits": ["1 per hour", "hush", "0 per minute"],
        "restrictions": {
            "addresses": ["::1", "hush"],
            "origins": "hush",
            "referrers": [null],
            "endpoints": ["hush"],
            "adresses": [],
        },
        "hush": "hush",
        "colour": "red",
        "hush, which may be a secret": 7,
        "hush, which may be another": 7,
    });
    let response = world.alice("POST", "", &wrong.to_string()).await;
    let common = [
        json!("limits[1]"),
        json!("limits[2]"),
        json!("restrictions.addresses[1]"),
        json!("restrictions.origins"),
        json!("restrictions.referrers[0]"),
        json!("restrictions.endpoints[0]"),
        json!("restrictions.adresses"),
    ];
    let [name, abilities, expiry] =
        [&["name"][..], &["abilities[1]", "abilities[3]"], &["expires_at"]]
            .map(|fields| fields.iter().map(|field| json!(field)).collect::<Vec<_>>());
    // Unknown names that may be secrets are not repeated.
    let mut unknown = vec![json!("colour"), json!("hush"), json!(null)];
    let stage = vec![json!("prefix"), json!("stage")];
    let expected = [&name[..], &stage, &abilities, &expiry, &common, &unknown].concat();
    assert_eq!(all_blamed(&response, 422), expected, "{}", response.text());
    assert!(!response.text().contains("may be"), "{}", response.text());
    assert!(!response.text().contains("hush hush"), "{}", response.text());

    let mut wrong = wrong;
    wrong["disabled"] = json!("yes");
    let response = world.alice("PATCH", &format!("/{id}"), &wrong.to_string()).await;
    unknown.splice(2..2, [json!("prefix"), json!("stage")]);
    let disabled = vec![json!("disabled")];
    let expected = [&name[..], &abilities, &expiry, &common, &disabled, &unknown].concat();
    assert_eq!(all_blamed(&response, 422), expected, "{}", response.text());

    let body = json!({ "grace_seconds": -1, "name": "other", "limits": [] });
    let response = world.alice("POST", &format!("/{id}/rotate"), &body.to_string()).await;
    assert_eq!(all_blamed(&response, 422), ["grace_seconds", "limits", "name"]);

    // The rules of the manager, and one alone.
    let body = json!({ "name": "x", "expires_at": "2020-01-01T00:00:00Z" });
    let response = world.alice("POST", "", &body.to_string()).await;
    assert_eq!(all_blamed(&response, 422), ["name", "expires_at", "prefix"]);
    let response = world.alice("PATCH", &format!("/{id}"), &body.to_string()).await;
    assert_eq!(all_blamed(&response, 422), ["name", "expires_at"]);
    let response = world.alice("PATCH", &format!("/{id}"), r#"{"name":"x"}"#).await;
    assert_eq!(all_blamed(&response, 422), ["name"]);
    // However much is wrong, the answer can be read by a client that reads short ones.
    let many = json!(vec!["hush hush"; 100]);
    let restrictions = json!({ "addresses": many, "origins": many, "endpoints": many });
    let mut body = json!({ "name": "x", "limits": many, "restrictions": restrictions });
    for number in 0..2000 {
        body[format!("field_{number}")] = json!(1);
    }
    let response = world.alice("PATCH", &format!("/{id}"), &body.to_string()).await;
    assert_eq!(all_blamed(&response, 422).len(), 40);
    assert!(Problem::parse(&response.body).is_some(), "{}", response.body.len());
    // What is wrong with no field lists none.
    let response = world.alice("GET", "/key_unknown", "").await;
    assert_eq!((response.status, response.json().get("errors")), (404, None));
}

async fn all_wrong_parameters_are_named_at_once(world: &World) {
    let (id, _) = world.create("nightly import").await;
    for (path, blamed) in [
        (
            "?limit=1&state=lost&unused_since=hush&kind=hush&sate=1&limit=2&name=&colour=1&%FF%00=1"
                .to_owned(),
            &["sate", "limit", "colour", "", "state", "name", "kind", "unused_since"][..],
        ),
        (format!("/{id}/audit?limit=0&cursor=hush&colour=1"), &["colour", "limit", "cursor"]),
        (
            format!("/{id}/usage?from=hush&to=hush&bucket=hush&colour=1"),
            &["colour", "bucket", "to", "from"],
        ),
    ] {
        let response = world.alice("GET", &path, "").await;
        let found = all_blamed(&response, 400);
        let found: Vec<_> = found.iter().map(|field| field.as_str().unwrap_or_default()).collect();
        assert_eq!(found, blamed, "{}", response.text());
        assert!(!response.text().contains("hush"), "{}", response.text());
    }
}

async fn a_body_does_not_say_whose_the_key_is(world: &World) {
    let (id, _) = world.create("nightly import").await;
    for field in ["tenant", "tenant_id", "kind", "metadata", "id", "digest", "revoked_at", "secret"]
    {
        let body = json!({ "name": "mine", "prefix": "sk_live_", field: "globex" }).to_string();
        assert_blamed(&world.alice("POST", "", &body).await, 422, field);
        let body = json!({ field: "globex" }).to_string();
        assert_blamed(&world.alice("PATCH", &format!("/{id}"), &body).await, 422, field);
    }
}

async fn a_wrong_field_changes_nothing(world: &World) {
    let (id, _) = world.create("nightly import").await;
    let path = format!("/{id}");
    let before = world.alice("GET", &path, "").await;
    let body = r#"{"name":"weekly import","disabled":true,"limits":["often"]}"#;
    assert_blamed(&world.alice("PATCH", &path, body).await, 422, "limits[0]");
    assert_eq!(world.alice("GET", &path, "").await, before);
}

async fn a_wrong_grace_is_refused(world: &World) {
    let (id, _) = world.create("rotated").await;
    let path = format!("/{id}/rotate");
    for grace in [json!(-1), json!(7_776_001), json!(1.5), json!("60"), json!(null), json!(1e30)] {
        let body = json!({ "grace_seconds": grace }).to_string();
        assert_blamed(&world.alice("POST", &path, &body).await, 422, "grace_seconds");
    }
    let other = r#"{"grace_seconds":60,"name":"other"}"#;
    assert_blamed(&world.alice("POST", &path, other).await, 422, "name");
    assert_blamed(&world.alice("POST", &path, "[]").await, 422, json!(null));
    assert_blamed(&world.alice("POST", &path, "{").await, 400, json!(null));
    let longest = r#"{"grace_seconds":7776000}"#;
    assert_eq!(world.alice("POST", &path, longest).await.status, 201);
}

async fn a_wrong_parameter_is_named(world: &World) {
    for (query, blamed) in [
        ("limit=0", json!("limit")),
        ("limit=101", json!("limit")),
        ("limit=-1", json!("limit")),
        ("limit=", json!("limit")),
        ("limit=99999999999999999999", json!("limit")),
        ("limit=1&limit=2", json!("limit")),
        ("cursor=", json!("cursor")),
        ("cursor=nonsense", json!("cursor")),
        ("cursor=18446744073709551615.key_1", json!("cursor")),
        ("state=lost", json!("state")),
        ("state=Active", json!("state")),
        ("sate=active", json!("sate")),
        ("name=", json!("name")),
        (&format!("name={}", "x".repeat(101)), json!("name")),
        ("stage=a%20b", json!("stage")),
        ("kind=Secret", json!("kind")),
        ("created_by=alice", json!("created_by")),
        ("unused_since=yesterday", json!("unused_since")),
        ("rotation_due_by=90d", json!("rotation_due_by")),
        ("tenant=globex", json!("tenant")),
        ("%FF%00=1", json!(null)),
    ] {
        assert_blamed(&world.alice("GET", &format!("?{query}"), "").await, 400, blamed);
    }
    assert_eq!(world.alice("GET", "?&limit=100&state=active", "").await.status, 200);
}

/// The first and the last times and places that can be written are asked for like any others.
async fn no_parameter_is_the_fault_of_the_server(world: &World) {
    let (id, _) = world.create("nightly import").await;
    let times = ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999Z"];
    let last = (i64::MAX / 1000).to_string();
    let mut queries = Vec::new();
    for time in times {
        for name in ["unused_since", "rotation_due_by"] {
            queries.push((format!("?{name}={time}"), true));
        }
        queries.push((format!("?rotation_due_by={time}&unused_since={time}&state=expired"), true));
        for bucket in ["hour", "day", "month"] {
            for to in times {
                queries.push((format!("/{id}/usage?bucket={bucket}&from={time}&to={to}"), false));
            }
            queries.push((format!("/{id}/usage?bucket={bucket}&from={time}"), false));
            queries.push((format!("/{id}/usage?bucket={bucket}&to={time}"), false));
        }
    }
    for cursor in ["0.a", &format!("{last}.a"), &format!("{last}.key_1.2")] {
        queries.push((format!("?cursor={cursor}&unused_since={}", times[2]), true));
    }
    for cursor in [format!("0.{}", i64::MIN), format!("{last}.{}", i64::MAX)] {
        queries.push((format!("/{id}/audit?cursor={cursor}"), true));
    }
    for name in ["%00", "a%00b", "%25", "_", "%5C", "%5C%22%7B%5B", "%F0%9F%94%91", "%EF%BF%BF"] {
        queries.push((format!("?name={name}"), true));
    }
    for (query, is_answered) in queries {
        let response = world.alice("GET", &query, "").await;
        let status = response.status;
        assert!(status == 200 || status == 400 && !is_answered, "{query}: {}", response.text());
    }
}

async fn what_is_no_json_is_refused(world: &World) {
    for body in ["", "{", "name=x", "{\"name\":}", "\u{feff}{}", "{} {}", &"[".repeat(1000)] {
        assert_blamed(&world.alice("POST", "", body).await, 400, json!(null));
    }
    let twice = r#"{"name":"one","prefix":"sk_live_","abilities":[],"abilities":["*"]}"#;
    assert_blamed(&world.alice("POST", "", twice).await, 400, json!(null));
    let body = r#"{"name":"nightly import","prefix":"sk_live_"}"#;
    let send = async |content_type: &str, body: &str| {
        let request = format!(
            "POST /dashboard/api-keys HTTP/1.1\r\n{ALICE}\r\n{content_type}content-length: {}",
            body.len()
        );
        in_time(send_raw_with_body(world.address, request, body)).await
    };
    for content_type in
        ["", "content-type: text/plain\r\n", "content-type: application/x-www-form-urlencoded\r\n"]
    {
        assert_blamed(&send(content_type, body).await, 415, json!(null));
    }
    for content_type in [
        "content-type: application/json; charset=utf-8\r\n",
        "content-type: Application/JSON\r\n",
        "content-type: application/merge-patch+json\r\n",
    ] {
        assert_eq!(send(content_type, body).await.status, 201);
    }
}

async fn other_sites_cannot_have_a_browser_rotate_a_key(world: &World) {
    let (id, _) = world.create("rotated").await;
    let send = async |lines: &str, body: &str| {
        let request = format!(
            "POST /dashboard/api-keys/{id}/rotate HTTP/1.1\r\n{ALICE}\r\n{lines}content-length: {}",
            body.len()
        );
        in_time(send_raw_with_body(world.address, request, body)).await
    };
    // As a form does, and as a script does that must not ask first.
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    for (lines, body) in [
        ("origin: https://evil.example\r\n".to_owned(), ""),
        ("origin: null\r\n".to_owned(), ""),
        (format!("origin: https://evil.example\r\n{form}"), ""),
        (format!("origin: https://evil.example\r\n{form}"), "grace_seconds=0"),
        ("origin: https://evil.example\r\ncontent-type: text/plain\r\n".to_owned(), "{}"),
    ] {
        assert_blamed(&send(&lines, body).await, 415, json!(null));
    }
    let of_a_page = "origin: https://app.example\r\ncontent-type: application/json\r\n";
    assert_eq!(send(of_a_page, "{}").await.status, 201);
}

async fn a_long_body_is_refused(world: &World) {
    let padded = |length: usize| {
        let body = r#"{"name":"nightly import","prefix":"sk_live_"}"#;
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    assert_eq!(world.alice("POST", "", &padded(64 * 1024)).await.status, 201);
    assert_blamed(&world.alice("POST", "", &padded(64 * 1024 + 1)).await, 413, json!(null));
}

/// Any JSON, with the names of the fields in it.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        ".{0,12}",
        "[a-z]{1,4}:(\\*|[a-z]{1,4})",
        "[0-9]{1,12} per (minute|hour|[0-9]{1,9} days)(, burst [0-9]{1,10})?",
        "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:00:00(Z|[-+][0-9]{2}:[0-9]{2})",
        "(https://)?[a-z*.]{0,9}(/[a-z{}*;%]{0,5}){0,3}",
        "[0-9a-f:./]{0,20}",
        Just("sk_live_".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let name = prop_oneof![
        4 => prop::sample::select(vec![
            "name", "prefix", "stage", "abilities", "expires_at", "limits", "restrictions",
            "disabled", "addresses", "origins", "referrers", "endpoints", "grace_seconds",
        ]).prop_map(str::to_owned),
        1 => ".{0,30}",
    ];
    leaf.prop_recursive(4, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..9)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

#[test]
fn no_body_is_the_fault_of_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(over_sqlite(async |world| {
        let (id, _) = world.create("nightly import").await;
        let mut runner = proptest::test_runner::TestRunner::default();
        for _ in 0..500 {
            let mut body = any_json().new_tree(&mut runner).unwrap().current();
            if let Value::Object(fields) = &mut body {
                fields.entry("prefix").or_insert("sk_live_".into());
                fields.entry("name").or_insert("any name".into());
            }
            for (method, path) in [
                ("POST", String::new()),
                ("PATCH", format!("/{id}")),
                ("POST", format!("/{id}/rotate")),
            ] {
                let response = world.alice(method, &path, &body.to_string()).await;
                assert!((200..500).contains(&response.status), "{body}: {}", response.text());
                assert!(response.json().is_object());
            }
        }
    }));
}
