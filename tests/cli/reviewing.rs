//! `list`, `show`, `due-for-rotation` and `prune`.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use tower_api_key::store::{
    KeyUsage, KeyUse, RecordUses, UsageBatch, UsageCounts, UsageKind, UsageRetention,
    UsageStore as _,
};
use tower_api_key::{KeyId, KeyManager, NewKey, SqliteStore};

use crate::operator::{Operator, Ran};

fn names(listed: &Ran) -> Vec<String> {
    listed.json_lines().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_table_has_a_header_and_aligned_columns() {
    let operator = Operator::new();
    let empty = operator.run(&["list"]).succeeds();
    assert_eq!(empty.out, "ID  NAME  TENANT  STATE  KEY  LAST USED  EXPIRES\n");
    operator.issue("first", &["--tenant=acme", "--expires-at=2999-01-01"]);
    let long = "l\u{e4}nger ".repeat(12);
    operator.issue(&long, &[]);
    let listed = operator.run(&["list"]).succeeds();
    let lines: Vec<Vec<char>> = listed.out.lines().map(|line| line.chars().collect()).collect();
    assert_eq!(lines.len(), 3);
    // Nothing is cut where no terminal is.
    assert!(listed.out.contains(long.trim()), "{listed:?}");
    let column = |text: &str| {
        let line = listed.out.lines().find(|line| line.contains(text)).unwrap();
        line.split_once(text).unwrap().0.chars().count()
    };
    assert_eq!(column("STATE"), column("active"));
    assert_eq!(column("TENANT"), column("acme"));
    assert_eq!(column("EXPIRES"), column("2999-01-02T00:00:00Z"));
    assert_eq!(column("NAME"), column("first"));
}

#[test]
fn lists_are_filtered_by_what_was_issued_by_whom() {
    let operator = Operator::new();
    operator.issue("Nightly import", &[]);
    operator.issue("live", &["--stage=live", "--rotate-in=10d", "--actor=alice"]);
    let list = |options: &[&str]| {
        names(&operator.run(&[&["list", "--json"], options].concat()).succeeds())
    };
    assert_eq!(list(&["--name=IMPORT", "--state=active"]), ["Nightly import"]);
    assert!(list(&["--name=%"]).is_empty());
    assert_eq!(list(&["--kind=secret"]), ["live", "Nightly import"]);
    assert!(list(&["--kind=public"]).is_empty());
    assert_eq!(list(&["--stage=live"]), ["live"]);
    assert_eq!(list(&["--created-by=name:cli:alice"]), ["live"]);
    assert_eq!(list(&["--due-within=11d"]), ["live"]);
    assert!(list(&["--due-within=9d"]).is_empty());
    let id = operator.run(&["list", "--stage=live", "--json"]).json_lines()[0]["id"].clone();
    let shown = operator.run(&["show", id.as_str().unwrap()]).succeeds();
    assert!(shown.out.contains("issued by  name:cli:alice"), "{shown:?}");
    let secret = "sk_live_0123456789abcdef0123456789abcdef01234567";
    let wrong = operator.run(&["list", &format!("--created-by={secret}")]).refuses(2, "an actor");
    assert!(!wrong.err.contains(secret), "{wrong:?}");
}

#[test]
fn lists_are_filtered() {
    let operator = Operator::new();
    operator.issue("of acme", &["--tenant=acme"]);
    operator.issue("of globex", &["--tenant=globex"]);
    let (nobodys, _) = operator.issue("of nobody", &[]);
    let (disabled, _) = operator.issue("disabled", &["--tenant=acme"]);
    operator.run(&["revoke", &nobodys]).succeeds();
    operator.run(&["update", &disabled, "--disable"]).succeeds();
    let list = |options: &[&str]| {
        names(&operator.run(&[&["list", "--json"], options].concat()).succeeds())
    };
    assert_eq!(list(&[]), ["disabled", "of nobody", "of globex", "of acme"]);
    assert_eq!(list(&["--tenant=acme"]), ["disabled", "of acme"]);
    assert_eq!(list(&["--no-tenant"]), ["of nobody"]);
    assert_eq!(list(&["--state=active"]), ["of globex", "of acme"]);
    assert_eq!(list(&["--state=revoked"]), ["of nobody"]);
    assert_eq!(list(&["--state=disabled"]), ["disabled"]);
    assert!(list(&["--state=expired"]).is_empty());
    assert_eq!(list(&["--limit=1"]), ["disabled"]);
    assert!(list(&["--limit=0"]).is_empty());
    assert!(list(&["--unused-for=1d"]).is_empty());
    assert_eq!(list(&["--unused-for=0s"]).len(), 4);
    operator.run(&["list", "--state=gone"]).refuses(2, "possible values");
    operator.run(&["list", "--unused-for=1000y"]).refuses(2, "before the year 1970");
}

#[tokio::test]
async fn a_list_goes_on_after_a_page_and_whoever_stops_reading_is_no_error() {
    let operator = Operator::new();
    let store = SqliteStore::open(operator.file()).await.unwrap();
    let keys = KeyManager::new(store.clone());
    for number in 0..1203 {
        keys.issue(NewKey::named(format!("key number {number}"))).await.unwrap();
    }
    store.close().await;
    let listed = operator.run(&["list", "--json"]).succeeds();
    let listed = names(&listed);
    assert_eq!(listed.len(), 1203);
    assert_eq!(listed.into_iter().collect::<HashSet<_>>().len(), 1203);
    assert_eq!(operator.run(&["list"]).succeeds().out.lines().count(), 1204);
    let some = operator.run(&["list", "--json", "--limit=700"]).succeeds();
    assert_eq!(names(&some).len(), 700);
    let ran = operator.shell("{ \"$0\" list --json; echo $? >&2; } | head -n 1").succeeds();
    assert_eq!((ran.out.lines().count(), &*ran.err), (1, "0\n"));
}

#[test]
fn a_key_is_shown_to_people() {
    let operator = Operator::new();
    let (id, _) = operator.issue(
        "nightly import",
        &["--tenant=acme", "--ability=a:b,c:d", "--address=10.0.0.0/8", "--expires-in=90d"],
    );
    let shown = operator.run(&["show", &id]).succeeds().out;
    for line in [
        &format!("id         {id}"),
        "name       nightly import",
        "state      active",
        "tenant     acme",
        "abilities  a:b",
        "           c:d",
        "addresses  10.0.0.0/8",
        "last used  never, or not recorded",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert!(shown.contains("(in 90 days)") && !shown.contains("endpoints"), "{shown}");
}

#[tokio::test]
async fn uses_are_shown_and_names_that_a_terminal_obeys_are_not() {
    let operator = Operator::new();
    let (id, _) = operator.issue("harmless", &[]);
    let store = SqliteStore::open(operator.file()).await.unwrap();
    let id: KeyId = id.parse().unwrap();
    let used_at = SystemTime::now() - Duration::from_secs(3 * 86_400);
    store.record_uses(&[KeyUse::new(id.clone(), used_at)]).await.unwrap();
    let changed = operator.run(&["update", id.as_str(), "--disable", "--json"]).succeeds();
    assert_eq!(changed.json(), operator.show(id.as_str()));
    assert!(changed.json()["last_used"].is_string(), "{changed:?}");
    let url = format!("sqlite:{}", operator.file().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query("UPDATE api_keys SET name = 'a' || char(27) || '[2J' || char(10) || 'b'")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    store.close().await;
    let shown = operator.run(&["show", id.as_str()]).succeeds().out;
    assert!(shown.contains("(3 days ago)") && shown.contains(r"a\u{1b}[2J\u{a}b"), "{shown}");
    for arguments in [&["list"][..], &["revoke", id.as_str()]] {
        let ran = operator.run(arguments).succeeds();
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{ran:?}");
        assert!(format!("{}{}", ran.out, ran.err).contains(r"\u{1b}[2J"), "{ran:?}");
    }
}

#[test]
fn keys_that_are_due_are_listed() {
    let operator = Operator::new();
    operator.issue("soon", &["--rotate-in=5d"]);
    operator.issue("later", &["--rotate-in=30d"]);
    operator.issue("never", &[]);
    let (revoked, _) = operator.issue("revoked", &["--rotate-in=5d"]);
    operator.run(&["revoke", &revoked]).succeeds();
    let due = |options: &[&str]| {
        names(&operator.run(&[&["due-for-rotation", "--json"], options].concat()).succeeds())
    };
    assert_eq!(due(&[]), ["soon"]);
    assert_eq!(due(&["--within=60d"]), ["later", "soon"]);
    assert!(due(&["--within=0s"]).is_empty() && due(&["--tenant=acme"]).is_empty());
    let table = operator.run(&["due-for-rotation"]).succeeds().out;
    assert!(table.contains("DUE") && table.contains("soon"), "{table}");
}

#[test]
fn what_ended_is_pruned_and_nothing_else() {
    let operator = Operator::new();
    let (revoked, _) = operator.issue("revoked", &[]);
    operator.issue("active", &[]);
    operator.run(&["revoke", &revoked]).succeeds();
    operator.run(&["prune"]).refuses(2, "--older-than");
    let pruned = operator.run(&["prune", "--older-than=1d", "--json"]).succeeds();
    assert_eq!(pruned.json()["removed"], 0);
    let pruned = operator.run(&["prune", "--older-than=0s"]).succeeds();
    assert_eq!((&*pruned.out, &*pruned.err), ("", "Removed 1 key.\n"));
    assert_eq!(names(&operator.run(&["list", "--json"]).succeeds()), ["active"]);
    operator.run(&["show", &revoked]).refuses(3, "there is no such key");
}

#[tokio::test]
async fn usage_is_shown_as_a_table_with_a_chart_and_as_json() {
    let operator = Operator::new();
    let (id, _) = operator.issue("robot", &["--tenant=acme"]);
    let store = SqliteStore::open(operator.file()).await.unwrap();
    let now = SystemTime::now();
    let day = Duration::from_secs(24 * 3600);
    let used = |age, accepted, limited| {
        let mut counts = UsageCounts::default();
        counts.add(UsageKind::Accepted, accepted);
        counts.add(UsageKind::RateLimited, limited);
        KeyUsage::new(id.parse().unwrap(), Some("acme".parse().unwrap()), now - age, counts)
    };
    let rows =
        [used(day, 40, 0), used(3 * day, 15, 5), used(100 * day, 1, 0), used(500 * day, 9, 0)];
    let batch = UsageBatch::new("test", 1, UsageRetention::default(), rows);
    store.add_usage(&batch).await.unwrap();

    let table = operator.run(&["usage", &id]).succeeds();
    let lines: Vec<_> = table.out.lines().collect();
    assert_eq!(lines.len(), 4, "{table:?}");
    assert!(lines[0].starts_with("FROM") && lines[0].ends_with("REASONS"));
    let date = |age| humantime::format_rfc3339_seconds(now - age).to_string()[..10].to_owned();
    assert!(lines[1].starts_with(&date(3 * day)) && lines[1].ends_with("rate_limited 5"));
    assert!(lines[2].starts_with(&date(day)) && lines[2].ends_with(&"\u{2588}".repeat(30)));
    assert!(lines[1].contains(&format!("  {}  ", "\u{2588}".repeat(15))), "{table:?}");
    assert!(lines[3].starts_with("TOTAL") && lines[3].contains("55") && lines[3].contains('5'));

    let json =
        |arguments: &[&str]| operator.run(&[&["--json"], arguments].concat()).succeeds().json();
    let year = json(&["usage", &id, "--last=365d", "--by=month"]);
    assert_eq!((&year["bucket"], &year["total"]["accepted"]), (&"month".into(), &56.into()));
    let tenant = json(&["usage", "--tenant=acme", "--by=hour"]);
    assert_eq!(tenant["total"]["reasons"]["rate_limited"], 5);
    assert_eq!(json(&["usage", "--tenant=globex"])["total"]["accepted"], 0);

    let pruned = json(&["prune", "--older-than=9d", "--usage-hours=30", "--usage-days=400"]);
    // Both hours of long ago, the day of the older one, and the block of its days.
    assert_eq!((&pruned["removed"], &pruned["usage_rows"]), (&0.into(), &4.into()));
    let left = json(&["usage", &id, "--last=1000d"]);
    assert_eq!(left["total"]["accepted"], 56);
    assert_eq!(json(&["usage", &id, "--last=300d", "--by=hour"])["total"]["accepted"], 55);

    assert_eq!(operator.run(&["usage"]).code, 2);
    operator.run(&["usage", &id, "--last=30y", "--by=hour"]).refuses(2, "the range of usage");
    assert_eq!(operator.run(&["usage", &id, "--tenant=acme"]).code, 2);
    assert_ne!(operator.run(&["usage", "key_unknown"]).code, 0);
}
