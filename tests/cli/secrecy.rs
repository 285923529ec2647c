//! Where secrets are, and where they are not.

use crate::common::canary::{forms, gives_away};
use crate::operator::Operator;

const PASSWORD: &str = "hush-hush-this-is-the-password";
const PEPPER: &str = "hush-hush-this-is-the-pepper";

#[test]
fn a_secret_is_printed_by_issue_and_rotate_alone() {
    let operator = Operator::new().with("API_KEYS_PEPPER", PEPPER);
    let first = operator.run(&["issue", "canary", "--rotate-in=1d", "--ability=a:b"]).succeeds();
    let first_secret = first.out.trim_end().to_owned();
    let id = operator.run(&["list", "--json"]).json()["id"].as_str().unwrap().to_owned();
    let second = operator.run(&["rotate", &id, "--grace=1h"]).succeeds();
    let second_secret = second.out.trim_end().to_owned();
    let new = operator.show(&id)["successor"].as_str().unwrap().to_owned();
    assert!(!gives_away(&first.err, &first_secret) && !gives_away(&second.err, &second_secret));
    let mut shown = Vec::new();
    for json in [&["--json"][..], &[]] {
        for arguments in [
            &["list"][..],
            &["show", &id],
            &["show", &new],
            &["update", &new, "--name=another canary"],
            &["due-for-rotation"],
            &["rotate", &id, "--grace=1h"],
            &["issue", "no"],
            &["prune", "--older-than=0s"],
        ] {
            shown.push(operator.run(&[arguments, json].concat()));
        }
        for secret in [&first_secret, &second_secret] {
            let wrong = format!("{secret}x");
            let lines = format!("{secret}\n{secret}");
            for input in [secret, &wrong, &lines] {
                for arguments in [&["verify"][..], &["verify", "--prefix=sk_"]] {
                    shown.push(operator.pipe(&**input, &[arguments, json].concat()));
                }
            }
            shown.push(operator.pipe(&**secret, &[&["revoke", "--secret-stdin"], json].concat()));
        }
    }
    for ran in shown {
        let text = format!("{}{}", ran.out, ran.err);
        for secret in [&first_secret, &second_secret] {
            assert!(!gives_away(&text, secret), "{ran:?}");
        }
        assert!(!text.contains(PEPPER), "{ran:?}");
    }
    for file in std::fs::read_dir(operator.directory()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for secret in [&first_secret, &second_secret] {
            assert!(!forms(secret).iter().any(|form| text.contains(form)));
        }
        assert!(!text.contains(PEPPER));
    }
}

#[test]
fn a_secret_among_the_arguments_is_refused_and_not_repeated() {
    let operator = Operator::new();
    for format in
        [&[][..], &["--prefix=sk_live_", "--body=hex:40"], &["--prefix=", "--body=hex:32"]]
    {
        let (id, secret) = operator.issue("a key", format);
        let secret = &*secret;
        let option = format!("--secret={secret}");
        let one_of_two = format!("bots:read,{secret}");
        let name_of_option = format!("--{secret}=1");
        for arguments in [
            &["revoke", secret][..],
            &["show", secret],
            &["update", secret, "--disable"],
            &["rotate", secret, "--grace=1h"],
            &["verify", secret],
            &["revoke", &id, secret],
            &["revoke", "--secret", secret],
            &["revoke", &option],
            &["revoke", "--secret-stdin", secret],
            &["issue", "a key", secret],
            &["issue", "a key", "--ability", secret],
            &["issue", "a key", "--ability", &one_of_two],
            &["list", &name_of_option],
            &["list", "--state", secret],
            &[secret],
        ] {
            let ran = operator.run(arguments).exits(2);
            assert!(!gives_away(&format!("{}{}", ran.out, ran.err), secret), "{ran:?}");
        }
        operator.run(&["show", secret]).refuses(2, "If it is an id, write `id:` before it");
        assert_eq!(operator.show(&id)["state"], "active");
    }
    operator.run(&["show", "hush hush"]).refuses(2, "invalid id");
}

#[test]
fn a_password_among_the_arguments_is_refused_and_not_repeated() {
    let operator = Operator::new();
    for url in [
        "postgres://app:{}@127.0.0.1:9/app",
        "postgresql://127.0.0.1:9/app?password={}",
        "redis://:{}@127.0.0.1:9",
        "rediss://127.0.0.1:9/?pass={}",
        "mysql://app:{}@127.0.0.1:9/app",
        "postgres:app:{}@127.0.0.1:9/app",
    ] {
        let url = url.replace("{}", PASSWORD);
        let option = format!("--database={url}");
        let typo = format!("--databse={url}");
        for (arguments, said) in [
            (&["list", &option][..], "set DATABASE_URL instead"),
            (&["--database", &url, "init"], "set DATABASE_URL instead"),
            (&["list", &typo], "--databse"),
            (&["list", &url], "unexpected argument"),
            (&[&url], "unrecognized subcommand"),
        ] {
            let ran = operator.run(arguments).refuses(2, said);
            assert!(!ran.err.contains(PASSWORD), "{ran:?}");
        }
    }
}

#[test]
fn no_error_shows_the_password_of_the_environment() {
    for (url, code) in [
        ("postgres://app:{}@127.0.0.1:9/app", 1),
        ("postgres://app:{}@[bad", 1),
        ("postgres://app:{}@127.0.0.1:99999/app", 1),
        ("redis://app:{}@127.0.0.1:9", 1),
        ("redis://app:{}@[bad", 1),
        ("rediss://app:{}@127.0.0.1:9", 1),
        ("app:{}@127.0.0.1", 2),
        ("mysql://app:{}@127.0.0.1", 2),
        ("{}", 2),
    ] {
        let operator = Operator::without_tables();
        let operator = operator.with("DATABASE_URL", &url.replace("{}", PASSWORD));
        for arguments in [&["list"][..], &["init"]] {
            let ran = operator.run(arguments).refuses(code, "api-keys: ");
            assert!(!ran.err.contains(PASSWORD), "{ran:?}");
        }
    }
}
