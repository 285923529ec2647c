//! The events that stores have kept: by key, tenant, actor and time, page by page.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tower_api_key::manage::{Excess, Owner};
use tower_api_key::store::{
    Actor, AuditAction, AuditCursor, AuditEntry, AuditEvent, AuditQuery, TenantFilter,
};
use tower_api_key::{
    KeyHasher, KeyManager, KeyRecord, KeyRepository, KeyUpdate, ManageError, MemoryStore, NewKey,
};

use crate::common::in_time;
use crate::stores::{Store, over_each_store};
use crate::world::{World, assert_blamed, over_each_database};

over_each_store! {
    pages_follow_one_another_whatever_is_asked_for
    an_owner_sees_the_events_of_its_tenant
    old_events_are_removed_and_no_others
}

mod api {
    use super::{
        Value, World, assert_blamed, json, over_each_database, what_a_removed_key_went_through,
    };

    over_each_database! {
        the_events_of_a_key_are_listed
        the_events_of_others_are_answered_as_those_of_nobody
    }

    async fn the_events_of_a_key_are_listed(world: &World) {
        let (id, secret) = world.create("nightly import").await;
        let renamed = world.alice("PATCH", &format!("/{id}"), r#"{"name":"hourly import"}"#).await;
        assert_eq!(renamed.status, 200);
        world.alice("DELETE", &format!("/{id}"), "").await;
        let page = world.alice("GET", &format!("/{id}/audit"), "").await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(!page.text().contains(&secret) && !page.text().contains("digest"));
        let page = page.json();
        assert_eq!((&page["success"], &page["next_cursor"]), (&json!(true), &Value::Null));
        let events = page["data"].as_array().unwrap();
        let actions: Vec<_> = events.iter().map(|event| &event["action"]).collect();
        assert_eq!(actions, ["revoked", "updated", "issued"]);
        for event in events {
            assert_eq!(event["actor"], "name:alice@acme.example");
            assert_eq!(event["key_id"], *id);
        }
        assert_eq!(events[0]["before"]["state"], "active");
        assert_eq!(events[0]["after"]["state"], "revoked");
        assert_eq!(events[1]["before"]["name"], "nightly import");
        assert_eq!(events[1]["after"]["name"], "hourly import");
        assert_eq!((&events[2]["before"], &events[2]["after"]["id"]), (&Value::Null, &json!(id)));

        let mut cursor = String::new();
        let mut paged = Vec::new();
        loop {
            let path = format!("/{id}/audit?limit=1{cursor}");
            let page = world.alice("GET", &path, "").await.json();
            paged.extend(page["data"].as_array().unwrap().clone());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, *events);
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=x", "limit"),
            ("cursor=x", "cursor"),
            ("cursor=1.1&cursor=1.1", "cursor"),
            ("state=active", "state"),
        ] {
            let refused = world.alice("GET", &format!("/{id}/audit?{query}"), "").await;
            assert_blamed(&refused, 400, field);
        }
        what_a_removed_key_went_through(world, &id).await;
    }

    async fn the_events_of_others_are_answered_as_those_of_nobody(world: &World) {
        let foreign = tower_api_key::NewKey::named("foreign").tenant("globex");
        let foreign = world.issue(foreign).await.record.id().clone();
        let unknown = world.alice("GET", "/key_unknown/audit", "").await;
        let foreign = world.alice("GET", &format!("/{foreign}/audit"), "").await;
        assert_eq!((unknown.status, foreign.status), (404, 404));
        assert_eq!(unknown.body, foreign.body);
    }
}

/// Events outlive their key.
async fn what_a_removed_key_went_through(world: &World, id: &str) {
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(world.keys.prune(SystemTime::now()).await.unwrap(), 1);
    let page = world.alice("GET", &format!("/{id}/audit?limit=1"), "").await.json();
    let event = &page["data"][0];
    assert_eq!((&event["action"], &event["after"]), (&json!("removed"), &Value::Null));
    assert_eq!(event["actor"], "system");
    assert_eq!(world.alice("GET", &format!("/{id}"), "").await.status, 404);
}

/// Returns the events of all pages.
async fn all(keys: &KeyManager, query: &AuditQuery) -> Vec<AuditEntry> {
    let (mut query, mut all) = (query.clone(), Vec::new());
    loop {
        let page = keys.audit_log(&query).await.unwrap();
        assert!(page.entries.len() <= query.limit);
        all.extend(page.entries);
        let Some(next) = page.next else { return all };
        // Clients have it as text.
        query = query.after(next.to_string().parse::<AuditCursor>().unwrap());
    }
}

/// Tells whether the store keeps events.
async fn keeps_events(keys: &KeyManager) -> bool {
    match keys.audit_log(&AuditQuery::new()).await {
        Ok(_) => true,
        Err(error) => {
            assert!(matches!(error, ManageError::NoAuditLog), "{error}");
            let pruned = keys.prune_audit_log(SystemTime::now()).await;
            assert!(matches!(pruned, Err(ManageError::NoAuditLog)));
            false
        }
    }
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
}

fn event((second, actor, key): (u64, usize, usize)) -> AuditEvent {
    let actors = [Actor::System, Actor::from("alice"), Actor::from("key:key_1")];
    let digest = KeyHasher::sha256().digest("k");
    let mut record = KeyRecord::new(format!("key_{key}").parse().unwrap(), digest, "name", at(0));
    // Each tenant has two keys, and two have none.
    record.set_tenant((key > 1).then(|| format!("tenant-{}", key / 2).parse().unwrap()));
    let record = Some(Arc::new(record));
    AuditEvent::new(at(second), actors[actor].clone(), AuditAction::Updated, None, record)
}

fn any_query() -> impl Strategy<Value = AuditQuery> {
    let time = || prop::option::of(0u64..12);
    let tenant = prop_oneof![
        Just(TenantFilter::Any),
        Just(TenantFilter::Nobody),
        (1usize..4)
            .prop_map(|number| { TenantFilter::Of(format!("tenant-{number}").parse().unwrap()) }),
    ];
    let key = prop::option::of(0usize..8);
    let actor = prop::option::of(0usize..3);
    (tenant, key, actor, time(), time(), any::<bool>(), 1usize..30).prop_map(
        |(tenant, key, actor, since, until, newest_first, limit)| {
            let mut query = AuditQuery::new().limit(limit);
            query.tenant = tenant;
            query.key_id = key.map(|key| format!("key_{key}").parse().unwrap());
            query.actor = actor.map(|actor| event((0, actor, 0)).actor);
            query.since = since.map(at);
            query.until = until.map(at);
            query.newest_first = newest_first;
            query
        },
    )
}

/// Of events many of which are of the same moment, the pages have those that are asked for, each once
/// and in order.
async fn pages_follow_one_another_whatever_is_asked_for(store: Store) {
    let keys = KeyManager::new(store.clone());
    if !keeps_events(&keys).await {
        return;
    }
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let events = prop::collection::vec((0u64..12, 0usize..3, 0usize..8), 200);
    let events = events.prop_map(|events| events.into_iter().map(event).collect::<Vec<_>>());
    let events = events.new_tree(&mut runner).unwrap().current();
    for part in events.chunks(70) {
        store.commit(&[], part).await.unwrap();
    }
    // As they were kept, in the order of their numbers.
    let mut kept = all(&keys, &AuditQuery::new().limit(1000)).await;
    kept.sort_by_key(|entry| entry.number);
    assert_eq!(kept.len(), events.len());
    for (kept, event) in kept.iter().zip(&events) {
        assert_eq!((kept.at, &kept.actor), (event.at, &event.actor.to_string()));
        assert_eq!(kept.after.as_ref().unwrap()["id"], event.key_id().unwrap().as_str());
        assert_eq!(kept.after.as_ref().unwrap().get("digest"), None);
    }
    kept.sort_by_key(|entry| (entry.at, entry.number));
    for _ in 0..60 {
        let query = any_query().new_tree(&mut runner).unwrap().current();
        let is_asked = |entry: &&AuditEntry| {
            let tenant = entry.tenant.as_ref().map(|tenant| tenant.parse().unwrap());
            query.tenant.matches(tenant.as_ref())
                && query
                    .key_id
                    .as_ref()
                    .is_none_or(|id| entry.key_id.as_deref() == Some(id.as_str()))
                && query.actor.as_ref().is_none_or(|actor| entry.actor == actor.to_string())
                && query.since.is_none_or(|since| entry.at >= since)
                && query.until.is_none_or(|until| entry.at < until)
        };
        let mut expected: Vec<_> = kept.iter().filter(is_asked).cloned().collect();
        if query.newest_first {
            expected.reverse();
        }
        assert_eq!(in_time(all(&keys, &query)).await, expected, "{query:?}");
    }
}

async fn an_owner_sees_the_events_of_its_tenant(store: Store) {
    let keys = KeyManager::new(store.clone());
    if !keeps_events(&keys).await {
        return;
    }
    let issue = async |tenant| {
        let key = NewKey::named("a key").tenant(tenant).abilities(["api-keys:read"]);
        keys.issue(key).await.unwrap()
    };
    let (own, foreign) = (issue("acme").await, issue("globex").await);
    keys.issue(NewKey::named("of nobody")).await.unwrap();
    keys.update(own.record.id(), &KeyUpdate::new().name("renamed")).await.unwrap();
    let alice = Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "alice");
    let key = crate::meanwhile::verified(&store, &own.secret).await;
    for owner in [alice, Owner::of_key(&key)] {
        let owned = keys.on_behalf_of(owner);
        let mut of_nobody = AuditQuery::new();
        of_nobody.tenant = TenantFilter::Nobody;
        let foreigners = AuditQuery::new().tenant("globex");
        for query in [AuditQuery::new(), foreigners, of_nobody] {
            let tenants: BTreeSet<_> =
                all(&owned, &query).await.into_iter().map(|event| event.tenant).collect();
            assert_eq!(tenants, BTreeSet::from([Some("acme".to_owned())]));
        }
        let of_foreign = AuditQuery::new().key(foreign.record.id().clone());
        assert!(all(&owned, &of_foreign).await.is_empty());
        let pruned = owned.prune_audit_log(SystemTime::now()).await;
        assert!(matches!(pruned, Err(ManageError::Exceeds(Excess::Management))), "{pruned:?}");
    }
    assert_eq!(all(&keys, &AuditQuery::new()).await.len(), 4);
    // After its revocation was acknowledged, a key reads nothing more.
    keys.revoke(own.record.id()).await.unwrap();
    let late = keys.on_behalf_of(&key).audit_log(&AuditQuery::new()).await;
    assert!(matches!(late, Err(ManageError::Exceeds(Excess::Inactive))), "{late:?}");
}

async fn old_events_are_removed_and_no_others(store: Store) {
    let keys = KeyManager::new(store.clone());
    if !keeps_events(&keys).await {
        return;
    }
    let events: Vec<_> = (0..2500).map(|number| event((number / 100, 0, 1))).collect();
    for part in events.chunks(500) {
        store.commit(&[], part).await.unwrap();
    }
    let mut steps = Vec::new();
    let removed = keys.prune_audit_log_with(at(20), |removed| {
        steps.push(removed);
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(removed.await.unwrap(), 2000);
    assert_eq!(steps, [1000, 2000, 2000]);
    let left = all(&keys, &AuditQuery::new().limit(1000)).await;
    assert_eq!(left.len(), 500);
    assert!(left.iter().all(|event| event.at >= at(20)));
    assert_eq!(keys.prune_audit_log(at(20)).await.unwrap(), 0);
    // Nothing of the future is removed.
    let mut late = event((0, 0, 1));
    late.at = SystemTime::now() + Duration::from_secs(3600);
    store.commit(&[], &[late]).await.unwrap();
    let far = SystemTime::now() + Duration::from_secs(7200);
    assert_eq!(keys.prune_audit_log(far).await.unwrap(), 500);
    assert_eq!(all(&keys, &AuditQuery::new()).await.len(), 1);
}

#[tokio::test]
async fn a_store_in_memory_forgets_the_oldest_events() {
    let store = MemoryStore::new();
    let events: Vec<_> = (0..6000).map(|number| event((number, 0, 1))).collect();
    store.commit(&[], &events).await.unwrap();
    store.commit(&[], &events).await.unwrap();
    let all = all(&KeyManager::new(store), &AuditQuery::new().limit(1000)).await;
    assert_eq!(all.len(), 10_000);
    assert_eq!(all.iter().map(|event| event.number).min(), Some(2001));
}
