//! What the list costs, and what a first visit weighs.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use axum::Router;
use http::request::Parts;
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{KeyAction, Refused};
use tower_api_key::manage::pages::{KeyPages, KeyUsage, UsageCount, UsagePeriod};
use tower_api_key::store::KeyQuery;
use tower_api_key::{KeyId, KeyKind, KeyManager, NewKey, SqliteStore, StoreError};

use crate::common::{get_raw, serve};
use crate::world::{World, catalogue, scheme};

/// Has counts of 30 days of each key, and counts how often it is asked.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

#[async_trait]
impl KeyUsage for Counted {
    async fn usage(
        &self,
        keys: &[KeyId],
        range: Range<SystemTime>,
        period: UsagePeriod,
    ) -> Result<Vec<Vec<UsageCount>>, StoreError> {
        assert_eq!(period, UsagePeriod::Day);
        self.0.fetch_add(1, Ordering::Relaxed);
        let first = range.start.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let day = |day: u64| {
            let at = UNIX_EPOCH + Duration::from_secs(first + day * 86_400);
            UsageCount::accepted(at, 100 + day * 13 % 50).refused("rate_limited", day % 7)
        };
        Ok(vec![(0..30).map(day).collect(); keys.len()])
    }
}

/// The query of the list is one, and so is that of the usage: the number of keys makes no more of them.
#[tokio::test]
async fn a_list_of_a_thousand_keys_asks_for_usage_once_and_takes_little_longer_than_the_list() {
    let store = SqliteStore::in_memory().await.unwrap();
    let keys = KeyManager::new(store).scheme(scheme());
    for number in 0..1000 {
        let key = NewKey::named(format!("key number {number}")).tenant("acme").stage("live");
        let key = key.kind(KeyKind::Secret).abilities(["bots:read", "chat:send"]);
        keys.issue(key.limit("100 per minute")).await.unwrap();
    }
    let owner = |_: &mut Parts, _: &KeyAction| -> Result<Owner, Refused> {
        Ok(Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "alice"))
    };
    let counted = Counted::default();
    let pages = KeyPages::new(keys.clone(), owner)
        .catalogue(catalogue())
        .usage(counted.clone())
        .page_size(1000);
    let address = serve(Router::new().nest("/keys", pages.into_router())).await;
    let page = get_raw(address, "/keys", &[]).await;
    assert_eq!(page.text().matches("class=\"ak-spark\"").count(), 1000);
    assert_eq!(counted.0.load(Ordering::Relaxed), 1);

    // The fastest of several: others use the machine, too. The figures are for people; an order of magnitude
    // is what decides.
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..5 {
        let start = Instant::now();
        get_raw(address, "/keys", &[]).await;
        fastest[0] = fastest[0].min(start.elapsed());
        let start = Instant::now();
        let listed = keys.list(&KeyQuery::new().tenant("acme".parse().unwrap()).limit(1000)).await;
        let now = SystemTime::now();
        let views: Vec<_> = listed
            .unwrap()
            .keys
            .iter()
            .map(|key| tower_api_key::manage::KeyView::new(key, now))
            .collect();
        let json = serde_json::to_string(&views).unwrap();
        fastest[1] = fastest[1].min(start.elapsed());
        assert!(json.len() > 100_000);
    }
    println!("the page takes {:?}, the list alone {:?}", fastest[0], fastest[1]);
    assert!(fastest[0] < 20 * fastest[1], "{fastest:?}");
}

#[tokio::test]
async fn a_first_visit_weighs_at_most_30_kilobytes() {
    let world = World::new().await;
    for number in 0..20 {
        world.live(&format!("Program number {number}")).await;
    }
    let link = regex::Regex::new(r#"(?:href|src)="([^"]*/assets/[^"]*)""#).unwrap();
    let list = world.get("").await;
    let mut paths = vec![crate::world::BASE.to_owned()];
    paths.extend(link.captures_iter(list.text()).map(|found| found[1].to_owned()));
    assert_eq!(paths.len(), 3);
    let mut sum = 0;
    for path in &paths {
        let lines = ["accept-encoding: gzip", "cookie: session=acme"];
        let answer = get_raw(world.address, path, &lines).await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{path}");
        println!("{path}: {} bytes", answer.body.len());
        sum += answer.body.len();
    }
    assert!(sum <= 30_000, "{sum} bytes");
}
