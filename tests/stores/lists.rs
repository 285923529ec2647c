//! Lists: every store lists what `KeyQuery::matches` says, in order and once, however little a page
//! may visit.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;
use tower_api_key::store::{
    Actor, KeyChange, KeyCursor, KeyQuery, KeyState, KeyUse, RecordUses, StoredKey, TenantFilter,
};
use tower_api_key::{KeyKind, KeyRecord, KeyRepository, KeyScheme, NewKey, TenantId};

use crate::each_store;
use crate::sql::at;

/// When keys are issued, end, are due and are asked for: few moments, so that they meet. Two are
/// less than a second apart.
const MOMENTS: [u64; 5] = [
    1_600_000_000_000_000,
    1_600_000_000_000_001,
    1_600_000_000_500_000,
    1_600_000_001_000_000,
    1_600_000_060_000_000,
];

const NAMES: [&str; 5] =
    ["Nightly Import", "nightly export", "ETL \u{c9}t\u{e9}", "100%_\\ done", "\u{df}\"'"];

const PARTS: [&str; 9] = ["", "NIGHT", "port", "\u{e9}", "\u{c9}T", "%", "_\\", "\"'", "a\0b"];

fn moment() -> impl Strategy<Value = SystemTime> {
    prop::sample::select(&MOMENTS[..]).prop_map(at)
}

/// A moment that may be between two of those that are kept.
fn any_moment() -> impl Strategy<Value = SystemTime> {
    (moment(), prop::sample::select(vec![0, 1, 999]))
        .prop_map(|(time, nanoseconds)| time + Duration::from_nanos(nanoseconds))
}

fn tenant() -> impl Strategy<Value = Option<TenantId>> {
    prop::sample::select(vec![Some("acme"), Some("globex"), None])
        .prop_map(|tenant| tenant.map(|tenant| tenant.parse().unwrap()))
}

fn actor() -> impl Strategy<Value = Actor> {
    let key = Actor::Key("key_7".parse().unwrap());
    prop::sample::select(vec![Actor::System, key, Actor::from("alice"), Actor::from("system")])
}

fn any_record() -> impl Strategy<Value = (KeyRecord, Option<SystemTime>)> {
    let texts = (prop::sample::select(&NAMES[..]), tenant(), prop::option::of(actor()));
    let flags = (any::<bool>(), any::<bool>(), prop::option::of(any::<bool>()));
    let optional = [(); 4].map(|()| prop::option::weighted(0.3, moment()));
    (texts, flags, moment(), optional).prop_map(|(texts, flags, created_at, optional)| {
        let (name, tenant, created_by) = texts;
        let (is_public, disabled, stage) = flags;
        let key = NewKey::named(name).origins(["https://shop.example"]);
        let key = if is_public { key.kind(KeyKind::Public) } else { key };
        let issued = key.generate(&KeyScheme::default()).unwrap();
        let mut record = KeyRecord::clone(&issued.record);
        record.set_created_at(created_at);
        record.set_tenant(tenant);
        record.set_created_by(created_by);
        record.set_disabled(disabled);
        record
            .set_stage(stage.map(|is_live| if is_live { "live" } else { "test" }.parse().unwrap()));
        let [expires_at, revoked_at, due_at, used_at] = optional;
        record.set_expires_at(expires_at);
        record.set_revoked_at(revoked_at);
        record.set_rotation_due_at(due_at);
        (record, used_at)
    })
}

fn any_query() -> impl Strategy<Value = KeyQuery> {
    fn sometimes<S: Strategy>(strategy: S) -> impl Strategy<Value = Option<S::Value>>
    where
        S::Value: Clone,
    {
        prop::option::weighted(0.25, strategy)
    }
    let tenants = prop::option::weighted(0.6, tenant());
    let texts = (
        sometimes(prop::sample::select(&PARTS[..])),
        sometimes(prop::sample::select(vec!["live", "test", "prod"])),
        sometimes(prop::sample::select(vec![KeyKind::Secret, KeyKind::Public])),
        sometimes(actor()),
    );
    let state = prop::option::weighted(0.5, prop::sample::select(&KeyState::ALL[..]));
    let times = (any_moment(), sometimes(any_moment()), sometimes(any_moment()));
    let pages = (1usize..9, prop::sample::select(vec![1, 2, 5, 12, 10_000]));
    (tenants, state, texts, times, pages).prop_map(|(tenant, state, texts, times, pages)| {
        let mut query = KeyQuery::new().limit(pages.0).max_visited(pages.1);
        query.tenant = tenant.map_or(TenantFilter::Any, TenantFilter::from);
        query.state = state;
        let (name, stage, kind, created_by) = texts;
        query.name = name.map(str::to_owned);
        query.stage = stage.map(|stage| stage.parse().unwrap());
        query.kind = kind;
        query.created_by = created_by;
        (query.at, query.unused_since, query.rotation_due_by) = times;
        query
    })
}

/// Lists what a query asks for, page by page, and checks that pages go on and end.
async fn listed(keys: &dyn KeyRepository, query: &KeyQuery) -> Vec<StoredKey> {
    let (mut query, mut listed) = (query.clone(), Vec::new());
    for _ in 0..1000 {
        let page = keys.list(&query).await.unwrap();
        assert!(page.keys.len() <= query.limit);
        listed.extend(page.keys);
        let Some(next) = page.next else { return listed };
        assert!(query.after.as_ref().is_none_or(|before| next < *before), "it goes back");
        query = query.after(next);
    }
    panic!("it does not end: {query:?}");
}

/// Any keys, listed by any queries, against the one place that says which keys those are.
fn check_lists(runtime: &Runtime, keys: &(impl KeyRepository + RecordUses)) {
    let mut runner = TestRunner::new(Config::default());
    let sixty = prop::collection::vec(any_record(), 60).new_tree(&mut runner).unwrap().current();
    runtime.block_on(async {
        for (record, used_at) in &sixty {
            keys.commit(&[KeyChange::Insert(Arc::new(record.clone()))], &[]).await.unwrap();
            let used = used_at.map(|at| KeyUse::new(record.id().clone(), at));
            keys.record_uses(&Vec::from_iter(used)).await.unwrap();
        }
    });
    let acme: TenantId = "acme".parse().unwrap();
    for suspends in [false, true] {
        if suspends {
            let since = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
            assert!(runtime.block_on(keys.set_suspended(&acme, since, &[])).unwrap());
        }
        let stored = sixty.iter().map(|(record, used_at)| {
            let mut record = record.clone();
            record.set_suspended(suspends && record.tenant() == Some(&acme));
            StoredKey::new(record.into(), *used_at)
        });
        check_queries(runtime, keys, stored.collect());
    }
}

fn check_queries(runtime: &Runtime, keys: &impl KeyRepository, mut stored: Vec<StoredKey>) {
    stored.sort_by_key(|key| Reverse(KeyCursor::of(&key.record)));
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&any_query(), |query| {
        let expected: Vec<_> = stored.iter().filter(|key| query.matches(key)).cloned().collect();
        let found = runtime.block_on(listed(keys, &query));
        prop_assert_eq!(found, expected);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_store_in_memory_lists_what_queries_match() {
    each_store::in_memory(check_lists);
}

#[test]
fn a_store_in_sqlite_lists_what_queries_match() {
    each_store::in_sqlite(check_lists);
}

#[test]
#[ignore = "needs PostgreSQL: run tests/all"]
fn a_store_in_postgres_lists_what_queries_match() {
    each_store::in_postgres("lists", check_lists);
}

#[test]
#[ignore = "needs Redis: run tests/all"]
fn a_store_in_redis_lists_what_queries_match() {
    each_store::in_redis("lists", check_lists);
}
