//! Usage: what becomes of hours and days that are too old, and what several nodes add that fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::join_all;
use http::{Request, Response};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::manage::{Owner, UsagePeriod};
use tower_api_key::store::{
    KeyUsage, KeyUse, RecordUses, UsageBatch, UsageBucket, UsageByKeyQuery, UsageCounts, UsageKind,
    UsageOf, UsageQuery, UsageRetention, UsageStep, UsageStore, UsageSums,
};
use tower_api_key::testing::{FakeClock, check_usage_store};
use tower_api_key::{
    ApiKeyLayer, Clock as _, KeyId, KeyManager, KeyRepository, ManageError, NewKey, RequireAbility,
    StoreError, TenantId, UsageRecorder,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Checks everything that a store has to do that sums hours up by itself.
pub async fn check_usage(keys: &(impl KeyRepository + UsageStore + Clone + 'static)) {
    tokio::join!(check_usage_store(keys), check_usage_store(keys));
    check_nodes(keys).await;
    check_pruning(keys).await;
    check_pruning_of_days(keys).await;
}

fn accepted(count: u64) -> UsageCounts {
    let mut counts = UsageCounts::default();
    counts.add(UsageKind::Accepted, count);
    counts
}

/// Hours become days and days go, bit by bit and on two nodes at once, and the sum stays.
async fn check_pruning(keys: &impl UsageStore) {
    let hour =
        |number: u32| SystemTime::UNIX_EPOCH + Duration::from_secs(315_532_800) + number * HOUR;
    let id = KeyId::generate().unwrap();
    let mut rows: Vec<_> = (0..200)
        .map(|number| {
            let mut counts = accepted(1);
            counts.add(UsageKind::Expired, 2);
            KeyUsage::new(id.clone(), None, hour(number), counts)
        })
        .collect();
    // Of a day that is too old as a whole.
    let old = hour(0) - 20 * 24 * HOUR;
    rows.push(KeyUsage::new(id.clone(), None, old, accepted(9)));
    let retention = UsageRetention::days(2, 10);
    keys.add_usage(&UsageBatch::new(id.as_str(), 1, retention, rows)).await.unwrap();
    let now = hour(200);
    let rows = async |step| {
        let query = UsageQuery::new(UsageOf::Key(id.clone()), &(old..now), step);
        keys.usage(&query).await.unwrap()
    };
    assert_eq!(rows(UsageStep::Day).await.len(), 10);
    let node = async || {
        let mut all = 0;
        loop {
            let deleted = keys.prune_usage(retention, now, 7).await.unwrap();
            assert!(deleted <= 21, "{deleted} rows in one go");
            all += deleted;
            if deleted < 7 {
                return all;
            }
        }
    };
    let deleted: u64 = join_all([node(), node()]).await.into_iter().sum();
    // One of them may have left rows to the other.
    let deleted = deleted + node().await;
    assert_eq!(deleted, 144 + 1 + 1 + 1, "hours of six days and one, that day, and its block");
    let hours = rows(UsageStep::Hour).await;
    assert_eq!((hours.len(), hours[0].start), (56, hour(144)));
    let days = rows(UsageStep::Day).await;
    assert_eq!((days.len(), days[0].start), (9, hour(0)));
    assert!(days[..8].iter().all(|day| day.counts.accepted() == 24 && day.counts.refused() == 48));
    // What comes late is summed up as well.
    let late = [KeyUsage::new(id.clone(), None, hour(3), accepted(100))];
    keys.add_usage(&UsageBatch::new(id.as_str(), 2, retention, late)).await.unwrap();
    assert_eq!(rows(UsageStep::Day).await[0].counts.accepted(), 124);
    assert_eq!(node().await, 1);
    assert_eq!(rows(UsageStep::Day).await[0].counts.accepted(), 124);
    // The sums of days are those of the rows.
    let query = UsageByKeyQuery::new([id.clone()], &(old..now), UsageStep::Day);
    let sums = keys.sums_by_key(&query).await.unwrap().remove(&id).unwrap();
    let days: Vec<_> = rows(UsageStep::Day).await.iter().map(UsageSums::from).collect();
    assert_eq!(sums, days);
}

/// Days that are kept together go together, once all of them are too old, and some at a time.
async fn check_pruning_of_days(keys: &impl UsageStore) {
    let day =
        |number: u64| SystemTime::UNIX_EPOCH + Duration::from_secs((6400 + number) * 24 * 3600);
    let retention = UsageRetention::days(1, 10);
    let ids: Vec<_> = (0..10).map(|_| KeyId::generate().unwrap()).collect();
    let used = |id: &KeyId, number| KeyUsage::new(id.clone(), None, day(number), accepted(1));
    // The last day of a block, and the first of the next one.
    let rows = ids.iter().flat_map(|id| [used(id, 31), used(id, 32)]);
    keys.add_usage(&UsageBatch::new(ids[0].as_str(), 1, retention, rows)).await.unwrap();
    let count = async || {
        let query = UsageByKeyQuery::new(ids.clone(), &(day(0)..day(64)), UsageStep::Day);
        keys.sums_by_key(&query).await.unwrap().values().map(Vec::len).sum::<usize>()
    };
    let prune = async |now| keys.prune_usage(retention, now, 4).await.unwrap();
    while prune(day(31) + 9 * 24 * HOUR).await >= 4 {}
    assert_eq!(count().await, 20, "the last day is kept");
    let now = day(32) + 10 * 24 * HOUR;
    for (left, days) in [(16, 4), (12, 4), (10, 2), (10, 0)] {
        // As many rows of days, which are too old as well.
        assert_eq!(prune(now).await, 2 * days);
        assert_eq!(count().await, left);
    }
}

/// A way to a store that loses answers, and requests.
struct Lossy<S> {
    store: S,
    calls: AtomicU64,
}

impl<S> Lossy<S> {
    /// Returns whether it is done, and whether that is told.
    fn fate(&self) -> (bool, bool) {
        // No pattern that the recorder could be in step with.
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        match (call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61) % 4 {
            0 => (true, false),
            1 => (false, false),
            _ => (true, true),
        }
    }
}

#[async_trait]
impl<S: UsageStore> RecordUses for Lossy<S> {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        self.store.record_uses(uses).await
    }
}

#[async_trait]
impl<S: UsageStore> UsageStore for Lossy<S> {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        let (is_done, is_told) = self.fate();
        if is_done {
            self.store.add_usage(batch).await?;
        }
        if is_told { Ok(()) } else { Err(StoreError::new("the answer was lost")) }
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        self.store.usage(query).await
    }

    async fn usage_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError> {
        self.store.usage_by_key(query).await
    }

    async fn prune_usage(
        &self,
        retention: UsageRetention,
        now: SystemTime,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        self.store.prune_usage(retention, now, at_most).await
    }
}

/// Several nodes count the requests of a few keys over some hours, and lose answers: what is kept is what
/// there was.
async fn check_nodes(keys: &(impl KeyRepository + UsageStore + Clone + 'static)) {
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_699_999_200));
    let manager = KeyManager::new(keys.clone());
    let tenant = KeyId::generate().unwrap();
    let mut issued = Vec::new();
    for number in 0..6 {
        let key = NewKey::named(format!("robot {number}")).tenant(tenant.as_str());
        let key = if number % 2 == 0 { key.abilities(["bots:read"]) } else { key };
        issued.push(manager.issue(key).await.unwrap());
    }
    let nodes: Vec<_> = (0..3)
        .map(|_| {
            let lossy = Lossy { store: keys.clone(), calls: AtomicU64::new(0) };
            let usage = UsageRecorder::builder(Arc::new(lossy)).clock(clock.clone()).build();
            let layer = ApiKeyLayer::new(keys.clone()).observer(usage.clone());
            (usage, layer.guard(RequireAbility::new("bots:read")))
        })
        .collect();
    let ok = service_fn(async |_: Request<String>| {
        Ok::<_, std::convert::Infallible>(Response::new(String::new()))
    });
    let begin = clock.now();
    for hour in 0..4_usize {
        for (number, key) in issued.iter().enumerate() {
            for (place, (usage, layer)) in nodes.iter().enumerate() {
                for _ in 0..=(number + place + hour) {
                    let secret = key.secret.reveal();
                    let request = Request::builder().header("x-api-key", secret);
                    let request = request.body(String::new()).unwrap();
                    let status = layer.layer(ok).oneshot(request).await.unwrap().status();
                    assert_eq!(status, if number % 2 == 0 { 200 } else { 403 });
                }
                let _ = usage.flush().await;
            }
        }
        clock.advance(HOUR);
    }
    for (usage, _) in &nodes {
        let mut attempts = 0;
        while usage.shutdown().await.is_err() {
            attempts += 1;
            assert!(attempts < 200, "the store answers now and then");
        }
    }
    let range = begin..clock.now();
    let expected = |number: usize, hour: usize| -> u64 {
        (0..3).map(|place| 1 + number + place + hour).sum::<usize>() as u64
    };
    for (number, key) in issued.iter().enumerate() {
        let id = key.record.id();
        let usage = manager.usage(id, range.clone(), UsagePeriod::Hour).await.unwrap();
        let counted: Vec<_> = usage.buckets.iter().map(|bucket| bucket.counts.total()).collect();
        assert_eq!(counted, (0..4).map(|hour| expected(number, hour)).collect::<Vec<_>>());
        let kind = if number % 2 == 0 { UsageKind::Accepted } else { UsageKind::MissingAbility };
        assert_eq!(usage.total.of(kind), usage.total.total());
        let stored = manager.get(id).await.unwrap();
        assert_eq!(stored.last_used_at.is_some(), number % 2 == 0);
    }
    let all: u64 = (0..6).flat_map(|number| (0..4).map(move |hour| expected(number, hour))).sum();
    let tenant: TenantId = tenant.as_str().parse().unwrap();
    let total = async || {
        let usage = manager.tenant_usage(&tenant, range.clone(), UsagePeriod::Month).await;
        usage.unwrap().total.total()
    };
    assert_eq!(total().await, all);
    // Usage outlives its key, for those who may see everything.
    let removed = issued[0].record.id();
    manager.revoke(removed).await.unwrap();
    manager.prune(SystemTime::now() + HOUR).await.unwrap();
    assert!(matches!(manager.get(removed).await, Err(ManageError::NotFound)));
    assert_eq!(total().await, all);
    let usage = manager.usage(removed, range.clone(), UsagePeriod::Day).await.unwrap();
    assert_eq!(usage.total.accepted(), (0..4).map(|hour| expected(0, hour)).sum::<u64>());
    let abilities = issued[2].record.abilities().clone();
    let owner = Owner::of_tenant(tenant.clone(), abilities.clone(), "alice");
    let owner = || manager.on_behalf_of(owner.clone());
    let bounded = async |id| owner().usage(id, range.clone(), UsagePeriod::Day).await;
    assert!(bounded(issued[2].record.id()).await.is_ok());
    assert!(matches!(bounded(removed).await, Err(ManageError::NotFound)));
    // Several at once, of which an owner sees those of its tenant.
    let by_key = async |manager: &KeyManager, ids: &[KeyId]| -> Vec<(KeyId, u64)> {
        let ids = ids.iter().cloned();
        let usage = manager.usage_by_key(ids, range.clone(), UsagePeriod::Month).await.unwrap();
        usage.into_iter().map(|(id, usage)| (id, usage.total.total())).collect()
    };
    let counted = (0..6).map(|number| {
        let sum = (0..4).map(|hour| expected(number, hour)).sum::<u64>();
        (issued[number].record.id().clone(), sum)
    });
    let mut counted: Vec<_> = counted.collect();
    counted.sort();
    let mut ids: Vec<_> = counted.iter().map(|(id, _)| id.clone()).collect();
    ids.extend([KeyId::generate().unwrap(), ids[0].clone()]);
    assert_eq!(by_key(&manager, &ids).await, counted);
    assert_eq!(by_key(&owner(), &ids).await, counted);
    let others = Owner::of_tenant("globex".parse().unwrap(), abilities.clone(), "bob");
    assert_eq!(by_key(&manager.on_behalf_of(others), &ids).await, []);
    assert_eq!(by_key(&manager, &[]).await, []);
    let too_many = (0..2000).map(|_| KeyId::generate().unwrap());
    let days = clock.now() - 21 * 24 * HOUR..clock.now();
    let refused = manager.usage_by_key(too_many, days, UsagePeriod::Day).await;
    assert!(matches!(refused, Err(ManageError::UsageRange)));
    let stranger = manager.issue(NewKey::named("stranger").tenant("globex")).await.unwrap();
    assert!(matches!(bounded(stranger.record.id()).await, Err(ManageError::NotFound)));
}
