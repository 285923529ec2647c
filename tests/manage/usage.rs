//! How often keys were used, as owners are told it.

use std::time::{Duration, SystemTime};

use tower_api_key::manage::{Owner, UsagePeriod};
use tower_api_key::store::{
    KeyUsage, UsageBatch, UsageCounts, UsageKind, UsageRetention, UsageStore as _,
};
use tower_api_key::{KeyManager, KeyRecord, ManageError, MemoryStore, NewKey, TenantId};

use crate::common::MemoryKeys as _;

const DAY: Duration = Duration::from_secs(86_400);

/// As it does when the keys of a customer are brought from elsewhere: usage outlives its key.
#[tokio::test]
async fn an_owner_is_not_told_of_the_use_of_a_key_of_another_tenant_that_had_the_id_before() {
    let store = MemoryStore::new();
    let keys = KeyManager::new(store.clone());
    let record = keys.issue(NewKey::named("of globex").tenant("globex")).await.unwrap().record;
    let (id, now) = (record.id().clone(), SystemTime::now());
    let mut counts = UsageCounts::default();
    counts.add(UsageKind::Accepted, 40);
    let row = KeyUsage::new(id.clone(), record.tenant().cloned(), now, counts);
    let batch = UsageBatch::new("a writer", 1, UsageRetention::default(), [row]);
    store.add_usage(&batch).await.unwrap();

    let mut record = KeyRecord::clone(&record);
    let acme: TenantId = "acme".parse().unwrap();
    record.set_tenant(Some(acme.clone()));
    store.remove(&id).unwrap();
    store.insert(record);
    let alice = keys.on_behalf_of(Owner::of_tenant(acme, Vec::new().into(), "alice"));
    let range = || now - DAY..now + DAY;
    let usage = alice.usage(&id, range(), UsagePeriod::Day).await.unwrap();
    assert_eq!(usage.total.total(), 0);
    assert!(alice.usage_by_key([id.clone()], range(), UsagePeriod::Day).await.unwrap().is_empty());
    let usage = keys.usage(&id, range(), UsagePeriod::Day).await.unwrap();
    assert_eq!(usage.total.total(), 40, "the application knows both");
}

#[tokio::test]
async fn usage_of_a_time_that_no_calendar_has_is_an_error() {
    let keys = KeyManager::new(MemoryStore::new());
    let id = keys.issue(NewKey::named("a key").tenant("acme")).await.unwrap().record.id().clone();
    let end = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    for period in UsagePeriod::ALL {
        for last in [253_402_300_800, i64::MAX as u64 - 1, i64::MAX as u64] {
            let range = || end(last) - DAY..end(last);
            let results = [
                keys.usage(&id, range(), period).await.map(drop),
                keys.tenant_usage(&"acme".parse().unwrap(), range(), period).await.map(drop),
                keys.usage_by_key([id.clone()], range(), period).await.map(drop),
            ];
            for result in results {
                assert!(matches!(result, Err(ManageError::UsageRange)), "{period:?}: {result:?}");
            }
        }
        // The last day that there is.
        let last = end(253_402_300_799);
        let usage = keys.usage(&id, last - DAY / 2..last, period).await.unwrap();
        assert_eq!(usage.total.total(), 0);
    }
}
