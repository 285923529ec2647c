//! By which index SQLite makes lists, whatever is in the tables.

use sqlx::Row as _;

use super::SqliteStore;
use super::repository::bound;
use crate::store::sql::{Statement, constant};
use crate::store::{KeyCursor, KeyQuery, KeyState, TenantFilter};

async fn plan(keys: &SqliteStore, statement: Statement) -> Vec<String> {
    let sql = constant(format!("EXPLAIN QUERY PLAN {}", statement.sql.as_str()));
    let explain = bound(&Statement { sql, ..statement });
    let rows = explain.fetch_all(&keys.pool).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

fn tenant(query: &KeyQuery) -> KeyQuery {
    query.clone().tenant("acme".parse().unwrap())
}

#[tokio::test]
async fn every_list_goes_along_an_index_and_sorts_nothing() {
    let keys = SqliteStore::in_memory().await.unwrap();
    let query = KeyQuery::new();
    let (now, stage) = (query.at, "live".parse().unwrap());
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
                let index = format!("INDEX api_keys_{index}");
                let along = |step: &String| {
                    step.contains("api_keys ") && step.split(" (").next().unwrap().ends_with(&index)
                };
                let of_uses = |step: &String| {
                    step.starts_with("CORRELATED SCALAR SUBQUERY")
                        || step.starts_with("SEARCH api_key_uses USING PRIMARY KEY")
                };
                assert_eq!(plan.iter().filter(|step| along(step)).count(), 1, "{sql}: {plan:?}");
                assert!(plan.iter().all(|step| along(step) || of_uses(step)), "{sql}: {plan:?}");
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
        assert!(plan.len() == 1 && plan[0].contains("COVERING INDEX"), "{plan:?}");
    }
}
