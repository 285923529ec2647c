//! What SQLite reads for a statement: none of these goes through a table.

use std::time::{Duration, SystemTime};

use sqlx::Row as _;

use super::SqliteStore;
use super::repository::{bound, note_uses};
use crate::key::{KeyHasher, KeyId};
use crate::store::sql::{Statement, constant};
use crate::store::{
    AuditCursor, AuditQuery, EndedCursor, EndedQuery, KeyChange, KeyRecord, KeyUse,
};

async fn plan(store: &SqliteStore, mut statement: Statement) -> String {
    statement.sql = constant(format!("EXPLAIN QUERY PLAN {}", statement.sql.as_str()));
    let rows = bound(&statement).fetch_all(&store.pool).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    lines.join("\n")
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
}

fn id(number: usize) -> KeyId {
    format!("key_{number}").parse().unwrap()
}

#[tokio::test]
async fn the_keys_that_ended_are_found_by_their_index() {
    let store = SqliteStore::in_memory().await.unwrap();
    let first = EndedQuery::before(at(0));
    let next = first.clone().after(EndedCursor::new("00000000000000000001.key_1"));
    let own = next.clone().tenant(Some("acme".parse().unwrap()).into());
    for (query, index) in [
        (first, "api_keys_ended (<expr><?)"),
        (next, "api_keys_ended (<expr>>? AND <expr><?)"),
        (own, "api_keys_ended_by_tenant (tenant=? AND <expr>>? AND <expr><?)"),
    ] {
        let plan = plan(&store, store.statements.ended(&query).unwrap()).await;
        assert_eq!(plan, format!("SEARCH api_keys USING INDEX {index}"));
    }
}

#[tokio::test]
async fn events_are_found_by_an_index_in_their_order() {
    let store = SqliteStore::in_memory().await.unwrap();
    let cursor: AuditCursor = "1.1".parse().unwrap();
    let tenant = || AuditQuery::new().tenant("acme".parse().unwrap());
    for (query, index) in [
        (AuditQuery::new(), "by_time"),
        (AuditQuery::new().since(at(0)).until(at(1)), "by_time (at>? AND at<?)"),
        (tenant(), "by_tenant (tenant=?"),
        (tenant().since(at(0)).after(cursor), "by_tenant (tenant=? AND at>?"),
        (AuditQuery::new().actor("alice"), "by_actor (actor=?)"),
        (AuditQuery::new().key(id(1)).until(at(1)), "of_key (key_id=? AND at<?)"),
        (tenant().actor("alice").key(id(1)), "of_key (key_id=?)"),
    ] {
        for query in [query.clone(), query.newest_first()] {
            let plan = plan(&store, store.statements.events(&query)).await;
            // One line: nothing is sorted.
            let how = if index == "by_time" { "SCAN" } else { "SEARCH" };
            let expected = format!("{how} api_key_audit USING INDEX api_key_audit_{index}");
            assert!(plan.starts_with(&expected) && plan.lines().count() == 1, "{plan}");
        }
    }
    let plan = plan(&store, store.statements.remove_events(at(0), 9)).await;
    assert!(plan.contains("USING COVERING INDEX api_key_audit_by_time (at<?)"), "{plan}");
    assert!(!plan.contains("SCAN"), "{plan}");
}

#[tokio::test]
async fn uses_are_noted_by_going_through_them_once() {
    let store = SqliteStore::in_memory().await.unwrap();
    let uses: Vec<_> = (0..3).map(|number| KeyUse::new(id(number), at(0))).collect();
    let plan = plan(&store, store.statements.note_object(&uses, note_uses).unwrap()).await;
    let lines: Vec<_> = plan.lines().collect();
    let [scan, search] = lines[..] else { panic!("{plan}") };
    assert!(scan.starts_with("SCAN used VIRTUAL TABLE"), "{plan}");
    assert!(search.starts_with("SEARCH known USING") && search.ends_with("(id=?)"), "{plan}");
}

#[tokio::test]
async fn many_keys_are_changed_without_reading_the_others() {
    let store = SqliteStore::in_memory().await.unwrap();
    let records = (0..3).map(|number| {
        KeyRecord::new(id(number), KeyHasher::sha256().digest(&number.to_string()), "n", at(0))
            .into()
    });
    let records: Vec<_> = records.collect();
    for kind in [KeyChange::Replace, KeyChange::Remove, KeyChange::Require] {
        let changes: Vec<_> = records.iter().cloned().map(kind).collect();
        let step = store.statements.steps(&changes, &[]).unwrap_or_default().remove(0);
        let plan = plan(&store, step.statement).await;
        assert!(plan.contains("SEARCH api_keys USING"), "{plan}");
        assert!(!plan.contains("SCAN api_keys"), "{plan}");
    }
}
