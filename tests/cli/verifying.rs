//! `verify`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::operator::{Operator, Ran};

/// Checks what people and programs are told of a key, and returns the answer for programs.
fn verify(operator: &Operator, secret: &str, options: &[&str], code: i32, said: &str) -> Value {
    let run = |last: &[&str]| operator.pipe(secret, &[&["verify"], options, last].concat());
    let told: Ran = run(&[]).exits(code);
    assert!(told.out.contains(said), "{said}: {told:?}");
    let answer = run(&["--json"]).exits(code).json();
    assert_eq!(answer["valid"], code != 5, "{answer}");
    assert_eq!(told.out.starts_with("valid: "), code != 5, "{told:?}");
    answer
}

#[test]
fn a_key_that_works_is_valid() {
    let operator = Operator::new();
    let (id, secret) = operator.issue("nightly import", &["--tenant=acme"]);
    let answer = verify(&operator, &secret, &[], 0, &format!("valid: {id} works"));
    assert_eq!((&answer["reason"], &answer["request"]), (&json!(null), &json!(null)));
    assert_eq!(answer["key"], operator.show(&id));
    verify(&operator, &secret, &[], 0, "name       nightly import");
}

#[test]
fn each_reason_why_a_key_is_not_valid_is_told() {
    let operator = Operator::new();
    let (id, secret) = operator.issue("a key", &[]);
    let reason = |text: &str, said: &str| {
        verify(&operator, text, &[], 5, said)["reason"].as_str().unwrap().to_owned()
    };
    let mut mistyped = secret.clone();
    let last = if mistyped.pop() == Some('x') { 'y' } else { 'x' };
    mistyped.push(last);
    assert_eq!(reason(&mistyped, "the key has a wrong checksum"), "unknown");
    assert_eq!(reason("sk_live_1234", "no key in this database has this secret"), "unknown");
    assert_eq!(reason("sk_live_1234", "API_KEYS_PEPPER is not set"), "unknown");
    assert_eq!(reason(&id, "may be the id of one"), "unknown");
    assert_eq!(reason("a b", "a character that is not allowed"), "malformed");
    assert_eq!(reason("a\u{1}b", "a character that is not allowed"), "malformed");
    assert_eq!(reason("schl\u{fc}ssel", "a character that is not allowed"), "malformed");
    assert_eq!(reason(&"x".repeat(257), "a wrong length"), "malformed");
    operator.run(&["update", &id, "--disable"]).succeeds();
    assert_eq!(reason(&secret, &format!("api-keys update {id} --enable")), "disabled");
    operator.run(&["update", &id, "--enable"]).succeeds();
    assert!(verify(&operator, &secret, &[], 0, "works")["reason"].is_null());
    operator.run(&["revoke", &id]).succeeds();
    assert_eq!(reason(&secret, "it was revoked at 2"), "revoked");

    let (id, secret) = operator.issue("short", &["--expires-in=1s"]);
    while operator.show(&id)["state"] == "active" {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(reason(&secret, "it expired at 2"), "expired");
}

#[test]
fn a_key_of_another_format_is_refused_where_one_is_given() {
    let operator = Operator::new();
    let (_, secret) = operator.issue("a key", &["--prefix=sk_live_", "--body=hex:40"]);
    let right = ["--prefix=sk_live_", "--body=hex:40"];
    verify(&operator, &secret, &right, 0, "works");
    for (wrong, said) in [
        (&["--prefix=sk_test_"][..], "unknown prefix"),
        (&["--prefix=sk_live_", "--body=hex:32"], "wrong length"),
        (&["--body=hex:40"], "unknown prefix"),
        (&["--checksum=none"], "unknown prefix"),
    ] {
        let answer = verify(&operator, &secret, wrong, 5, said);
        assert_eq!(answer["reason"], "malformed");
    }
    operator.pipe(secret, &["verify", "--prefix=_"]).refuses(2, "prefix");
}

#[test]
fn a_request_is_judged_as_servers_judge_it() {
    let operator = Operator::new();
    let (_, secret) = operator.issue(
        "nightly import",
        &[
            "--tenant=acme",
            "--stage=live",
            "--ability=imports:write",
            "--address=192.0.2.0/24",
            "--origin=https://a.example",
            "--endpoint=POST /v1/imports",
        ],
    );
    let right = [
        "--ability=imports:write",
        "--tenant=acme",
        "--stage=live",
        "--method=POST",
        "--path=/v1/imports?dry-run",
        "--from=192.0.2.7",
        "--origin=https://a.example",
    ];
    let said = "POST /v1/imports?dry-run from 192.0.2.7: would pass";
    let answer = verify(&operator, &secret, &right, 0, said);
    assert_eq!(answer["request"], json!({ "passes": true, "reason": null, "message": null }));
    for (place, wrong, reason, said) in [
        (0, "--ability=imports:read", "missing_ability", "Missing ability: imports:read"),
        (1, "--tenant=globex", "wrong_tenant", "refused: "),
        (2, "--stage=test", "wrong_stage", "refused: "),
        (3, "--method=PUT", "not_allowed", "on this endpoint"),
        (4, "--path=/v1/imports/", "not_allowed", "on this endpoint"),
        (5, "--from=192.0.3.7", "not_allowed", "from this address"),
        (5, "--accept-public-keys", "not_allowed", "from this address"),
        (6, "--origin=https://evil.example", "not_allowed", "on this site"),
        (6, "--referrer=https://evil.example/", "not_allowed", "on this site"),
    ] {
        let mut options = right;
        options[place] = wrong;
        let answer = verify(&operator, &secret, &options, 6, said);
        assert_eq!(answer["request"]["passes"], false);
        assert_eq!(answer["request"]["reason"], reason, "{wrong}");
    }
    let mut by_referrer = right;
    by_referrer[6] = "--referrer=https://a.example/page";
    verify(&operator, &secret, &by_referrer, 0, "would pass");
    // Without a request, what the key is restricted to is shown and not judged.
    verify(&operator, &secret, &[], 0, "addresses  192.0.2.0/24");
}

#[test]
fn a_public_key_is_valid_and_opens_what_accepts_it() {
    let operator = Operator::new();
    let (_, secret) = operator.issue("widget", &["--kind=public", "--origin=https://a.example"]);
    verify(&operator, &secret, &[], 0, "works");
    let site = "--origin=https://a.example";
    verify(&operator, &secret, &[site], 6, "would be refused");
    verify(&operator, &secret, &[site, "--accept-public-keys"], 0, "would pass");
    verify(&operator, &secret, &["--accept-public-keys"], 6, "on this site");
}

#[test]
fn a_revoked_key_is_not_valid_whatever_the_request_is() {
    let operator = Operator::new();
    let (id, secret) = operator.issue("a key", &["--ability=a:b"]);
    operator.run(&["revoke", &id]).succeeds();
    let answer = verify(&operator, &secret, &["--ability=a:b"], 5, "revoked");
    assert_eq!(answer["request"], json!(null));
}

#[test]
fn nothing_is_counted() {
    let operator = Operator::new();
    let (id, secret) = operator.issue("a key", &["--limit=1 per day"]);
    let before = operator.show(&id);
    for _ in 0..3 {
        verify(&operator, &secret, &["--path=/"], 0, "would pass");
    }
    assert_eq!(operator.show(&id), before);
}

#[test]
fn a_request_that_cannot_be_is_refused() {
    let operator = Operator::new();
    for (option, said) in [
        ("--ability=imports:*", "wildcards are not allowed"),
        ("--ability=imports:", "an ability is"),
        ("--path=v1", "invalid path: write it like"),
        ("--path=/a b", "invalid path: write it like"),
        ("--method=G T", "--method"),
        ("--from=192.0.2.0/24", "--from"),
        ("--origin=a\u{1}", "--origin"),
    ] {
        operator.pipe("ak_1", &["verify", option]).refuses(2, said);
    }
}

#[test]
fn a_pepper_that_differs_is_an_unknown_key() {
    let operator = Operator::new().with("API_KEYS_PEPPER", "a pepper of 16 bytes");
    let (_, secret) = operator.issue("a key", &[]);
    verify(&operator, &secret, &[], 0, "works");
    let operator = operator.with("API_KEYS_PEPPER", "another pepper of 16");
    let answer = verify(&operator, &secret, &[], 5, "no key in this database");
    let explanation = answer["explanation"].as_str().unwrap();
    assert!(
        explanation.contains("API_KEYS_PEPPER is set: keys that were hashed with another pepper")
    );
    for wrong in ["", "fifteen bytes.."] {
        let operator = Operator::new().with("API_KEYS_PEPPER", wrong);
        operator
            .pipe("ak_1", &["verify"])
            .refuses(2, "API_KEYS_PEPPER is too short: use at least 16 bytes");
        operator.run(&["issue", "a key"]).refuses(2, "at least 16 bytes");
    }
    let operator = Operator::new().with("API_KEYS_PREVIOUS_PEPPER", "a pepper of 16 bytes");
    operator.run(&["list"]).refuses(2, "without API_KEYS_PEPPER: set both");
}

#[test]
fn a_key_that_was_issued_without_the_pepper_is_told_from_one_that_is_not_there() {
    let operator = Operator::new();
    let (id, secret) = operator.issue("before the pepper", &[]);
    let operator = operator.with("API_KEYS_PEPPER", "a pepper of 16 bytes");
    let said = format!("{id} has this secret, but was hashed without API_KEYS_PEPPER");
    let answer = verify(&operator, &secret, &[], 5, &said);
    assert_eq!((&answer["reason"], &answer["key"]), (&json!("unknown"), &json!(null)));
    let operator = operator.with("API_KEYS_PREVIOUS_PEPPER", "the one before it");
    verify(&operator, &secret, &[], 5, &said);
    verify(&operator, &secret.replace('k', "K"), &[], 5, "no key in this database");
}

#[test]
fn a_key_is_judged_by_the_formats_of_the_environment() {
    let operator = Operator::new().with("API_KEYS_FORMATS", "sk_live_,stage=live sk_test_");
    let (_, secret) = operator.issue("a key", &["--prefix=sk_test_"]);
    verify(&operator, &secret, &[], 0, "works");
    let operator = operator.with("API_KEYS_FORMATS", "sk_live_");
    assert_eq!(verify(&operator, &secret, &[], 5, "unknown prefix")["reason"], "malformed");
    let ran = operator.pipe(&*secret, &["verify", "--prefix=sk_test_"]);
    ran.refuses(2, "leave --prefix, --body and --checksum out");
}
