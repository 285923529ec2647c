//! Many keys at once: `issue --names-stdin`, `prune`, `audit` and `audit prune`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::built::api_keys;
use crate::operator::Operator;

fn names(count: usize) -> String {
    (0..count).map(|number| format!("till {number}\n")).collect()
}

#[test]
fn a_key_is_issued_for_each_name_and_its_secret_is_on_a_line_of_its_own() {
    let operator = Operator::new();
    let input = format!("\n  {}\r\n\n", names(600).trim_end());
    let ran = operator.pipe(input, &["issue", "--names-stdin", "--tenant=acme", "--ability=a:b"]);
    let keys = ran.succeeds();
    assert!(keys.err.contains("Issued 600 of 600 keys"), "{}", keys.err);
    let lines = keys.json_lines();
    assert_eq!(lines.len(), 600);
    let mut secrets = BTreeSet::new();
    for (number, key) in lines.iter().enumerate() {
        assert_eq!(key["name"], format!("till {number}"));
        assert_eq!((&key["tenant"], &key["abilities"]), (&json!("acme"), &json!(["a:b"])));
        let secret = key["secret"].as_str().unwrap();
        assert!(secrets.insert(secret) && !keys.err.contains(secret));
    }
    let last = &lines[599];
    let verified = operator.pipe(last["secret"].as_str().unwrap(), &["verify"]).succeeds();
    assert!(verified.out.contains("till 599"), "{verified:?}");
    assert_eq!(operator.show(last["id"].as_str().unwrap())["name"], "till 599");
    let events = operator.run(&["audit", "--tenant=acme", "--json"]).succeeds().json_lines();
    assert_eq!(events.len(), 600);
}

#[test]
fn a_wrong_name_or_none_issues_no_key() {
    let operator = Operator::new();
    let issue = |input: &str| operator.pipe(input, &["issue", "--names-stdin"]);
    issue(&format!("{}x\n{}", names(300), names(10)))
        .refuses(4, "standard input, line 301: invalid name");
    issue("till 1\n\u{7}\u{7}\u{7}\n").refuses(4, "line 2: invalid name");
    issue("\n \n").refuses(2, "standard input is empty");
    operator.run(&["issue"]).refuses(2, "<NAME>");
    operator.run(&["issue", "a name", "--names-stdin"]).refuses(2, "cannot be used with");
    assert!(operator.run(&["list", "--json"]).succeeds().out.is_empty());
}

#[test]
fn a_closed_pipe_loses_no_secret_silently() {
    let operator = Operator::new();
    std::fs::write(operator.directory().join("names"), names(2000)).unwrap();
    let script = "$0 issue --names-stdin < names 2> said; echo $? > code";
    let ran = operator.shell(&format!("{{ {script}; }} | {{ read line; echo \"$line\"; }}"));
    let first: Value = serde_json::from_str(&ran.succeeds().out).unwrap();
    assert_eq!(first["name"], "till 0");
    let read = |name| std::fs::read_to_string(operator.directory().join(name)).unwrap();
    assert_eq!(read("code"), "1\n");
    let said = read("said");
    assert!(said.contains("their secrets could not be written to standard output"), "{said}");
    // Each key that is there is one that was written, or that is named.
    let keys = operator.run(&["list", "--json"]).succeeds().json_lines();
    let named: Vec<_> =
        keys.iter().filter(|key| said.contains(key["id"].as_str().unwrap())).collect();
    let written = said.split_once("Issued ").unwrap().1.split_once(' ').unwrap().0;
    assert!(!named.is_empty() && keys.len() < 2000, "it went on");
    assert_eq!(named.len() + written.parse::<usize>().unwrap(), keys.len());

    let full = operator.shell("$0 issue --names-stdin < names > /dev/full").exits(1);
    assert!(full.err.contains("Issued 0 of 2000 keys") && !full.err.contains("ak_"), "{full:?}");
}

/// Fills the database with keys that ended yesterday.
fn ended(operator: &Operator, count: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{}", operator.file().display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1) \
             INSERT INTO api_keys (id, digest, name, created_at, expires_at) \
             SELECT 'key_' || n, randomblob(32), 'name', 1600000000000000 + n, 1700000000000000 \
             FROM n";
        sqlx::query(fill).bind(count).execute(&pool).await.unwrap();
        pool.close().await;
    });
}

#[test]
fn a_prune_says_how_far_it_has_come_on_standard_error() {
    let operator = Operator::new();
    ended(&operator, 1200);
    let quiet = operator.run(&["prune", "--older-than=36500d"]).refuses(2, "before the year 1970");
    assert!(!quiet.err.contains("so far"));
    let pruned = operator.run(&["prune", "--older-than=1d", "--progress", "--json"]).succeeds();
    assert_eq!(pruned.json(), json!({ "removed": 1200, "stopped": false }));
    assert!(pruned.err.contains("Removed 1000 keys so far.\n"), "{}", pruned.err);
    assert!(pruned.err.ends_with("Removed 1200 keys.\n"), "{}", pruned.err);
    let pruned = operator.run(&["prune", "--older-than=1d"]).succeeds();
    assert_eq!(pruned.err, "Removed 0 keys.\n");
    let events = operator.run(&["audit", "--by=name:cli:operator", "--json"]).succeeds();
    assert_eq!(events.json_lines().len(), 1200);
    assert!(events.json_lines().iter().all(|event| event["action"] == "removed"));
}

#[test]
fn ctrl_c_stops_a_prune_after_a_batch_and_the_next_call_goes_on() {
    let operator = Operator::new();
    ended(&operator, 50_000);
    let mut child = Command::new(api_keys())
        .args(["prune", "--older-than=1d", "--progress", "--json"])
        .current_dir(operator.directory())
        .env("DATABASE_URL", "sqlite:keys.db")
        .env("USER", "operator")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("so far"), "{line}");
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let rest: Vec<String> = said.lines().map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{rest:?}");
    assert!(rest.last().unwrap().ends_with("Stopped: call it again to go on."), "{rest:?}");
    let stopped: Value = serde_json::from_slice(&output.stdout).unwrap();
    let removed = stopped["removed"].as_u64().unwrap();
    assert!(stopped["stopped"] == true && (1..50_000).contains(&removed), "{stopped}");
    let again = operator.run(&["prune", "--older-than=1d", "--json"]).succeeds().json();
    assert_eq!(again["removed"].as_u64().unwrap(), 50_000 - removed, "a batch was half done");
}

#[test]
fn events_are_found_by_key_tenant_actor_and_time() {
    let operator = Operator::new();
    let (own, _) = operator.issue("nightly import", &["--tenant=acme"]);
    let (other, _) = operator.issue("other", &["--tenant=globex", "--actor=alice"]);
    operator.run(&["revoke", &own, "--actor=alice"]).succeeds();
    let audit = |options: &[&str]| {
        let ran = operator.run(&[&["audit", "--json"], options].concat()).succeeds();
        let lines = ran.json_lines();
        let what = |event: &Value| {
            format!("{} {}", event["action"].as_str().unwrap(), event["tenant"].as_str().unwrap())
        };
        lines.iter().map(what).collect::<Vec<_>>()
    };
    assert_eq!(audit(&[]), ["issued acme", "issued globex", "revoked acme"]);
    assert_eq!(audit(&["--newest-first"]), ["revoked acme", "issued globex", "issued acme"]);
    assert_eq!(audit(&["--key", &own]), ["issued acme", "revoked acme"]);
    assert_eq!(audit(&["--key", &other, "--tenant=acme"]), [""; 0]);
    assert_eq!(audit(&["--tenant=globex"]), ["issued globex"]);
    assert_eq!(audit(&["--by=name:cli:alice"]), ["issued globex", "revoked acme"]);
    assert_eq!(audit(&["--by=name:cli:alice", "--tenant=acme"]), ["revoked acme"]);
    assert_eq!(audit(&["--by=system"]), [""; 0]);
    assert_eq!(audit(&["--until=1h"]), [""; 0]);
    assert_eq!(audit(&["--since=1h", "--until=2999-01-01"]).len(), 3);
    operator.run(&["audit", "--by=alice"]).refuses(2, "an actor is written `system`");
    operator.run(&["audit", "--key=a b"]).refuses(2, "--key");
}

#[test]
fn old_events_are_pruned_when_asked_for() {
    let operator = Operator::new();
    operator.issue("nightly import", &[]);
    let old = "INSERT INTO api_key_audit (at, actor, action) \
        WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1500) \
        SELECT 1600000000000000 + n * 1000000, 'system', 'issued' FROM n";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{}", operator.file().display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        sqlx::query(old).execute(&pool).await.unwrap();
        pool.close().await;
    });
    operator.run(&["audit", "prune"]).refuses(2, "--older-than");
    let pruned = operator.run(&["audit", "prune", "--before=2020-09-13T12:35:00Z", "--json"]);
    assert_eq!(pruned.succeeds().json(), json!({ "removed": 499, "stopped": false }));
    let pruned = operator.run(&["audit", "prune", "--older-than=1d", "--progress"]).succeeds();
    assert!(pruned.err.contains("Removed 1000 events so far.\n"), "{}", pruned.err);
    assert!(pruned.err.ends_with("Removed 1001 events.\n"), "{}", pruned.err);
    let left = operator.run(&["audit", "--json"]).succeeds().json_lines();
    assert_eq!(left.len(), 1);
}
