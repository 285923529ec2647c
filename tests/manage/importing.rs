//! Keys of another system, imported.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::join_all;
use tower_api_key::key::StoredHash;
use tower_api_key::manage::{ImportOutcome, ImportRefusal, Owner};
use tower_api_key::store::{
    AuditAction, AuditEvent, CommitError, KeyChange, KeyPage, KeyQuery, StoredKey,
};
use tower_api_key::{
    KeyDigest, KeyHasher, KeyId, KeyManager, KeyRecord, KeyRepository, KeyStore, KeyUpdate,
    ManageError, MemoryStore, StoreError,
};

use crate::common::MemoryKeys as _;
use crate::stores::{Store, over_each_store};

over_each_store! {
    what_is_imported_twice_is_there_once
    ids_and_keys_that_are_taken_are_refused_and_no_others
    importers_at_once_leave_each_key_once
}

/// A record of an older system, with ids of a test of its own.
fn record(prefix: &str, number: usize) -> KeyRecord {
    let hash = KeyHasher::sha256().digest(&format!("{prefix}{number}")).to_string();
    let digest = hash.parse::<StoredHash>().unwrap().of_key();
    let id = format!("{prefix}{number}").parse().unwrap();
    let issued_at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    let mut record = KeyRecord::new(id, digest, format!("key {number}"), issued_at);
    record.set_abilities(["read", "bots:*"].try_into().unwrap());
    record.set_tenant(Some("acme".parse().unwrap()));
    record
}

fn prefix() -> String {
    format!("{}-", KeyId::generate().unwrap())
}

fn imported(count: usize) -> Vec<ImportOutcome> {
    vec![ImportOutcome::Imported; count]
}

async fn what_is_imported_twice_is_there_once(store: Store) {
    let events: Arc<Mutex<Vec<AuditEvent>>> = Arc::default();
    let noted = Arc::clone(&events);
    let keys = KeyManager::new(Arc::clone(&store))
        .acting_as("alice")
        .audit(move |event: &AuditEvent| noted.lock().unwrap().push(event.clone()));
    let prefix = prefix();
    let records = || (0..600).map(|number| record(&prefix, number));
    let mut trial = keys.importer().dry_run();
    assert_eq!(trial.add(records()).await.unwrap(), imported(600));
    // A dry run remembers what came before.
    let unchanged = vec![ImportOutcome::Unchanged; 600];
    assert_eq!(trial.add(records()).await.unwrap(), unchanged);
    assert!(store.get(record(&prefix, 0).id()).await.unwrap().is_none());
    assert!(events.lock().unwrap().is_empty());

    assert_eq!(keys.import(records()).await.unwrap(), imported(600));
    {
        let events = events.lock().unwrap();
        assert_eq!(events.len(), 600);
        let of_alice = |event: &&AuditEvent| event.actor.to_string() == "name:alice";
        assert!(events.iter().all(|event| event.action == AuditAction::Imported));
        assert_eq!(events.iter().filter(of_alice).count(), 600);
    }
    let kept = store.find(&record(&prefix, 7).digest()).await.unwrap().unwrap();
    let issued_at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_000);
    assert_eq!((kept.name(), kept.created_at()), ("key 7", issued_at));
    assert!(kept.abilities().can("read") && !kept.abilities().can("write"));

    // What has become of it since stays.
    keys.revoke(record(&prefix, 7).id()).await.unwrap();
    keys.update(record(&prefix, 8).id(), &KeyUpdate::new().name("renamed")).await.unwrap();
    assert_eq!(keys.import(records()).await.unwrap(), unchanged);
    assert!(keys.get(record(&prefix, 7).id()).await.unwrap().record.revoked_at().is_some());
    assert_eq!(keys.get(record(&prefix, 8).id()).await.unwrap().record.name(), "renamed");
    assert_eq!(events.lock().unwrap().len(), 602);
}

async fn ids_and_keys_that_are_taken_are_refused_and_no_others(store: Store) {
    let keys = KeyManager::new(store);
    let prefix = prefix();
    let of = |number| record(&prefix, number);
    keys.import([of(0)]).await.unwrap();
    // The ids in the order of the records.
    let with_id = |number, id: usize| {
        let mut record = of(id);
        record.set_digest(of(number).digest());
        record
    };
    let mut unnamed = of(5);
    unnamed.set_name(" ");
    let records = [
        with_id(101, 0), // another key has the id
        with_id(0, 2),   // the key has another id
        of(3),
        with_id(102, 3), // as the one before
        with_id(3, 4),   // the key of the one before
        unnamed,
        of(0),
        of(6),
    ];
    let of_0 = Some(of(0).id().clone());
    let of_3 = Some(of(3).id().clone());
    let expected = [
        ImportOutcome::Refused(ImportRefusal::IdTaken),
        ImportOutcome::Refused(ImportRefusal::KeyTaken(of_0)),
        ImportOutcome::Imported,
        ImportOutcome::Refused(ImportRefusal::IdTaken),
        ImportOutcome::Refused(ImportRefusal::KeyTaken(of_3)),
        ImportOutcome::Refused(ImportRefusal::Rule(ManageError::Name.to_string().into())),
        ImportOutcome::Unchanged,
        ImportOutcome::Imported,
    ];
    let tried = keys.importer().dry_run().add(records.clone()).await.unwrap();
    assert_eq!(tried, expected);
    assert_eq!(keys.import(records).await.unwrap(), expected);
    assert!(keys.get(of(6).id()).await.is_ok() && keys.get(of(2).id()).await.is_err());
}

async fn importers_at_once_leave_each_key_once(store: Store) {
    let prefix = prefix();
    let imports = (0..4).map(|_| {
        let keys = KeyManager::new(Arc::clone(&store));
        let records: Vec<_> = (0..40).map(|number| record(&prefix, number)).collect();
        async move { keys.import(records).await.unwrap() }
    });
    let outcomes = join_all(imports).await;
    for number in 0..40 {
        let imported = outcomes.iter().filter(|all| all[number] == ImportOutcome::Imported);
        assert_eq!(imported.count(), 1, "key {number}");
        assert!(outcomes.iter().all(|all| !matches!(all[number], ImportOutcome::Refused(_))));
    }
}

#[tokio::test]
async fn an_owner_imports_within_what_it_may_grant() {
    let store = MemoryStore::new();
    let abilities = ["read"].try_into().unwrap();
    let owner = Owner::of_tenant("acme".parse().unwrap(), abilities, "alice");
    let keys = KeyManager::new(store.clone()).on_behalf_of(owner);
    let mut within = record("a-", 1);
    within.set_abilities(["read"].try_into().unwrap());
    let mut of_another = within.clone();
    of_another.set_digest(record("a-", 2).digest());
    of_another.set_tenant(Some("globex".parse().unwrap()));
    let more = record("a-", 3);
    // A key that the owner may not see.
    let mut hidden = record("b-", 4);
    hidden.set_tenant(Some("globex".parse().unwrap()));
    store.insert(hidden.clone());
    let mut same = within.clone();
    same.set_digest(hidden.digest());
    let mut same = KeyRecord::new("a-5".parse().unwrap(), same.digest(), "same", SystemTime::now());
    same.set_tenant(within.tenant().cloned());
    let outcomes = keys.import([more, within.clone(), same]).await.unwrap();
    assert!(matches!(&outcomes[0], ImportOutcome::Refused(ImportRefusal::Rule(rule))
        if rule.contains("ability is missing")));
    assert_eq!(outcomes[1], ImportOutcome::Imported);
    assert_eq!(outcomes[2], ImportOutcome::Refused(ImportRefusal::KeyTaken(None)));
    let outcomes = keys.import([of_another]).await.unwrap();
    assert!(matches!(&outcomes[0], ImportOutcome::Refused(ImportRefusal::Rule(_))));
}

/// Counts what it is asked, and can fail.
struct Counting {
    store: MemoryStore,
    calls: Mutex<HashMap<&'static str, usize>>,
    fails_after: AtomicUsize,
}

impl Counting {
    fn count(&self, call: &'static str) {
        *self.calls.lock().unwrap().entry(call).or_default() += 1;
    }
}

#[async_trait]
impl KeyStore for Counting {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.count("find");
        self.store.find(digest).await
    }

    async fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
        self.count("find_many");
        self.store.find_many(digests).await
    }
}

#[async_trait]
impl KeyRepository for Counting {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        self.count("get");
        KeyRepository::get(&self.store, id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        KeyRepository::list(&self.store, query).await
    }

    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        self.count("commit");
        if self.fails_after.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(StoreError::new("the database is away").into());
        }
        assert_eq!(changes.len(), events.len());
        self.store.commit(changes, events).await
    }
}

#[tokio::test]
async fn a_batch_is_two_statements_and_an_import_that_failed_is_made_again() {
    let store = Arc::new(Counting {
        store: MemoryStore::new(),
        calls: Mutex::default(),
        fails_after: AtomicUsize::new(2),
    });
    let keys = KeyManager::new(Arc::clone(&store));
    let records = || (0..1000).map(|number| record("c-", number));
    assert!(matches!(keys.import(records()).await, Err(ManageError::Store(_))));
    assert_eq!(store.store.records().len(), 500);
    store.fails_after.store(usize::MAX, Ordering::SeqCst);
    store.calls.lock().unwrap().clear();
    let outcomes = keys.import(records()).await.unwrap();
    assert_eq!(outcomes[..500], vec![ImportOutcome::Unchanged; 500]);
    assert_eq!(outcomes[500..], imported(500));
    let calls = store.calls.lock().unwrap().clone();
    assert_eq!(calls, HashMap::from([("find_many", 4), ("commit", 2)]));
}
