//! `update`, `rotate` and `revoke`.

use serde_json::json;
use tower_api_key::{Alphabet, KeyFormat};

use crate::operator::Operator;

const UNKNOWN: &str = "key_00000000000000000000";

#[test]
fn what_is_not_mentioned_stays() {
    let operator = Operator::new();
    let options = [
        "--ability=a:b",
        "--limit=5 per day",
        "--address=10.0.0.0/8",
        "--origin=https://a.example",
        "--referrer=https://a.example/*",
        "--endpoint=GET /a",
        "--expires-in=10d",
        "--rotate-in=5d",
        r#"--metadata={"plan":"free"}"#,
    ];
    let (id, _) = operator.issue("before", &options);
    let mut expected = operator.show(&id);
    let mut update = |options: &[&str], path: &str, value: serde_json::Value| {
        let arguments = [&["update", &id, "--json"], options].concat();
        let changed = operator.run(&arguments).succeeds();
        assert!(changed.err.contains("Servers that ask this database see it from now on"));
        *expected.pointer_mut(path).unwrap() = value;
        assert_eq!(changed.json(), expected, "{options:?}");
        assert_eq!(operator.show(&id), expected, "{options:?}");
    };
    update(&["--name=after"], "/name", json!("after"));
    update(&["--ability=c:d", "--ability=e:f"], "/abilities", json!(["c:d", "e:f"]));
    update(&["--limit=1 per hour"], "/limits", json!(["1 per hour"]));
    update(&["--address=192.0.2.1"], "/restrictions/addresses", json!(["192.0.2.1/32"]));
    update(&["--endpoint=/b"], "/restrictions/endpoints", json!(["/b"]));
    update(&["--origin=https://b.example"], "/restrictions/origins", json!(["https://b.example"]));
    update(
        &["--referrer=https://c.example/*"],
        "/restrictions/referrers",
        json!(["https://c.example/*"]),
    );
    update(&["--any-address"], "/restrictions/addresses", json!(null));
    update(&["--any-endpoint"], "/restrictions/endpoints", json!(null));
    update(&["--any-origin"], "/restrictions/origins", json!(null));
    update(&["--any-referrer"], "/restrictions/referrers", json!(null));
    update(&["--no-abilities"], "/abilities", json!([]));
    update(&["--unlimited"], "/limits", json!([]));
    update(&["--expires-at=2999-01-01"], "/expires_at", json!("2999-01-02T00:00:00Z"));
    update(&["--no-expiry"], "/expires_at", json!(null));
    update(&["--no-rotation"], "/rotation_due_at", json!(null));
    update(&["--metadata={}"], "/metadata", json!({}));
    update(&["--disable"], "/state", json!("disabled"));
    update(&["--enable"], "/state", json!("active"));
}

#[test]
fn an_update_that_cannot_be_is_refused() {
    let operator = Operator::new();
    let (id, _) = operator.issue("before", &["--expires-at=2999-01-01"]);
    let before = operator.show(&id);
    operator.run(&["update", &id]).refuses(2, "required");
    operator.run(&["update", &id, "--disable", "--enable"]).refuses(2, "cannot be used with");
    for (option, opposite) in [
        ("--ability=a:b", "--no-abilities"),
        ("--limit=1 per day", "--unlimited"),
        ("--address=::1", "--any-address"),
        ("--origin=https://a.example", "--any-origin"),
        ("--referrer=https://a.example", "--any-referrer"),
        ("--endpoint=/a", "--any-endpoint"),
        ("--expires-in=1d", "--no-expiry"),
        ("--expires-at=2999-01-01", "--no-expiry"),
        ("--rotate-in=1d", "--no-rotation"),
    ] {
        operator.run(&["update", &id, option, opposite]).refuses(2, "cannot be used with");
    }
    operator.run(&["update", &id, "--name=x"]).refuses(4, "invalid name: use 3 to 100");
    operator.run(&["update", &id, "--expires-at=2001-01-01"]).refuses(4, "in the past");
    operator.run(&["update", UNKNOWN, "--enable"]).refuses(3, "there is no such key");
    assert_eq!(operator.show(&id), before);
    operator.run(&["revoke", &id]).succeeds();
    operator.run(&["update", &id, "--enable"]).refuses(4, "the key is revoked");
}

#[test]
fn a_rotated_key_works_for_the_grace_and_names_its_successor() {
    let operator = Operator::new();
    let (old, old_secret) = operator.issue("a key", &["--ability=a:b", "--tenant=acme"]);
    let ran = operator.run(&["rotate", &old, "--grace=24h"]).succeeds();
    let secret = ran.out.strip_suffix('\n').unwrap();
    KeyFormat::default().parse(secret).unwrap();
    assert!(ran.err.contains(&format!("{old} works until")), "{ran:?}");
    assert!(ran.err.contains("(in 24 hours)") && ran.err.contains("see it"), "{ran:?}");
    let shown = operator.show(&old);
    let new = shown["successor"].as_str().unwrap();
    assert_eq!(operator.show(new)["abilities"], json!(["a:b"]));
    for secret in [secret, &old_secret] {
        operator.pipe(secret, &["verify"]).succeeds();
    }
    operator.run(&["rotate", &old, "--grace=24h"]).refuses(4, new);

    let ran = operator.run(&["rotate", new, "--grace=0s", "--json"]).succeeds();
    let rotated = ran.json();
    assert!(ran.err.contains(&format!("{new} is revoked")), "{ran:?}");
    assert_eq!(rotated["predecessor"]["state"], "revoked");
    assert_eq!(rotated["predecessor"]["successor"], rotated["id"]);
    assert_eq!(rotated["counted_as"], *old, "the first of the chain");
    operator.pipe(secret, &["verify"]).exits(5);
    operator.pipe(rotated["secret"].as_str().unwrap(), &["verify"]).succeeds();
}

#[test]
fn a_key_is_not_rotated_into_another_format() {
    let operator = Operator::new();
    let (id, _) = operator.issue("a key", &["--prefix=hania_sk_", "--body=hex:40"]);
    let grace = "--grace=1h";
    operator.run(&["rotate", &id, grace]).refuses(2, "--body");
    let rotated = operator.run(&["rotate", &id, grace, "--body=hex:40"]).succeeds();
    let format = KeyFormat::new("hania_sk_").body(Alphabet::Hex, 40);
    assert!(format.parse(rotated.out.trim_end()).is_ok());
}

#[test]
fn what_cannot_be_rotated_is_refused() {
    let operator = Operator::new();
    let (id, _) = operator.issue("a key", &[]);
    operator.run(&["rotate", &id]).refuses(2, "--grace");
    // The old key would never expire.
    for grace in ["9000y", "19000y"] {
        operator.run(&["rotate", &id, "--grace", grace]).refuses(2, "after the year 9999");
    }
    assert_eq!(operator.show(&id)["successor"], json!(null));
    operator.run(&["rotate", UNKNOWN, "--grace=1h"]).refuses(3, "there is no such key");
    operator.run(&["update", &id, "--disable"]).succeeds();
    operator.run(&["rotate", &id, "--grace=1h"]).refuses(4, "the key is disabled");
    operator.run(&["revoke", &id]).succeeds();
    operator.run(&["rotate", &id, "--grace=1h"]).refuses(4, "the key is revoked");
}

#[test]
fn a_key_is_revoked_by_its_id_and_again() {
    let operator = Operator::new();
    let (id, secret) = operator.issue("a key", &[]);
    let (other, _) = operator.issue("another", &[]);
    let ran = operator.run(&["revoke", &id]).succeeds();
    assert!(
        ran.out.is_empty() && ran.err.starts_with(&format!("Revoked {id} (a key).")),
        "{ran:?}"
    );
    assert!(ran.err.contains("within 250 ms if they look for changes"), "{ran:?}");
    let revoked = operator.show(&id);
    assert_eq!(operator.run(&["revoke", &id, "--json"]).succeeds().json(), revoked);
    operator.pipe(&*secret, &["verify"]).exits(5);
    assert_eq!(operator.show(&other)["state"], "active");
    operator.run(&["revoke", UNKNOWN]).refuses(3, "there is no such key");
    operator.run(&["revoke"]).refuses(2, "required");
}

#[test]
fn revoking_a_rotated_key_says_that_its_successor_still_works_or_revokes_it_too() {
    let operator = Operator::new();
    let (old, old_secret) = operator.issue("a key", &[]);
    let rotated = operator.run(&["rotate", &old, "--grace=24h", "--json"]).succeeds().json();
    let (new, new_secret) = (rotated["id"].as_str().unwrap(), rotated["secret"].as_str().unwrap());
    let ran = operator.run(&["revoke", &old]).succeeds();
    assert!(ran.err.contains(&format!("Its successor {new} still works.")), "{ran:?}");
    assert!(ran.err.contains(&format!("`api-keys revoke {old} --with-successors`")), "{ran:?}");
    let json = operator.run(&["revoke", &old, "--json"]).succeeds().json();
    assert_eq!(json["working_successors"], json!([new]));
    operator.pipe(new_secret, &["verify"]).succeeds();

    let arguments = ["revoke", "--secret-stdin", "--with-successors", "--json"];
    let ran = operator.pipe(&*old_secret, &arguments).succeeds();
    assert_eq!(
        (&ran.json()["id"], &ran.json()["revoked_successors"]),
        (&json!(old), &json!([new]))
    );
    assert!(ran.err.contains(&format!("Revoked its successor {new}.")), "{ran:?}");
    operator.pipe(new_secret, &["verify"]).exits(5);
    let ran = operator.run(&["revoke", &old, "--with-successors"]).succeeds();
    assert!(!ran.err.contains("successor"), "{ran:?}");
}

#[test]
fn a_leaked_key_is_revoked_by_its_secret() {
    let operator = Operator::new();
    let (id, secret) = operator.issue("a key", &[]);
    let (other, _) = operator.issue("another", &[]);
    let revoke = ["revoke", "--secret-stdin"];
    let ran = operator.pipe(format!("{secret}x"), &revoke).refuses(3, "there is no such key");
    assert!(ran.err.contains("API_KEYS_PEPPER is not set"), "{ran:?}");
    operator.pipe(format!("  {secret}\r\n"), &revoke).succeeds();
    assert_eq!(operator.show(&id)["state"], "revoked");
    assert_eq!(operator.show(&other)["state"], "active");
    let both = ["revoke", &other, "--secret-stdin"];
    operator.pipe(secret, &both).refuses(2, "cannot be used with");
}

#[test]
fn a_leaked_key_is_revoked_whichever_pepper_it_was_hashed_with() {
    let operator = Operator::new();
    let (plain, plain_secret) = operator.issue("before the peppers", &[]);
    let operator = operator.with("API_KEYS_PEPPER", "the pepper of last year");
    let (old, old_secret) = operator.issue("of last year", &[]);
    let operator = operator
        .with("API_KEYS_PEPPER", "the pepper of this year")
        .with("API_KEYS_PREVIOUS_PEPPER", "the pepper of last year");
    let (new, new_secret) = operator.issue("of this year", &[]);
    // Servers refuse what was hashed without the pepper.
    operator.pipe(&*plain_secret, &["verify"]).exits(5);
    operator.pipe(&*old_secret, &["verify"]).succeeds();
    operator.pipe(&*new_secret, &["verify"]).succeeds();
    for (id, secret) in [(plain, plain_secret), (old, old_secret), (new, new_secret)] {
        operator.pipe(secret, &["revoke", "--secret-stdin"]).succeeds();
        assert_eq!(operator.show(&id)["state"], "revoked");
    }
}
