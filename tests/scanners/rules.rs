//! The rules of a format for scanners.

use std::fs;
use std::process::Command;

use tower_api_key::key::KeyFormats;
use tower_api_key::{Alphabet, KeyFormat};

use crate::common::python::python;

const DESCRIPTION: &str = "API key of \"Acme\" \\ Söhne\u{7f}";

#[test]
#[ignore = "needs Python: run tests/all"]
fn detect_secrets_finds_the_keys_by_its_plugin() {
    let formats = [KeyFormat::new("sk_live_").body(Alphabet::Hex, 40), KeyFormat::new("sk_test_")];
    let [live, test] = formats.each_ref().map(|format| format.generate().unwrap());
    let formats = KeyFormats::from(formats);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("plugin.py"), formats.detect_secrets_plugin(DESCRIPTION)).unwrap();
    let (live, test) = (live.reveal(), test.reveal());
    let text = format!("nothing here\nlog = \"a line\\n{live}\\n\"\nkey = {test}\n");
    fs::write(path("config.ini"), text).unwrap();
    let mut program = python();
    program.args(["-m", "detect_secrets", "scan", "--all-files", "--no-verify"]);
    // It leaves out files that are not within the working directory.
    program.args(["--plugin", "plugin.py", "config.ini"]).current_dir(directory.path());
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = report["results"].as_object().unwrap();
    let found = results.values().flat_map(|found| found.as_array().unwrap());
    let found: Vec<_> = found.filter(|found| found["type"] == DESCRIPTION).collect();
    let lines: Vec<_> = found.iter().map(|found| found["line_number"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 3], "{report}");
}

#[test]
#[ignore = "needs Python: run tests/all"]
fn the_rule_for_gitleaks_is_toml_and_re2_reads_its_expression() {
    for format in [
        KeyFormat::new("Acme-Live-").body(Alphabet::Base62, 40),
        KeyFormat::new("").body(Alphabet::Hex, 64),
    ] {
        let rule = format.gitleaks_rule("acme-api-key", DESCRIPTION);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), rule).unwrap();
        // gitleaks is written in Go, whose expressions are those of RE2.
        let script = "import json, re2, sys, tomllib\n\
                      rule, = tomllib.load(open(sys.argv[1], 'rb'))['rules']\n\
                      re2.compile(rule['regex'])\n\
                      print(json.dumps(rule))";
        let mut program: Command = python();
        let output = program.args(["-c", script]).arg(file.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(read["regex"], format.regex());
        assert_eq!(read["description"], DESCRIPTION);
        let keywords = match format.prefix() {
            "" => serde_json::Value::Null,
            _ => serde_json::json!(["acme-live-"]),
        };
        assert_eq!(read["keywords"], keywords);
    }
}

#[test]
fn of_several_formats_each_has_a_rule_of_its_own() {
    let formats = KeyFormats::from([KeyFormat::new("sk_live_"), KeyFormat::new("sk_test_")]);
    let rules = formats.gitleaks_rules("acme", DESCRIPTION);
    let each = (1..).zip(formats.iter());
    let each: Vec<_> = each
        .map(|(number, format)| format.gitleaks_rule(&format!("acme-{number}"), DESCRIPTION))
        .collect();
    assert_eq!(rules, each.join("\n"));
    let one = KeyFormats::from(KeyFormat::default());
    let rule = KeyFormat::default().gitleaks_rule("acme", DESCRIPTION);
    assert_eq!(one.gitleaks_rules("acme", DESCRIPTION), rule);
}
