//! Values of the environment and of options that have something around them by mistake.

use crate::operator::{Operator, Ran};

const PEPPER: &str = "hush-hush-the-pepper";

/// What is before and after a value by mistake, and what is said of it.
const MISTAKES: [(&str, &str, &str); 15] = [
    ("", "\n", "a line break: remove it"),
    ("", "\r\n", "a line break: remove it"),
    ("", "\r", "a line break: remove it"),
    ("\n", "", "a line break: remove it"),
    ("", " ", "white space"),
    (" ", "", "white space"),
    ("\t", "\t", "white space"),
    ("", "\u{a0}", "white space"),
    ("\u{feff}", "", "a character that is not seen"),
    ("\"", "\"", "remove the quotes"),
    ("'", "'", "remove the quotes"),
    ("", "\"", "remove the quotes"),
    ("'", "", "remove the quotes"),
    ("\u{201c}", "\u{201d}", "remove the quotes"),
    ("\"", "\"\r\n", "a line break: remove it"),
];

/// Checks that a command is refused for the value of a variable or an option.
fn check(ran: Ran, place: &str, said: &str, value: &str) {
    let ran = ran.refuses(2, &format!("api-keys: {place} begins or ends with "));
    assert!(ran.err.contains(said), "{said}: {ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    assert!(!ran.err.contains(value.trim()), "{ran:?}");
}

#[test]
fn the_url_of_a_database_has_nothing_around_it() {
    for url in ["sqlite:keys.db", "postgres://app:hush@127.0.0.1:9/app", "redis://127.0.0.1:9"] {
        for (before, after, said) in MISTAKES {
            let value = format!("{before}{url}{after}");
            let operator = Operator::without_tables().with("DATABASE_URL", &value);
            for arguments in [&["init"][..], &["list"], &["issue", "a key"]] {
                check(operator.run(arguments), "DATABASE_URL", said, url);
            }
            let option = format!("--database={value}");
            let ran = Operator::without_tables().run(&["init", &option]);
            if url.contains("hush") {
                assert!(!ran.refuses(2, "a URL with a password").err.contains("hush"));
            } else {
                check(ran, "--database", said, url);
            }
            // Not even another file.
            assert_eq!(std::fs::read_dir(operator.directory()).unwrap().count(), 0);
        }
    }
    let operator = Operator::without_tables().with("DATABASE_URL", "");
    operator.run(&["init"]).refuses(2, "DATABASE_URL is empty");
    let operator = operator.with("DATABASE_URL", "postgres://app@127.0\n.0.1:9/app");
    operator.run(&["init"]).refuses(2, "has a control character");
}

#[test]
fn a_pepper_and_the_secret_of_a_checksum_have_nothing_around_them() {
    for (before, after, said) in MISTAKES {
        let value = format!("{before}{PEPPER}{after}");
        let operator = Operator::new();
        let (id, secret) = operator.issue("a key", &[]);
        for name in ["API_KEYS_PEPPER", "API_KEYS_PREVIOUS_PEPPER", "API_KEYS_CHECKSUM_SECRET"] {
            let mut commands = Vec::new();
            let keyed = "--checksum=keyed";
            for arguments in [
                &["issue", "another key", keyed][..],
                &["rotate", &id, "--grace=1h", keyed],
                &["verify", keyed],
            ] {
                let mut command = operator.command(arguments);
                command.env("API_KEYS_PEPPER", "the right pepper").env(name, &value);
                command.write_stdin(&*secret);
                commands.push(command);
            }
            for command in commands {
                check(Ran::of(command), name, said, PEPPER);
            }
        }
        assert_eq!(operator.run(&["list", "--json"]).json_lines().len(), 1);
    }
}

#[test]
fn names_in_a_database_have_nothing_around_them() {
    let urls = ["postgres://127.0.0.1:9/app", "sqlite:keys.db", "redis://127.0.0.1:9"];
    for (url, option) in urls.into_iter().zip(["--schema", "--table-prefix", "--key-prefix"]) {
        let operator = Operator::without_tables().with("DATABASE_URL", url);
        for (before, after, said) in MISTAKES {
            let value = format!("{option}={before}mine{after}");
            check(operator.run(&["init", &value]), option, said, "mine");
        }
    }
    let operator = Operator::without_tables().with("DATABASE_URL", urls[0]);
    operator.run(&["init", "--schema="]).refuses(2, "--schema is empty");
}

#[test]
fn what_is_inside_a_value_belongs_to_it() {
    let operator = Operator::without_tables().with("DATABASE_URL", "sqlite:my 'own' keys.db");
    let operator = operator.with("API_KEYS_PEPPER", "two lines\nof \"secrets\" x");
    operator.run(&["init"]).succeeds();
    let (_, secret) = operator.issue("a key", &[]);
    operator.pipe(&*secret, &["verify"]).succeeds();
    assert!(operator.directory().join("my 'own' keys.db").exists());
}
