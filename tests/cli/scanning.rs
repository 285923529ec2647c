//! `scanner-rules`: scanners find the keys that the same program issues.

use std::fs;

use crate::common::python::python;
use crate::operator::Operator;

const FORMATS: &str = "sk_live_,stage=live,body=hex:40 sk_test_,stage=test";

/// Somebody with keys of two formats, which are in a file.
fn operator() -> Operator {
    let operator = Operator::new().with("API_KEYS_FORMATS", FORMATS);
    let (_, live) = operator.issue("live", &["--stage", "live"]);
    let [test, behind] =
        ["test", "behind"].map(|name| operator.issue(name, &["--stage", "test"]).1);
    // The last is behind what is no key.
    let text = format!("nothing\n\"log: line\\n{live}\\n\"\nkey={test}\nsk_live_{behind}\n");
    fs::write(operator.directory().join("leaked.txt"), text).unwrap();
    operator
}

/// Runs a program of Python beside the file and returns what it says.
fn run_python(operator: &Operator, arguments: &[&str]) -> serde_json::Value {
    let output = python().args(arguments).current_dir(operator.directory()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
#[ignore = "needs Python: run tests/all"]
fn detect_secrets_finds_the_keys_by_the_plugin_that_is_printed() {
    let operator = operator();
    let plugin = operator.run(&["scanner-rules", "detect-secrets", "--name", "Acme's key"]);
    fs::write(operator.directory().join("api_keys.py"), plugin.succeeds().out).unwrap();
    let scan = ["-m", "detect_secrets", "scan", "--all-files", "--no-verify", "--plugin"];
    let report = run_python(&operator, &[&scan[..], &["api_keys.py", "leaked.txt"]].concat());
    let found = report["results"]["leaked.txt"].as_array().unwrap().iter();
    let found = found.filter(|found| found["type"] == "Acme's key");
    let mut lines: Vec<_> = found.map(|found| found["line_number"].as_u64().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, [2, 3, 4], "{report}");
}

#[test]
#[ignore = "needs Python: run tests/all"]
fn the_rules_for_gitleaks_are_toml_and_find_the_keys_by_its_engine() {
    let operator = operator();
    let rules = operator.run(&["scanner-rules", "gitleaks", "--id", "acme"]).succeeds().out;
    // As it is told: added to a file that is there.
    let file = operator.directory().join(".gitleaks.toml");
    fs::write(file, format!("[extend]\nuseDefault = true\n\n{rules}")).unwrap();
    // gitleaks is written in Go, whose expressions are those of RE2. It looks for keywords in lower case.
    let script = "import json, re2, tomllib\n\
                  rules = tomllib.load(open('.gitleaks.toml', 'rb'))['rules']\n\
                  text = open('leaked.txt').read()\n\
                  assert all(word in text.lower() for rule in rules for word in rule['keywords'])\n\
                  print(json.dumps([[rule['id'], len(re2.findall(rule['regex'], text))] for rule in rules]))";
    let found = run_python(&operator, &["-c", script]);
    assert_eq!(found, serde_json::json!([["acme-1", 1], ["acme-2", 2]]));
}

#[test]
fn expressions_are_those_of_the_environment_of_the_options_or_of_the_default_format() {
    let without = Operator::without_tables();
    let usual = without.run(&["scanner-rules", "regex"]).succeeds();
    assert_eq!(usual.out, "ak_[0-9A-Za-z]{46}\\b\n");
    let options = ["scanner-rules", "regex", "--prefix", "acme", "--body", "hex:40"];
    assert_eq!(without.run(&options).succeeds().out, "\\bacme[0-9a-f]{40}\\b\n");
    let with = Operator::without_tables().with("API_KEYS_FORMATS", FORMATS);
    let both = with.run(&["scanner-rules", "regex"]).succeeds().out;
    assert_eq!(both, "sk_live_[0-9a-f]{40}\\b\nsk_test_[0-9A-Za-z]{40}\\b\n");
    with.run(&options).refuses(2, "API_KEYS_FORMATS sets the formats of keys");
    without.run(&["scanner-rules", "trufflehog"]).refuses(2, "possible values");
    // No database is asked: there is none.
    assert_eq!(fs::read_dir(without.directory()).unwrap().count(), 0);
}
