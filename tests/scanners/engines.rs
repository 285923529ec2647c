//! The regular expression of a format in the engines of scanners.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tower_api_key::{Alphabet, Checksum, KeyFormat};

use crate::common::python::python;

/// Formats of which the prefix is distinctive, and others.
fn formats() -> Vec<(KeyFormat, bool)> {
    vec![
        (KeyFormat::default(), true),
        (KeyFormat::new("sk_live_").body(Alphabet::Hex, 40), true),
        (KeyFormat::new("acme-prod-").body(Alphabet::Base58, 43), true),
        (KeyFormat::new("a-_1").body(Alphabet::CrockfordBase32, 30), true),
        (KeyFormat::new("hania").body(Alphabet::Base62, 40).checksum(Checksum::crc32()), false),
        (KeyFormat::new("acme_sk_").checksum(Checksum::keyed(&[7; 32])), true),
        (KeyFormat::new("").body(Alphabet::Hex, 64), false),
    ]
}

/// A text, and the keys in it in order.
struct Sample {
    text: String,
    keys: Vec<String>,
}

fn sample(format: &KeyFormat, is_distinctive: bool) -> Sample {
    let mut text = String::new();
    let mut keys = Vec::new();
    // What is in front of a key and behind it, and whether it is found there.
    for (front, behind, is_found) in [
        ("export KEY=", "\n", true),
        ("\"", "\"", true),
        ("curl -u ", ": https://acme.example", true),
        ("\u{1f511}", "\u{1f511} ", true),
        // As JSON, URLs and terminals have it.
        (r#"{"log":"line\n"#, r#"\n"}"#, is_distinctive),
        ("?key=a%20", "%20b ", is_distinctive),
        ("\u{1b}[31m", "\u{1b}[0m ", is_distinctive),
        ("OLD_", " ", is_distinctive),
        ("x", " ", is_distinctive),
        ("é", " ", is_distinctive),
        // Something longer.
        (" ", "x ", false),
        (" ", "0 ", false),
        (" ", "_ ", false),
    ] {
        // Engines differ in whether it is a letter.
        if front == "é" && !is_distinctive {
            continue;
        }
        let key = format.generate().unwrap().reveal().to_owned();
        text.push_str(&format!("{front}{key}{behind}"));
        if is_found {
            keys.push(key);
        }
    }
    // What is no key.
    let key = format.generate().unwrap().reveal().to_owned();
    let almost =
        [&key[1..], &key[..key.len() - 1], &format!("{}!", &key[..key.len() - 1])].join(" ");
    text.push_str(&format!("\n{almost}\n"));
    Sample { text, keys }
}

/// Has a program find keys, which reads an expression and a text as JSON, and writes what it found.
#[track_caller]
fn check(mut program: Command) {
    for (format, is_distinctive) in formats() {
        let Sample { text, keys } = sample(&format, is_distinctive);
        let input = serde_json::json!([format.regex(), text]).to_string();
        let mut child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program:?}");
        let found: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!found.is_empty());
        for found in found {
            assert_eq!(found, keys, "{program:?} {}", format.regex());
        }
    }
}

#[test]
fn the_engine_of_rust_finds_the_keys() {
    for (format, is_distinctive) in formats() {
        let Sample { text, keys } = sample(&format, is_distinctive);
        let regex = regex::Regex::new(&format.regex()).unwrap();
        let found: Vec<_> = regex.find_iter(&text).map(|found| found.as_str()).collect();
        assert_eq!(found, keys, "{}", format.regex());
    }
}

#[test]
#[ignore = "needs Python: run tests/all"]
fn python_re2_and_hyperscan_find_the_keys() {
    let mut program = python();
    program.arg("scanners/engines.py");
    check(program);
}

#[test]
#[ignore = "needs Node: run tests/all"]
fn javascript_finds_the_keys_with_each_flag() {
    let mut program = Command::new("node");
    program.arg("scanners/engines.cjs");
    check(program);
}

#[test]
#[ignore = "needs Java: run tests/all"]
fn java_finds_the_keys() {
    let mut program = Command::new("java");
    program.args(["-XX:TieredStopAtLevel=1", "scanners/Engines.java"]);
    check(program);
}

#[test]
#[ignore = "needs pcre2grep: run tests/all"]
fn pcre2_finds_the_keys() {
    for (format, is_distinctive) in formats() {
        let Sample { text, keys } = sample(&format, is_distinctive);
        for mode in [&[][..], &["--utf"]] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let mut program = Command::new("pcre2grep");
            program
                .args(mode)
                .args(["--only-matching", "--text", &format.regex()])
                .arg(file.path());
            let output = program.output().unwrap();
            let found = String::from_utf8(output.stdout).unwrap();
            assert_eq!(found.lines().collect::<Vec<_>>(), keys, "{} {mode:?}", format.regex());
        }
    }
}
