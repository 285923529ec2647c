//! `revoke --ids-stdin`, `audit`, `--audit-file` and `invalidate`: what is done after a restore.

use std::collections::BTreeSet;
use std::time::Duration;

use tower_api_key::store::{CachedStore, Invalidation, InvalidationSource as _};
use tower_api_key::{KeyHasher, KeyStore as _, RedisStore, SqliteStore};

use crate::common::in_time;
use crate::common::servers::{database_url, redis_url};
use crate::operator::Operator;

#[test]
fn each_line_of_ids_is_done_and_told_whatever_became_of_those_before() {
    let operator = Operator::new();
    let keys: Vec<_> = (0..4).map(|number| operator.issue(&format!("key {number}"), &[])).collect();
    let (first, second, third) = (&keys[0].0, &keys[1].0, &keys[2].0);
    let secret = &*keys[3].1;
    let long = "x".repeat(10_000);
    // No line break at the end.
    let input = format!(
        "{first}\n\n# those of March\n  {second}\r\nkey_00000000000000000000\nno id\n{long}\n{secret}\n{third}"
    );
    let ran = operator.pipe(&*input, &["revoke", "--ids-stdin", "--json"]).exits(2);
    let told: Vec<_> = ran
        .json_lines()
        .into_iter()
        .map(|line| {
            let id = line["id"].as_str().unwrap_or("-").to_owned();
            (line["line"].as_u64().unwrap(), id, line["outcome"].as_str().unwrap().to_owned())
        })
        .collect();
    let line = |number, id: &str, outcome: &str| (number, id.to_owned(), outcome.to_owned());
    let expected = [
        line(1, first, "revoked"),
        line(4, second, "revoked"),
        line(5, "key_00000000000000000000", "unknown"),
        line(6, "-", "not an id"),
        line(7, "-", "not an id"),
        line(8, "-", "unknown"),
        line(9, third, "revoked"),
    ];
    assert_eq!(told, expected);
    assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{ran:?}");
    assert!(ran.err.contains("3 revoked, 2 unknown, 2 not an id, 0 failed"), "{ran:?}");
    assert!(ran.err.contains("see it from now on"), "{ran:?}");
    for (id, state) in [(first, "revoked"), (second, "revoked"), (third, "revoked")] {
        assert_eq!(operator.show(id)["state"], state);
    }
    assert_eq!(operator.show(&keys[3].0)["state"], "active", "its secret is no id");

    // Once more, and in words.
    let both = format!("{first}\n{}\n", keys[3].0);
    let ran = operator.pipe(&*both, &["revoke", "--ids-stdin"]).succeeds();
    assert_eq!(ran.out, format!("revoked    {first}\nrevoked    {}\n", keys[3].0));
    let ran = operator.pipe("key_00000000000000000000\n", &["revoke", "--ids-stdin"]).exits(3);
    assert!(ran.out.starts_with("unknown"), "{ran:?}");
    for nothing in ["", "\n # none\n"] {
        operator.pipe(nothing, &["revoke", "--ids-stdin"]).refuses(2, "no ids: pass one id a line");
    }
    for with in [&["key_1"][..], &["--secret-stdin"]] {
        let arguments = [&["revoke", "--ids-stdin"], with].concat();
        operator.run(&arguments).refuses(2, "cannot be used with");
    }
}

#[test]
fn who_does_not_listen_stops_nobody_from_being_revoked() {
    let operator = Operator::new();
    let ids: Vec<_> =
        (0..3).map(|number| operator.issue(&format!("key {number}"), &[]).0).collect();
    std::fs::write(operator.directory().join("ids"), ids.join("\n")).unwrap();
    operator.shell("\"$0\" revoke --ids-stdin <ids >/dev/full").exits(1);
    for id in &ids {
        assert_eq!(operator.show(id)["state"], "revoked");
    }
    operator.shell("\"$0\" revoke --ids-stdin <ids | true").succeeds();
}

#[test]
fn successors_go_with_their_keys_if_that_is_asked() {
    let operator = Operator::new();
    let (old, _) = operator.issue("a key", &[]);
    let new = operator.run(&["rotate", &old, "--grace=1h", "--json"]).succeeds().json();
    let new = new["id"].as_str().unwrap();
    let ran = operator.pipe(&*old, &["revoke", "--ids-stdin"]).succeeds();
    assert!(ran.out.contains(&format!("but its successor {new} still works")), "{ran:?}");
    let ran = operator.pipe(&*old, &["revoke", "--ids-stdin", "--with-successors"]).succeeds();
    assert!(ran.out.contains(&format!("with {new}")), "{ran:?}");
    assert_eq!(operator.show(new)["state"], "revoked");
}

#[tokio::test]
async fn a_key_that_cannot_be_revoked_stops_no_other_and_is_told() {
    let operator = Operator::new();
    let (bad, _) = operator.issue("bad", &[]);
    let (good, _) = operator.issue("good", &[]);
    let url = format!("sqlite:{}", operator.file().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let spoil = format!("UPDATE api_keys SET abilities = '[\"admin:\"]' WHERE id = '{bad}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(spoil)).execute(&pool).await.unwrap();
    pool.close().await;
    let ran = operator.pipe(format!("{bad}\n{good}\n"), &["revoke", "--ids-stdin"]).exits(1);
    let lines: Vec<_> = ran.out.lines().collect();
    assert!(lines[0].starts_with(&format!("failed     {bad}")), "{ran:?}");
    assert!(lines[0].contains("cannot be read"), "{ran:?}");
    assert_eq!(lines[1], format!("revoked    {good}"));
}

/// Does something of everything, and returns what the events have to say of it.
fn changes(operator: &Operator) -> [(&'static str, String); 4] {
    let (one, _) = operator.issue("one key", &["--tenant=acme"]);
    let (other, _) = operator.issue("another", &[]);
    operator.run(&["update", &one, "--name", "the first"]).succeeds();
    operator.run(&["revoke", &one]).succeeds();
    [("issued", one.clone()), ("issued", other), ("updated", one.clone()), ("revoked", one)]
}

#[test]
fn events_are_listed_with_who_and_what_and_when() {
    let operator = Operator::new();
    keeps_events(&operator);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn events_are_listed_from_postgres_too() {
    let schema = format!("cli_audit_{}", std::process::id());
    let operator = Operator::without_tables().with("DATABASE_URL", &database_url());
    let arguments = ["init", "--schema", &schema];
    operator.run(&arguments).succeeds();
    // By the search path, as no option has to be repeated then.
    let url = format!("{}?options=-csearch_path%3D{schema}", database_url());
    keeps_events(&operator.with("DATABASE_URL", &url));
    let pool = sqlx::PgPool::connect(&database_url()).await.unwrap();
    let drop = sqlx::AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
    sqlx::raw_sql(drop).execute(&pool).await.unwrap();
}

fn keeps_events(operator: &Operator) {
    let expected = changes(operator);
    let ran = operator.run(&["audit", "--since", "1h", "--json"]).succeeds();
    let events = ran.json_lines();
    let said: Vec<_> = events
        .iter()
        .map(|event| {
            (event["action"].as_str().unwrap(), event["key_id"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(said, expected);
    let revoked = events.last().unwrap();
    assert_eq!(revoked["actor"], "name:cli:operator");
    assert_eq!(revoked["tenant"], "acme");
    assert!(
        revoked["before"]["revoked_at"].is_null() && revoked["after"]["revoked_at"].is_string()
    );
    assert!(!ran.out.contains("digest"), "{ran:?}");
    let at = revoked["at"].as_str().unwrap();
    // From that event on, and not from the one before.
    let since = operator.run(&["audit", "--since", at, "--json"]).succeeds().json_lines();
    assert_eq!(since.last(), Some(revoked));
    assert!(since.len() < 4, "{since:?}");
    assert!(operator.run(&["audit", "--since=2999-01-01"]).succeeds().out.lines().count() == 0);

    let table = operator.run(&["audit", "--since=1h"]).succeeds().out;
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("TIME") && lines.len() == 5, "{table}");
    for word in ["name:cli:operator", "revoked", &expected[3].1, "acme", "the first"] {
        assert!(lines[4].contains(word), "{word}: {table}");
    }
    assert_eq!(operator.run(&["audit"]).succeeds().out, table);
    operator.run(&["audit", "--since=yesterday"]).refuses(2, "invalid time: write it like");
}

#[test]
fn more_events_than_a_page_has_are_listed_once_each() {
    let operator = Operator::new();
    let (id, _) = operator.issue("a key", &[]);
    // Of one event many are made, so that nobody has to wait for as many changes.
    let copies = "INSERT INTO api_key_audit (at, actor, action, key_id) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1201) \
         SELECT at, actor, 'updated', key_id FROM api_key_audit, n";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{}", operator.file().display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        sqlx::raw_sql(copies).execute(&pool).await.unwrap();
        pool.close().await;
    });
    let events = operator.run(&["audit", "--since=1h", "--json"]).succeeds().json_lines();
    let numbers: BTreeSet<_> = events.iter().map(|event| event["number"].as_i64()).collect();
    assert_eq!((events.len(), numbers.len()), (1202, 1202));
    assert!(events.iter().all(|event| event["key_id"] == *id));
}

#[test]
fn a_file_of_events_outlives_a_restore_and_says_what_to_revoke_again() {
    let operator = Operator::new();
    let (early, _) = operator.issue("before the backup", &[]);
    let backup = std::fs::read(operator.file()).unwrap();
    let file = "--audit-file=audit.jsonl";
    let (late, _) = operator.issue("after the backup", &[file]);
    operator.run(&["revoke", &early, file]).succeeds();
    std::fs::write(operator.file(), backup).unwrap();
    assert_eq!(operator.show(&early)["state"], "active", "the revocation came undone");
    operator.run(&["show", &late]).refuses(3, "no such key");

    let events = std::fs::read_to_string(operator.directory().join("audit.jsonl")).unwrap();
    let events = events.lines().map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<serde_json::Value> = events.collect();
    let actions: Vec<_> = events.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["issued", "revoked"]);
    let revoked = events[1]["key_id"].as_str().unwrap();
    operator.pipe(revoked, &["revoke", "--ids-stdin", file]).succeeds();
    assert_eq!(operator.show(&early)["state"], "revoked");
    operator.run(&["list", "--audit-file=missing/audit.jsonl"]).refuses(2, "--audit-file");
}

#[cfg(target_os = "linux")]
#[test]
fn an_event_that_is_not_in_the_file_is_no_success() {
    let operator = Operator::new();
    let (id, _) = operator.issue("robot", &[]);
    let full = "--audit-file=/dev/full";
    operator.run(&["list", full]).succeeds();
    operator
        .run(&["revoke", &id, full])
        .refuses(1, "--audit-file: the events of these changes were not written");
    assert_eq!(operator.show(&id)["state"], "revoked");
    let file = "--audit-file=audit.jsonl";
    operator.pipe(&*id, &["revoke", "--ids-stdin", file]).succeeds();
    let (other, _) = operator.issue("other", &[]);
    let ran = operator.pipe(&*other, &["revoke", "--ids-stdin", full]).exits(1);
    assert!(ran.out.starts_with("revoked") && ran.err.contains("--audit-file"), "{ran:?}");
    assert_eq!(operator.show(&other)["state"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_forget_at_one_command_what_came_undone_in_sqlite() {
    let operator = Operator::new();
    let store = SqliteStore::open(operator.file()).await.unwrap();
    let mut heard = store.invalidations().subscribe().await.unwrap();
    operator.run(&["invalidate"]).succeeds();
    assert_eq!(in_time(heard.next()).await.unwrap(), Invalidation::Everything);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run tests/all"]
async fn nodes_forget_at_one_command_what_came_undone_in_redis() {
    let prefix = format!("test:{}:", tower_api_key::KeyId::generate().unwrap());
    let operator = Operator::without_tables().with("DATABASE_URL", &redis_url());
    let run = |arguments: &[&str]| {
        operator.run(&[arguments, &["--key-prefix", &prefix]].concat()).succeeds()
    };
    let issued = run(&["issue", "a key", "--json"]).json();
    let id = issued["id"].as_str().unwrap();
    let store = RedisStore::connect(&redis_url()).key_prefix(&*prefix).await.unwrap();
    let mut heard = store.invalidations().subscribe().await.unwrap();
    let node = CachedStore::builder(store.clone()).invalidated_by(store.invalidations()).build();
    let digest = KeyHasher::sha256().digest(issued["secret"].as_str().unwrap());
    in_time(async {
        while node.find(&digest).await.is_err() || node.find_now(&digest).answer().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    run(&["invalidate"]);
    in_time(async {
        while heard.next().await.unwrap() != Invalidation::Everything {}
        while node.find_now(&digest).answer().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;

    run(&["revoke", id]);
    let audit = run(&["audit", "--since=1h", "--json"]);
    assert!(audit.err.contains("Redis keeps no audit log"), "{audit:?}");
    let said = audit.json_lines();
    let actions: Vec<_> = said.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["issued", "revoked"]);
    assert!(said.iter().all(|event| event["key_id"] == id && event["actor"].is_null()));
}
