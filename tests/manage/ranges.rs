//! Times that no store keeps, and the first and the last that every store keeps.

use std::time::{Duration, SystemTime};

use tower_api_key::key::KeyHasher;
use tower_api_key::manage::{ImportOutcome, ImportRefusal, UsagePeriod};
use tower_api_key::store::{AuditQuery, KeyQuery};
use tower_api_key::{KeyId, KeyManager, KeyRecord, KeyUpdate, ManageError, NewKey};

use crate::stores::{Store, over_each_store};

over_each_store! {
    times_that_no_store_keeps_are_refused_as_fields
    a_record_with_a_time_that_no_store_keeps_is_not_imported
    any_time_can_be_asked_for
}

/// The last nanosecond of the year 9999.
fn last() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(253_402_300_799, 999_999_999)
}

fn odd_times() -> [SystemTime; 4] {
    [
        SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 40),
        SystemTime::UNIX_EPOCH - Duration::from_nanos(1),
        last() + Duration::from_nanos(1),
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60),
    ]
}

#[track_caller]
fn assert_invalid<T>(result: Result<T, ManageError>, expected: &[&str]) {
    let Err(ManageError::Invalid(invalid)) = &result else {
        panic!("{:?}", result.err());
    };
    let fields: Vec<_> = invalid.iter().map(|invalid| invalid.field()).collect();
    assert_eq!(fields, expected);
    assert!(invalid.to_string().contains("1970 to 9999"), "{invalid}");
}

async fn times_that_no_store_keeps_are_refused_as_fields(store: Store) {
    let keys = KeyManager::new(store);
    let old = keys.issue(NewKey::named("old")).await.unwrap().record;
    for time in odd_times() {
        let both = NewKey::named("new").expires_at(time).rotation_due_at(time);
        assert_invalid(keys.issue(both).await, &["expires_at", "rotation_due_at"]);
        let due = KeyUpdate::new().rotation_due_at(time);
        assert_invalid(keys.update(old.id(), &due).await, &["rotation_due_at"]);
        let both = KeyUpdate::new().expires_at(time).rotation_due_at(None);
        assert_invalid(keys.update(old.id(), &both).await, &["expires_at"]);
    }
    assert_eq!(keys.get(old.id()).await.unwrap().record, old);
    // The last time of all is kept, to the microsecond.
    let new = NewKey::named("new").expires_at(last()).rotation_due_at(last());
    let new = keys.issue(new).await.unwrap().record;
    let kept = keys.get(new.id()).await.unwrap().record;
    assert_eq!(kept.expires_at(), Some(last() - Duration::from_nanos(999)));
    assert_eq!(kept, new);
}

async fn a_record_with_a_time_that_no_store_keeps_is_not_imported(store: Store) {
    let keys = KeyManager::new(store);
    let record = |change: &dyn Fn(&mut KeyRecord)| {
        let id = KeyId::generate().unwrap();
        let digest = KeyHasher::sha256().digest(id.as_str());
        let mut record = KeyRecord::new(id, digest, "imported", SystemTime::now());
        change(&mut record);
        record
    };
    for time in odd_times() {
        let records = [
            record(&|record| record.set_created_at(time)),
            record(&|record| record.set_expires_at(Some(time))),
            record(&|record| record.set_revoked_at(Some(time))),
            record(&|record| record.set_rotation_due_at(Some(time))),
            record(&|_| ()),
        ];
        let outcomes = keys.importer().add(records).await.unwrap();
        let (last, refused) = outcomes.split_last().unwrap();
        assert_eq!(*last, ImportOutcome::Imported);
        let fields = ["created_at", "expires_at", "revoked_at", "rotation_due_at"];
        for (outcome, field) in refused.iter().zip(fields) {
            let ImportOutcome::Refused(ImportRefusal::Rule(rule)) = outcome else {
                panic!("{outcome:?}");
            };
            assert!(rule.contains(field) && rule.contains("1970 to 9999"), "{rule}");
        }
    }
}

async fn any_time_can_be_asked_for(store: Store) {
    let keys = KeyManager::new(store);
    let id = keys.issue(NewKey::named("a key")).await.unwrap().record.id().clone();
    let times = odd_times().into_iter().chain([SystemTime::UNIX_EPOCH, last()]);
    let times: Vec<_> = times.collect();
    for (number, time) in times.iter().copied().enumerate() {
        let is_later = time > SystemTime::now();
        let unused = KeyQuery::new().unused_since(time);
        assert_eq!(keys.list(&unused).await.unwrap().keys.len(), usize::from(is_later));
        let due = KeyQuery::new().rotation_due_by(time);
        assert_eq!(keys.list(&due).await.unwrap().keys.len(), 0);
        for (query, expected) in [
            (AuditQuery::new().key(id.clone()).since(time), !is_later),
            (AuditQuery::new().key(id.clone()).until(time), is_later),
        ] {
            match keys.audit_log(&query).await {
                Ok(page) => assert_eq!(page.entries.len(), usize::from(expected)),
                Err(error) => assert!(matches!(error, ManageError::NoAuditLog), "{error}"),
            }
        }
        for to in &times[number..] {
            for period in [UsagePeriod::Hour, UsagePeriod::Day, UsagePeriod::Month] {
                match keys.usage(&id, time..*to, period).await {
                    Ok(usage) => assert_eq!(usage.buckets.len(), 0),
                    Err(error) => assert!(matches!(error, ManageError::UsageRange), "{error}"),
                }
            }
        }
        assert_eq!(keys.prune(time).await.unwrap(), 0);
    }
}
