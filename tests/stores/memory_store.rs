//! The store in memory: changes are seen at once, and threads lose none.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::SystemTime;

use axum::Router;
use axum::routing::get;
use tower_api_key::store::{CommitError, KeyChange};
use tower_api_key::{
    ApiKeyLayer, Immediate, KeyDigest, KeyRecord, KeyRepository as _, KeyStore as _, MemoryStore,
    NewKey, RequireAbility,
};

use crate::common::MemoryKeys as _;
use crate::common::{serve, tell_kind};
use crate::sql::usage::check_usage;

fn look(keys: &MemoryStore, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
    let Immediate::Answer(found) = keys.find_now(digest) else { panic!("the store is in memory") };
    found
}

#[tokio::test]
async fn a_change_of_a_key_is_seen_by_the_next_request_on_the_same_connection() {
    let keys = MemoryStore::new();
    let route = get(async || "in").layer(RequireAbility::new("bots:read"));
    let app = Router::new().route("/", route).layer(ApiKeyLayer::new(keys.clone()));
    let url = format!("http://{}/", serve(tell_kind(app)).await);
    let client = reqwest::Client::new();
    let issued = keys.issue(NewKey::named("x").abilities(["bots:read"])).unwrap();
    let (id, key) = (issued.record.id(), issued.secret.reveal());
    let answer = async || {
        let response = client.get(&url).header("x-api-key", key).send().await.unwrap();
        let kind = response.headers().get("x-kind").map(|kind| kind.to_str().unwrap().to_owned());
        kind.unwrap_or_else(|| response.status().to_string())
    };
    assert_eq!(answer().await, "200 OK");
    assert!(keys.set_disabled(id, true));
    assert_eq!(answer().await, "disabled");
    assert!(keys.set_disabled(id, false));
    assert_eq!(answer().await, "200 OK");
    let past = Some(SystemTime::UNIX_EPOCH);
    keys.update(id, |record| record.set_expires_at(past)).unwrap();
    assert_eq!(answer().await, "expired");
    keys.update(id, |record| record.set_expires_at(None)).unwrap();
    assert_eq!(answer().await, "200 OK");
    keys.update(id, |record| record.set_abilities(Default::default())).unwrap();
    assert_eq!(answer().await, "missing_ability");
    keys.remove(id).unwrap();
    assert_eq!(answer().await, "unknown");
    keys.insert(Arc::clone(&issued.record));
    assert_eq!(answer().await, "200 OK");
    assert!(keys.revoke(id));
    assert_eq!(answer().await, "revoked");
    let mut taken_back = KeyRecord::clone(&keys.record(id).unwrap());
    taken_back.set_revoked_at(None);
    taken_back.set_revision(taken_back.revision() + 1);
    let taken_back = keys.commit(&[KeyChange::Replace(taken_back.into())], &[]).await;
    assert!(matches!(taken_back, Err(CommitError::Conflict)), "{taken_back:?}");
    assert!(keys.set_disabled(id, true) && keys.set_disabled(id, false));
    assert_eq!(answer().await, "revoked");
}

#[test]
fn threads_issue_revoke_and_read_without_losing_a_change() {
    let keys = MemoryStore::new();
    let counted = keys.issue(NewKey::named("counted")).unwrap().record;
    let done = AtomicBool::new(false);
    let write = |keys: &MemoryStore| {
        for round in 0..200 {
            let record = keys.issue(NewKey::named("x")).unwrap().record;
            assert_eq!(look(keys, &record.digest()), Some(Arc::clone(&record)));
            assert!(round % 2 == 0 || keys.revoke(record.id()));
            let found = look(keys, &record.digest()).unwrap();
            assert_eq!(found.revoked_at().is_some(), round % 2 == 1);
            let count = |record: &mut KeyRecord| record.set_name(format!("{}+", record.name()));
            keys.update(counted.id(), count).unwrap();
            assert!(round % 4 != 0 || keys.remove(record.id()).is_some());
            assert_eq!(look(keys, &record.digest()).is_none(), round % 4 == 0);
        }
    };
    let read = |keys: &MemoryStore| {
        let mut revoked = HashMap::new();
        while !done.load(Ordering::SeqCst) {
            for record in keys.records() {
                let found = look(keys, &record.digest());
                assert!(found.as_ref().is_none_or(|found| found.id() == record.id()));
                if record.revoked_at().is_some() {
                    revoked.insert(record.id().clone(), record.revoked_at());
                    assert_eq!(found.unwrap().revoked_at(), record.revoked_at());
                }
            }
        }
        assert!(revoked.iter().all(|(id, at)| keys.record(id).unwrap().revoked_at() == *at));
    };
    thread::scope(|scope| {
        let writers = [(); 4].map(|()| scope.spawn(|| write(&keys)));
        let readers = [(); 2].map(|()| scope.spawn(|| read(&keys)));
        let written = writers.map(|writer| writer.join());
        done.store(true, Ordering::SeqCst);
        assert!(
            written.into_iter().chain(readers.map(|reader| reader.join())).all(|end| end.is_ok())
        );
    });
    let all = keys.records();
    assert_eq!(all.len(), 1 + 4 * 150);
    assert_eq!(all.iter().filter(|record| record.revoked_at().is_some()).count(), 4 * 100);
    assert_eq!(keys.record(counted.id()).unwrap().name().len(), "counted".len() + 4 * 200);
}

#[tokio::test]
async fn usage_is_kept_as_in_a_database() {
    check_usage(&MemoryStore::new()).await;
}
