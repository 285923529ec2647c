//! What SQLite reads for a statement: none of these goes through a table.

use std::time::{Duration, SystemTime};

use sqlx::Row as _;

use super::SqliteStore;
use super::repository::{bound, note_uses};
use super::usage::DIALECT;
use super::usage_days;
use crate::key::{KeyHasher, KeyId};
use crate::store::sql::{Statement, Value, constant, usage};
use crate::store::{
    AuditCursor, AuditQuery, EndedCursor, EndedQuery, KeyChange, KeyCursor, KeyQuery, KeyRecord,
    KeyState, KeyUse, TenantFilter, UsageByKeyQuery, UsageOf, UsageQuery, UsageStep,
};

async fn plan(store: &SqliteStore, mut statement: Statement) -> String {
    statement.sql = constant(format!("EXPLAIN QUERY PLAN {}", statement.sql.as_str()));
    let rows = bound(&statement).fetch_all(&store.pool).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    lines.join("\n")
}

/// Tells whether a step asks for a row that belongs to one of the keys: its last use, or that of its tenant.
fn is_of_one_row(step: &str) -> bool {
    step.starts_with("CORRELATED SCALAR SUBQUERY")
        || step.starts_with("SEARCH api_key_uses USING PRIMARY KEY (key_id=?)")
        || step.starts_with("SEARCH s USING PRIMARY KEY (tenant=?)")
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
        let (keys, rest) = plan.split_once('\n').unwrap();
        assert_eq!(keys, format!("SEARCH api_keys USING INDEX {index}"));
        assert!(rest.lines().all(is_of_one_row), "{rest}");
    }
}

#[tokio::test]
async fn usage_is_found_by_its_keys_or_its_tenant() {
    let store = SqliteStore::in_memory().await.unwrap();
    let (tables, range) = (&store.statements.tables, at(0)..at(9));
    for step in [UsageStep::Hour, UsageStep::Day] {
        let by_key = UsageByKeyQuery::new([id(1), id(2)], &range, step);
        let own = by_key.clone().of_tenant(TenantFilter::Of("acme".parse().unwrap()));
        let read = |of| usage::read(tables, &UsageQuery::new(of, &range, step), &DIALECT);
        for (statement, index) in [
            (usage::read_by_key(tables, &by_key, &DIALECT), "PRIMARY KEY (key_id=?"),
            (usage::read_by_key(tables, &own, &DIALECT), "PRIMARY KEY (key_id=?"),
            (read(UsageOf::Key(id(1))), "PRIMARY KEY (key_id=?"),
            (
                read(UsageOf::Tenant("acme".parse().unwrap())),
                "INDEX api_key_usage_by_tenant (tenant=?",
            ),
        ] {
            let plan = plan(&store, statement.unwrap()).await;
            let expected =
                format!("SEARCH api_key_usage USING {index} AND starts_at>? AND starts_at<?)");
            assert!(plan.contains(&expected), "{step:?}: {plan}");
            assert!(!plan.contains("SCAN api_key_usage"), "{step:?}: {plan}");
        }
    }
}

#[tokio::test]
async fn days_are_found_by_their_keys() {
    let store = SqliteStore::in_memory().await.unwrap();
    let (tables, range) = (&store.statements.tables, at(0)..at(9));
    let by_key = UsageByKeyQuery::new([id(1), id(2)], &range, UsageStep::Day);
    let own = by_key.clone().of_tenant(TenantFilter::Of("acme".parse().unwrap()));
    for query in [by_key, own] {
        let plan = plan(&store, usage_days::select(tables, &query).unwrap()).await;
        let search = "SEARCH api_key_usage_days USING PRIMARY KEY (starts_at=? AND key_id=?";
        assert!(plan.contains(search), "{plan}");
        assert!(!plan.contains("SCAN api_key_usage_days"), "{plan}");
    }
    let sql = constant(usage_days::delete(tables));
    let values = vec![Value::Time(Some(0)), Value::Number(9)];
    let plan = plan(&store, Statement { sql, values }).await;
    assert!(plan.contains("USING PRIMARY KEY (starts_at<?)"), "{plan}");
    assert!(!plan.contains("SCAN api_key_usage_days"), "{plan}");
}

#[tokio::test]
async fn events_are_found_by_an_index_in_their_order() {
    let store = SqliteStore::in_memory().await.unwrap();
    let cursor: AuditCursor = "1.1".parse().unwrap();
    let tenant = || AuditQuery::new().tenant("acme");
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

fn tenant(query: &KeyQuery) -> KeyQuery {
    query.clone().tenant("acme")
}

#[tokio::test]
async fn every_list_goes_along_an_index_and_sorts_nothing() {
    let keys = SqliteStore::in_memory().await.unwrap();
    let query = KeyQuery::new();
    let (now, stage) = (query.at, "live");
    let after: KeyCursor = "1700000000000000.key_1".parse().unwrap();
    let nobodys = KeyQuery { tenant: TenantFilter::Nobody, ..query.clone() };
    for (query, index) in [
        (query.clone(), "by_age"),
        (tenant(&query), "by_tenant"),
        (nobodys.clone(), "by_tenant"),
        (query.clone().state(KeyState::Revoked), "revoked"),
        (tenant(&query).state(KeyState::Revoked), "revoked_by_tenant"),
        (nobodys.clone().state(KeyState::Revoked), "revoked_by_tenant"),
        (query.clone().state(KeyState::Disabled), "disabled"),
        (tenant(&query).state(KeyState::Disabled), "disabled_by_tenant"),
        (nobodys.state(KeyState::Disabled), "disabled_by_tenant"),
        (query.clone().state(KeyState::Expired), "expiring"),
        (tenant(&query).state(KeyState::Expired), "expiring_by_tenant"),
        (query.clone().state(KeyState::Active), "by_age"),
        (tenant(&query).state(KeyState::Active), "not_revoked_by_tenant"),
        (query.clone().rotation_due_by(now), "rotating"),
        (tenant(&query).rotation_due_by(now).state(KeyState::Active), "rotating_by_tenant"),
        (query.clone().unused_since(now), "by_age"),
        (tenant(&query).unused_since(now), "by_tenant"),
        (query.clone().name("x").stage(stage).created_by("alice"), "by_age"),
        (tenant(&query).kind(crate::KeyKind::Public), "by_tenant"),
    ] {
        for query in [query.clone(), query.after(after.clone())] {
            let list = keys.statements.list(&query);
            let mut statements = vec![list.rows(None), list.rows(Some(&after))];
            statements.extend(list.window());
            for statement in statements {
                let sql = statement.sql.as_str().to_owned();
                let plan = plan(&keys, statement).await;
                let plan: Vec<_> = plan.lines().map(str::to_owned).collect();
                let index = format!("INDEX api_keys_{index}");
                let along = |step: &String| {
                    step.contains("api_keys ") && step.split(" (").next().unwrap().ends_with(&index)
                };
                assert_eq!(plan.iter().filter(|step| along(step)).count(), 1, "{sql}: {plan:?}");
                assert!(
                    plan.iter().all(|step| along(step) || is_of_one_row(step)),
                    "{sql}: {plan:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_ends_a_window_is_read_from_the_index_alone() {
    let keys = SqliteStore::in_memory().await.unwrap();
    let query = KeyQuery::new().name("x");
    for query in [query.clone(), tenant(&query)] {
        let window = keys.statements.list(&query).window().unwrap();
        let plan = plan(&keys, window).await;
        assert!(plan.lines().count() == 1 && plan.contains("COVERING INDEX"), "{plan}");
    }
}
