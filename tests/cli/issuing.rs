//! `issue`.

use serde_json::json;
use tower_api_key::{Alphabet, Checksum, KeyFormat};

use crate::operator::Operator;

const CHECKSUM_SECRET: &str = "the secret of the checksum";

#[test]
fn the_secret_is_alone_on_standard_output() {
    let operator = Operator::new();
    let ran = operator.run(&["issue", "nightly import", "--ability", "a:b"]).succeeds();
    let secret = ran.out.strip_suffix('\n').unwrap();
    KeyFormat::default().parse(secret).unwrap();
    assert!(ran.err.contains("(nightly import)") && ran.err.contains("not shown again"), "{ran:?}");
    assert!(!ran.err.contains(secret));
    assert!(ran.err.contains(&format!("ak_\u{2026}{}", &secret[secret.len() - 4..])), "{ran:?}");
}

#[test]
fn what_was_asked_for_is_in_the_record() {
    let operator = Operator::new();
    let (id, _) = operator.issue(
        "nightly import",
        &[
            "--tenant=acme",
            "--stage=live",
            "--ability=imports:write",
            "--ability=bots:*,chat:send",
            "--expires-at=2999-01-31",
            "--limit=1000 per hour, burst 50",
            "--limit=9 per day, shared by tenant",
            "--address=192.0.2.0/24,2001:db8::/32",
            "--origin=https://*.shop.example",
            "--referrer=https://app.example/*",
            "--endpoint=POST /v1/imports",
            "--endpoint=/v1/reports/*",
            r#"--metadata={"plan":"free","seats":3}"#,
            "--rotate-in=30d",
        ],
    );
    let key = operator.show(&id);
    for (name, value) in [
        ("name", json!("nightly import")),
        ("tenant", json!("acme")),
        ("stage", json!("live")),
        ("kind", json!("secret")),
        ("state", json!("active")),
        ("prefix", json!("ak_")),
        ("abilities", json!(["bots:*", "chat:send", "imports:write"])),
        ("expires_at", json!("2999-02-01T00:00:00Z")),
        ("revoked_at", json!(null)),
        ("last_used", json!(null)),
        ("successor", json!(null)),
        ("counted_as", json!(null)),
        ("limits", json!(["1000 per hour, burst 50", "9 per day, shared by tenant"])),
        (
            "restrictions",
            json!({
                "addresses": ["192.0.2.0/24", "2001:db8::/32"],
                "origins": ["https://*.shop.example"],
                "referrers": ["https://app.example/*"],
                "endpoints": ["POST /v1/imports", "/v1/reports/*"],
            }),
        ),
        ("metadata", json!({ "plan": "free", "seats": 3 })),
    ] {
        assert_eq!(key[name], value, "{name}");
    }
    let (created, due) = (&key["created_at"], &key["rotation_due_at"]);
    assert!(created.as_str() < due.as_str(), "{key}");
}

#[test]
fn what_was_not_asked_for_is_not_restricted() {
    let operator = Operator::new();
    let (id, _) = operator.issue("plain", &[]);
    let key = operator.show(&id);
    let none = json!({ "addresses": null, "origins": null, "referrers": null, "endpoints": null });
    assert_eq!(key["restrictions"], none);
    assert_eq!((&key["abilities"], &key["limits"]), (&json!([]), &json!([])));
    assert_eq!((&key["expires_at"], &key["tenant"]), (&json!(null), &json!(null)));
}

#[test]
fn keys_of_every_format_are_issued() {
    let operator = Operator::new().with("API_KEYS_CHECKSUM_SECRET", CHECKSUM_SECRET);
    let keyed = Checksum::keyed(CHECKSUM_SECRET.as_bytes());
    for (options, format) in [
        (&["--prefix=sk_live_", "--stage=live"][..], KeyFormat::new("sk_live_")),
        (
            &["--prefix=hania_sk_", "--body=hex:40"],
            KeyFormat::new("hania_sk_").body(Alphabet::Hex, 40),
        ),
        (
            &["--prefix=hania_", "--body=base58:30", "--checksum=crc32"],
            KeyFormat::new("hania_").body(Alphabet::Base58, 30).checksum(Checksum::crc32()),
        ),
        (
            &["--prefix=", "--body=base32:32", "--checksum=keyed"],
            KeyFormat::new("").body(Alphabet::CrockfordBase32, 32).checksum(keyed),
        ),
        (
            &["--body=hex:64"],
            KeyFormat::new("ak_").body(Alphabet::Hex, 64).checksum(Checksum::crc32()),
        ),
        (&["--checksum=none"], KeyFormat::new("ak_")),
    ] {
        let (id, secret) = operator.issue("a key", options);
        assert!(format.parse(&secret).is_ok(), "{options:?}");
        assert_eq!(operator.show(&id)["prefix"], format.prefix());
    }
}

#[test]
fn the_formats_of_the_environment_are_those_of_all_keys() {
    let formats = "sk_live_,stage=live sk_test_,stage=test,body=hex:40,checksum=crc32";
    let operator = Operator::new().with("API_KEYS_FORMATS", formats);
    let test = KeyFormat::new("sk_test_").body(Alphabet::Hex, 40).checksum(Checksum::crc32());
    for (option, format, stage) in [
        ("--stage=live", KeyFormat::new("sk_live_"), "live"),
        ("--stage=test", test.clone(), "test"),
        ("--prefix=sk_test_", test, "test"),
    ] {
        let (id, secret) = operator.issue("a key", &[option]);
        assert!(format.parse(&secret).is_ok(), "{option}");
        assert_eq!(operator.show(&id)["stage"], stage);
        // What follows the prefix need not be said again.
        let new = operator.run(&["rotate", &id, "--grace=1h"]).succeeds().out;
        assert!(format.parse(new.trim_end()).is_ok(), "{option}");
    }
    let operator = operator.with("API_KEYS_FORMATS", "hania_,kind=public");
    let (id, _) = operator.issue("widget", &["--origin=https://a.example"]);
    assert_eq!(operator.show(&id)["kind"], "public");
}

#[test]
fn a_key_of_none_of_the_formats_is_not_issued() {
    let formats = "sk_live_,stage=live sk_test_,stage=test";
    let operator = Operator::new().with("API_KEYS_FORMATS", formats);
    let issue = |options: &[&str]| operator.run(&[&["issue", "a key"], options].concat());
    let choice = "`sk_live_` (stage live) or `sk_test_` (stage test)";
    let ran = issue(&[]).refuses(2, &format!("choose one by its prefix, {choice}"));
    assert!(ran.err.contains("choose the format with --prefix, --stage and --kind"), "{ran:?}");
    issue(&["--prefix=ak_"]).refuses(2, &format!("with this prefix: choose {choice}"));
    issue(&["--stage=dev"]).refuses(2, &format!("another stage or kind: there is {choice}"));
    issue(&["--prefix=sk_live_", "--stage=test"]).refuses(2, "there is `sk_live_` (stage live)");
    issue(&["--prefix=sk_live_", "--body=hex:40"]).refuses(2, "leave --body and --checksum out");
    assert!(operator.run(&["list", "--json"]).succeeds().out.is_empty());

    let (id, _) = Operator::issue(&operator, "a key", &["--stage=live"]);
    let rotate =
        |operator: &Operator, option: &str| operator.run(&["rotate", &id, "--grace=1h", option]);
    rotate(&operator, "--body=hex:40").refuses(2, "leave --body and --checksum out");
    let operator = operator.with("API_KEYS_FORMATS", "sk_test_");
    rotate(&operator, "--json").refuses(4, "no format has the prefix of the key");
}

#[test]
fn formats_of_the_environment_that_cannot_be_are_refused() {
    for (formats, said) in [
        ("", "API_KEYS_FORMATS is empty"),
        ("sk_\n", "API_KEYS_FORMATS begins or ends with a line break"),
        ("'sk_'", "remove the quotes"),
        ("sk_live_ _sk", "API_KEYS_FORMATS, format 2: "),
        ("sk_,body=hex:8", "API_KEYS_FORMATS, format 1: "),
        ("sk_,hush", "invalid format: write it like `sk_live_,stage=live`"),
        ("sk_,checksum=keyed", "API_KEYS_CHECKSUM_SECRET is not set"),
    ] {
        let operator = Operator::new().with("API_KEYS_FORMATS", formats);
        let ran = operator.run(&["list"]).refuses(2, said);
        assert!(!ran.err.contains("hush"), "{ran:?}");
    }
}

#[test]
fn a_format_that_cannot_be_is_refused() {
    let operator = Operator::new();
    let issue = |option: &str| operator.run(&["issue", "a key", option]);
    issue("--prefix=sk live").refuses(2, "the prefix of a key format");
    issue("--prefix=_sk").refuses(2, "the first of them a letter or digit");
    issue("--body=hex:31").refuses(2, "at least 128 bits");
    issue("--body=hex:201").refuses(2, "at most 200 characters");
    issue("--body=base64:40").refuses(2, "invalid body: write it like");
    issue("--checksum=keyed").refuses(2, "API_KEYS_CHECKSUM_SECRET is not set");
    let operator = operator.with("API_KEYS_CHECKSUM_SECRET", "short");
    operator.run(&["issue", "a key", "--checksum=keyed"]).refuses(2, "at least 16 bytes");
    assert!(operator.run(&["list", "--json"]).succeeds().out.is_empty());
}

#[test]
fn what_a_rule_refuses_is_not_issued() {
    let operator = Operator::new();
    let issue = |arguments: &[&str]| operator.run(&[&["issue"], arguments].concat());
    issue(&["ab"]).refuses(4, "invalid name: use 3 to 100 characters");
    issue(&[&"x".repeat(101)]).refuses(4, "invalid name: use 3 to 100 characters");
    issue(&["a\u{1b}[2Jb"]).refuses(4, "without control characters");
    issue(&["late", "--expires-at=2001-01-01"]).refuses(4, "the expiry is in the past");
    issue(&["late", "--expires-in=0s"]).refuses(4, "the expiry is in the past");
    assert!(operator.run(&["list", "--json"]).succeeds().out.is_empty());
}

#[test]
fn arguments_that_do_not_parse_are_refused() {
    let operator = Operator::new();
    for (option, said) in [
        ("--ability=admin:", "an ability is"),
        ("--ability=", "an ability is"),
        ("--limit=60 per month", "a rate limit is written like"),
        ("--address=10.0.0.1/8", "write the network `10.0.0.0/8`"),
        ("--origin=https://*", "wildcard"),
        ("--referrer=ftp://x", "starts with"),
        ("--endpoint=GET v1", "not an endpoint: write it like"),
        ("--metadata=[1]", "not a JSON object"),
        ("--tenant=a b", "a tenant id has"),
        ("--stage=", "a stage has"),
        ("--expires-in=soon", "invalid period: write it like"),
        ("--expires-in=9000y", "after the year 9999"),
        ("--rotate-in=9000y", "after the year 9999"),
        ("--expires-at=tomorrow", "invalid time: write it like"),
        ("--kind=both", "possible values"),
        ("--actor=\u{7}", "use 1 to 100 visible characters"),
        ("--actor=a\u{202e}b", "use 1 to 100 visible characters"),
    ] {
        operator.run(&["issue", "a key", option]).refuses(2, said);
    }
    let twice = ["issue", "a key", "--limit=1 per hour", "--limit=2 per hour"];
    operator.run(&twice).refuses(2, "the same name");
    let many: Vec<_> = (0..9).map(|number| format!("--limit=n{number}: 1 per day")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    operator.run(&[&["issue", "a key"], &many[..]].concat()).refuses(2, "at most 8");
    let both = ["issue", "a key", "--expires-in=1d", "--expires-at=2999-01-01"];
    operator.run(&both).refuses(2, "cannot be used with");
    operator.run(&["issue"]).refuses(2, "<NAME>");
    assert!(operator.run(&["list", "--json"]).succeeds().out.is_empty());
}

#[test]
fn a_day_of_expiry_means_its_end_and_the_moment_is_said() {
    let operator = Operator::new();
    for (time, moment) in [
        ("2999-01-31", "2999-02-01T00:00:00Z"),
        ("2999-01-31T12:00:00Z", "2999-01-31T12:00:00Z"),
        ("2999-01-31T01:30:00+05:30", "2999-01-30T20:00:00Z"),
    ] {
        let option = format!("--expires-at={time}");
        let said = format!("It expires at {moment} (in ");
        let ran = operator.run(&["issue", "a key", &option, "--json"]).succeeds();
        let key = ran.json();
        assert_eq!(
            (&key["expires_at"], ran.err.contains(&said)),
            (&moment.into(), true),
            "{ran:?}"
        );
        let (id, _) = operator.issue("another", &[]);
        let ran = operator.run(&["update", &id, &option]).succeeds();
        assert!(ran.err.contains(&said), "{ran:?}");
    }
    operator
        .run(&["issue", "a key", "--expires-at=31.1.2999"])
        .refuses(2, "invalid time: write it like");
}

#[test]
fn keys_that_open_nothing_are_warned_of() {
    let operator = Operator::new();
    let warned = |options: &[&str], warning: &str| {
        let arguments = [&["issue", "a key"], options].concat();
        operator.run(&arguments).succeeds().err.contains(warning)
    };
    assert!(warned(&[], "It has no ability"));
    assert!(!warned(&["--ability=a:b"], "It has no ability"));
    assert!(warned(&["--kind=public"], "every request is refused"));
    assert!(!warned(&["--kind=public", "--origin=https://a.example"], "every request is refused"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_secret_that_could_not_be_written_is_reported() {
    let operator = Operator::new();
    for (extra, code) in [("", 1), (" --json", 1)] {
        let script = format!("\"$0\" issue 'a key'{extra} > /dev/full");
        let ran = operator.shell(&script).exits(code);
        assert!(ran.err.contains("could not be written"), "{ran:?}");
        assert!(ran.err.contains("api-keys revoke key_"), "{ran:?}");
    }
    // Nobody reads.
    let ran = operator.shell("(trap '' PIPE; sleep 0.2; \"$0\" issue 'a key'; echo $? >&2) | :");
    assert!(ran.err.contains("could not be written") && ran.err.ends_with("1\n"), "{ran:?}");
}

#[test]
fn a_tenant_has_no_more_keys_than_the_environment_allows() {
    let operator = Operator::new().with("API_KEYS_MAX_PER_TENANT", "1");
    let (id, _) = operator.issue("of acme", &["--tenant=acme"]);
    operator
        .run(&["issue", "one more", "--tenant=acme"])
        .refuses(4, "the limit of keys of the tenant, 1, is reached");
    operator
        .run(&["rotate", &id, "--grace=1h"])
        .refuses(4, "the limit of keys of the tenant, 1, is reached");
    operator.issue("of globex", &["--tenant=globex"]);
    operator.run(&["revoke", &id]).succeeds();
    operator.issue("of acme again", &["--tenant=acme"]);
    let operator = operator.with("API_KEYS_MAX_PER_TENANT", "many");
    operator.run(&["list"]).refuses(2, "API_KEYS_MAX_PER_TENANT is not a whole number");
}

#[test]
fn a_misspelt_ability_is_refused_where_the_environment_lists_them() {
    let operator = Operator::new().with("API_KEYS_ABILITIES", "bots:read bots:write");
    operator.run(&["issue", "a robot", "--ability", "bots:read"]).succeeds();
    operator.run(&["issue", "a robot", "--ability", "bots:*"]).succeeds();
    let ran = operator.run(&["issue", "a robot", "--ability", "bots:raed"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(
        ran.err.contains("--ability 'bots:raed': unknown ability: correct its spelling"),
        "{ran:?}"
    );
    assert!(ran.err.contains("API_KEYS_ABILITIES"), "{ran:?}");
    for wrong in ["bots:*", "bots:", "\"bots:read\"", ""] {
        let operator = Operator::new().with("API_KEYS_ABILITIES", wrong);
        let ran = operator.run(&["issue", "a robot", "--ability", "bots:read"]);
        assert_eq!(ran.code, 2, "{wrong}: {ran:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_by_option_and_before_the_database_is_opened() {
    let operator = Operator::new().with("API_KEYS_ABILITIES", "bots:read");
    let secret = "sk_live_0123456789abcdef0123456789abcdef";
    let wrong = [
        "--tenant=a b",
        "--stage=",
        "--ability=bots:read,bots:raed,bots write",
        "--limit=often",
        "--limit=9 per day",
        "--address=192.0.2.0/24,home",
        "--origin=shop",
        "--referrer=shop",
        "--endpoint=FETCH everything",
        &format!("--metadata={secret}"),
        "--expires-at=2001-01-01",
        "--rotate-in=soon",
        "--prefix=_sk",
    ];
    let options = [
        "<NAME>: invalid name: use 3 to 100 characters",
        "--tenant 'a b': ",
        "--stage '': ",
        "--ability 'bots:raed': unknown ability",
        "--ability 'bots write': ",
        "--limit 'often': ",
        "--address 'home': ",
        "--origin 'shop': ",
        "--referrer 'shop': ",
        "--endpoint 'FETCH everything': ",
        "--metadata [hidden]: not a JSON object",
        "--expires-at: the expiry is in the past",
        "--rotate-in 'soon': invalid period",
        "the prefix of a key format",
    ];
    for database in [None, Some("--database=sqlite:missing.db")] {
        let arguments: Vec<_> = ["issue", "ab"].into_iter().chain(wrong).chain(database).collect();
        let ran = operator.run(&arguments).refuses(2, options[0]);
        for says in options {
            let line =
                ran.err.lines().filter(|line| line.starts_with(&format!("api-keys: {says}")));
            assert_eq!(line.count(), 1, "{says}: {ran:?}");
        }
        assert_eq!(ran.err.lines().count(), options.len(), "{ran:?}");
        assert!(!ran.err.contains(secret), "{ran:?}");
    }
    // What only a rule refuses is not wrong in itself.
    let late = ["issue", "ab", "--expires-in=0s", "--ability=bots:raed"];
    let ran = operator.run(&late).refuses(4, "--expires-in: the expiry is in the past");
    assert_eq!(ran.err.lines().count(), 3, "{ran:?}");
    assert_eq!(operator.run(&["list", "--json"]).succeeds().out, "", "nothing is issued");
    let names = operator.pipe("first\nab\n\nx\n", &["issue", "--names-stdin"]);
    let names = names.refuses(4, "standard input, line 2: invalid name");
    assert!(names.err.contains("standard input, line 4: invalid name"), "{names:?}");
    let (id, _) = operator.issue("a key", &[]);
    let update = ["update", &id, "--name=x", "--address=home", "--limit=often"];
    assert_eq!(operator.run(&update).refuses(2, "--name: invalid").err.lines().count(), 3);
}

#[test]
fn a_key_keeps_an_ability_that_is_no_longer_listed() {
    let operator = Operator::new();
    let (id, _) = operator.issue("a key", &["--ability=old:one"]);
    let operator = operator.with("API_KEYS_ABILITIES", "bots:read");
    operator.run(&["update", &id, "--ability=old:one,bots:read"]).succeeds();
    let ran = operator.run(&["update", &id, "--ability=old:two"]).refuses(4, "`old:two`");
    assert!(ran.err.contains("API_KEYS_ABILITIES"), "{ran:?}");
}
