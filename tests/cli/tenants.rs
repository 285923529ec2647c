//! Whole tenants, as an operator suspends, resumes and revokes them.

use serde_json::json;

use crate::operator::Operator;

#[test]
fn a_tenant_is_suspended_listed_and_resumed() {
    let operator = Operator::new();
    let (id, secret) = operator.issue("a key", &["--tenant", "acme"]);
    let (other, _) = operator.issue("another", &["--tenant", "other"]);
    let ran = operator.run(&["tenant", "suspend", "acme"]).succeeds();
    assert!(ran.out.is_empty() && ran.err.starts_with("Suspended acme."), "{ran:?}");
    assert!(ran.err.contains("`SqliteStore::invalidations`"), "{ran:?}");
    assert_eq!(operator.show(&id)["state"], "suspended");
    assert_eq!(operator.show(&other)["state"], "active");
    let verified = operator.pipe(&*secret, &["verify"]).exits(5);
    assert!(verified.out.contains("`api-keys tenant resume acme`"), "{verified:?}");
    let again = operator.run(&["tenant", "suspend", "acme", "--json"]).succeeds();
    let expected = json!({ "tenant": "acme", "suspended": true, "changed": false });
    assert_eq!((again.json(), again.err.starts_with("Already suspended: acme.")), (expected, true));
    let listed = operator.run(&["tenant", "list", "--json"]).succeeds().json();
    assert_eq!(listed["tenant"], "acme");
    assert!(listed["suspended_at"].as_str().unwrap().ends_with('Z'), "{listed}");
    assert!(operator.run(&["tenant", "list"]).succeeds().out.starts_with("acme  2"));
    let keys = operator.run(&["list", "--state", "suspended", "--json"]).succeeds().json();
    assert_eq!(keys["id"], id.as_str());
    operator.run(&["issue", "one more", "--tenant", "acme"]).refuses(4, "the tenant is suspended");
    operator.run(&["rotate", &id, "--grace=1h"]).refuses(4, "the tenant is suspended");

    let ran = operator.run(&["tenant", "resume", "acme", "--json"]).succeeds();
    assert_eq!(ran.json(), json!({ "tenant": "acme", "suspended": false, "changed": true }));
    operator.pipe(&*secret, &["verify"]).succeeds();
    let ran = operator.run(&["tenant", "list"]).succeeds();
    assert!(ran.out.is_empty() && ran.err.contains("No tenant is suspended."), "{ran:?}");
    operator.run(&["tenant", "suspend", "a b"]).refuses(2, "tenant id");
    let events = operator.run(&["audit", "--since=1h", "--json"]).succeeds().json_lines();
    let of_tenant: Vec<_> = events.iter().filter(|event| event["key_id"].is_null()).collect();
    let actions: Vec<_> = of_tenant.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["suspended", "resumed"]);
    assert!(of_tenant.iter().all(|event| event["tenant"] == "acme"), "{events:?}");
}

#[test]
fn all_keys_of_a_tenant_are_revoked_if_somebody_is_sure() {
    let operator = Operator::new();
    for _ in 0..3 {
        operator.issue("a key", &["--tenant", "acme"]);
    }
    let (other, _) = operator.issue("another", &["--tenant", "other"]);
    let revoke = ["revoke", "--tenant", "acme"];
    // Whatever is on its standard input: nobody is at a terminal.
    operator.pipe("acme\n", &revoke).refuses(2, "add --yes");
    operator.run(&["revoke", "--tenant", "acme", &other]).refuses(2, "cannot be used with");
    operator.run(&["revoke", &other, "--yes"]).refuses(2, "cannot be used with");
    let active = || operator.run(&["list", "--state", "active", "--json"]).json_lines().len();
    assert_eq!(active(), 4);
    let ran = operator.run(&[&revoke[..], &["--yes", "--json"]].concat()).succeeds();
    assert_eq!(ran.json(), json!({ "tenant": "acme", "revoked": 3 }));
    assert!(ran.err.contains("`api-keys tenant suspend acme`"), "{ran:?}");
    assert!(ran.err.contains("Revoked 3 keys of acme; none is left."), "{ran:?}");
    assert_eq!((active(), &operator.show(&other)["state"]), (1, &json!("active")));
    operator.run(&["tenant", "suspend", "acme"]).succeeds();
    let ran = operator.run(&[&revoke[..], &["--yes"]].concat()).succeeds();
    assert!(ran.err.starts_with("Revoked 0 keys of acme; none is left."), "{ran:?}");
}

#[test]
fn at_a_terminal_the_name_of_the_tenant_is_asked_for_again() {
    let operator = Operator::new();
    let (id, _) = operator.issue("a key", &["--tenant", "acme"]);
    // `script` gives it a terminal, and types what it reads.
    let typed = |name: &str| {
        operator.shell(&format!(
            "printf '{name}\\n' | script -qec \"$0 revoke --tenant acme\" /dev/null"
        ))
    };
    let ran = typed("Acme").exits(2);
    assert!(ran.out.contains("Type the name of the tenant again"), "{ran:?}");
    assert!(ran.out.contains("the name is another one: nothing was revoked"), "{ran:?}");
    assert_eq!(operator.show(&id)["state"], "active");
    let ran = typed("acme").succeeds();
    assert!(ran.out.contains("Revoked 1 key of acme"), "{ran:?}");
    assert_eq!(operator.show(&id)["state"], "revoked");
}
