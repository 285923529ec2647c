//! Keys in Redis.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, cmd};
use tower_api_key::store::{
    CommitError, EndedQuery, KeyChange, KeyQuery, KeyState, KeyUsage, KeyUse, RecordUses,
    TenantFilter, UsageBatch, UsageByKeyQuery, UsageCounts, UsageKind, UsageRetention, UsageStep,
    UsageStore as _,
};
use tower_api_key::testing::{check_key_repository, check_record_uses, check_usage_store};
use tower_api_key::{
    CachedStore, KeyId, KeyManager, KeyRecord, KeyRepository, KeyScheme, KeyStore, NewKey,
    RedisStore,
};

use crate::common::caching::ScriptedSource;
use crate::common::in_time;
use crate::common::servers::{Redis, redis_url};
use crate::common::with_id;

/// A store with names of its own on the server that tests share, and another way to them.
struct Shared {
    store: RedisStore,
    prefix: String,
    connection: MultiplexedConnection,
}

impl Shared {
    async fn start() -> Self {
        let prefix = format!("test:{}:", KeyId::generate().unwrap());
        let client = Client::open(redis_url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        let store = RedisStore::connect(&redis_url()).key_prefix(&prefix).await.unwrap();
        Self { store, prefix, connection }
    }

    /// A store of another process.
    async fn other(&self) -> RedisStore {
        RedisStore::connect(&redis_url()).key_prefix(&self.prefix).await.unwrap()
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn record(&self, record: &KeyRecord) -> String {
        self.name(&format!("key:{}", record.digest()))
    }

    async fn run<T: FromRedisValue>(&self, command: &mut Cmd) -> T {
        command.query_async(&mut self.connection.clone()).await.unwrap()
    }

    /// Everything that is kept, by its name.
    async fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut contents = BTreeMap::new();
        for name in self.names().await {
            let value = self.run(cmd("DUMP").arg(&name)).await;
            contents.insert(name, value);
        }
        contents
    }

    async fn names(&self) -> Vec<String> {
        self.run(cmd("KEYS").arg(self.name("*"))).await
    }
}

const NO_IDS: [KeyId; 0] = [];

fn record() -> KeyRecord {
    let key = NewKey::named("test").tenant("acme").generate(&KeyScheme::default()).unwrap();
    KeyRecord::clone(&key.record)
}

fn record_with(change: impl FnOnce(&mut KeyRecord)) -> KeyRecord {
    let mut record = record();
    change(&mut record);
    record
}

fn insert(record: &KeyRecord) -> KeyChange {
    KeyChange::Insert(Arc::new(record.clone()))
}

fn remove(record: &KeyRecord) -> KeyChange {
    KeyChange::Remove(Arc::new(record.clone()))
}

fn replace(record: &KeyRecord, change: impl FnOnce(&mut KeyRecord)) -> KeyChange {
    let mut record = record.clone();
    record.set_revision(record.revision() + 1);
    change(&mut record);
    KeyChange::Replace(Arc::new(record))
}

async fn commit(store: &RedisStore, changes: &[KeyChange]) -> Result<(), CommitError> {
    in_time(store.commit(changes, &[])).await
}

async fn list(store: &RedisStore, query: &KeyQuery) -> Vec<KeyId> {
    let (mut query, mut ids) = (query.clone(), Vec::new());
    loop {
        let page = in_time(store.list(&query)).await.unwrap();
        ids.extend(page.keys.iter().map(|key| key.record.id().clone()));
        match page.next {
            Some(next) => query = query.after(next),
            None => return ids,
        }
    }
}

/// Changes a record until nobody else did in the meantime.
async fn until_made(store: &RedisStore, id: &KeyId, change: impl Fn(&mut KeyRecord)) {
    loop {
        let key = store.get(id).await.unwrap().unwrap();
        match commit(store, &[replace(&key.record, &change)]).await {
            Ok(()) => return,
            Err(CommitError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn it_keeps_the_contract() {
    let shared = Shared::start().await;
    check_key_repository(&shared.store).await;
    check_record_uses(&shared.store).await;
    check_usage_store(&shared.store).await;
    let url = format!("{}?protocol=resp3", redis_url());
    let store = RedisStore::connect(&url).key_prefix(&shared.prefix).await.unwrap();
    check_key_repository(&store).await;
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn usage_expires_when_the_last_of_its_hash_is_too_old() {
    const DAY: u64 = 24 * 3600;
    let shared = Shared::start().await;
    let [id, old] = [(); 2].map(|()| KeyId::generate().unwrap());
    let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / DAY;
    let used = |id: &KeyId, day: u64| {
        let mut counts = UsageCounts::default();
        counts.add(UsageKind::Accepted, 1);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(day * DAY + 9);
        KeyUsage::new(id.clone(), Some("acme".parse().unwrap()), time, counts)
    };
    // Hours for three days, and days for thirty.
    let retention = UsageRetention::days(3, 30);
    let rows = [used(&id, today), used(&old, today - 70)];
    let batch = UsageBatch::new("a.1", 1, retention, rows);
    shared.store.add_usage(&batch).await.unwrap();
    let (tens, block) = (today / 10, today / 32);
    let sums = shared.name(&format!("usage:key:{id}:sums:{block}"));
    let sums = (sums, ((block + 1) * 32 + 30) * DAY);
    let expected = ["key:".to_owned() + id.as_str(), "tenant:acme".to_owned()].map(|whose| {
        [
            (shared.name(&format!("usage:{whose}:hours:{today}")), (today + 1 + 3) * DAY),
            (shared.name(&format!("usage:{whose}:days:{tens}")), ((tens + 1) * 10 + 30) * DAY),
        ]
    });
    let mut found = BTreeMap::new();
    let mut writers = 0;
    for name in shared.names().await {
        let expires_at: u64 = shared.run(cmd("EXPIRETIME").arg(&name)).await;
        if name.contains(":usage:writer:") {
            let for_days = expires_at.saturating_sub(today * DAY) / DAY;
            assert!((29..=31).contains(&for_days), "{name}: {for_days}");
            writers += 1;
        } else {
            found.insert(name, expires_at);
        }
    }
    // Of what was too old when it came, nothing is kept.
    assert_eq!((found, writers), (expected.into_iter().flatten().chain([sums]).collect(), 1));
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn the_sums_of_a_day_end_at_the_largest_number() {
    let shared = Shared::start().await;
    let id = KeyId::generate().unwrap();
    let used = |tenant: Option<&str>, count: u64| {
        let mut counts = UsageCounts::default();
        counts.add(UsageKind::Accepted, count);
        counts.add(UsageKind::Other, count);
        let tenant = tenant.map(|tenant| tenant.parse().unwrap());
        KeyUsage::new(id.clone(), tenant, SystemTime::UNIX_EPOCH, counts)
    };
    let add = async |number, row| {
        let batch = UsageBatch::new("a.1", number, UsageRetention::days(40_000, 40_000), [row]);
        shared.store.add_usage(&batch).await.unwrap();
    };
    add(1, used(Some("acme"), 1)).await;
    add(2, used(None, 7)).await;
    let block = shared.name(&format!("usage:key:{id}:sums:0"));
    // After the name of the tenant: hours, which are hashes, fail before it comes to this.
    let mut large = cmd("BITFIELD");
    large.arg(&block).arg("SET").arg("i64").arg(5 * 8).arg(i64::MAX - 1);
    let _: Vec<i64> = shared.run(large.arg("SET").arg("i64").arg(13 * 8).arg(i64::MAX)).await;
    add(3, used(Some("acme"), 5)).await;
    let day = SystemTime::UNIX_EPOCH..SystemTime::UNIX_EPOCH + Duration::from_secs(9);
    let query = UsageByKeyQuery::new([id.clone()], &day, UsageStep::Day);
    let sums = async |tenant| {
        let found = shared.store.sums_by_key(&query.clone().of_tenant(tenant)).await.unwrap();
        (found[&id][0].accepted, found[&id][0].refused)
    };
    let largest = i64::MAX as u64;
    assert_eq!(sums(TenantFilter::Of("acme".parse().unwrap())).await, (largest, largest));
    assert_eq!(sums(TenantFilter::Nobody).await, (7, 7));
    assert_eq!(sums(TenantFilter::Any).await, (largest + 7, largest + 7));
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn stores_with_different_prefixes_are_apart() {
    let (one, other) = (Shared::start().await, Shared::start().await);
    let record = record();
    commit(&one.store, &[insert(&record)]).await.unwrap();
    assert_eq!(other.store.find(&record.digest()).await.unwrap(), None);
    assert_eq!(other.store.get(record.id()).await.unwrap(), None);
    assert_eq!(list(&other.store, &KeyQuery::new()).await, NO_IDS);
    commit(&other.store, &[insert(&record)]).await.unwrap();
    commit(&one.store, &[remove(&record)]).await.unwrap();
    assert_eq!(other.store.get(record.id()).await.unwrap().unwrap().record, Arc::new(record));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run tests/all"]
async fn of_writers_in_several_processes_none_loses_a_change_or_a_revocation() {
    let shared = Shared::start().await;
    let record = record();
    commit(&shared.store, &[insert(&record)]).await.unwrap();
    let revoked_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut writers = Vec::new();
    for _ in 0..4 {
        let (store, id) = (shared.other().await, record.id().clone());
        writers.push(tokio::spawn(async move {
            for _ in 0..10 {
                until_made(&store, &id, |record| record.set_name(format!("{}x", record.name())))
                    .await;
            }
        }));
    }
    until_made(&shared.store, record.id(), |record| record.set_revoked_at(Some(revoked_at))).await;
    for writer in writers {
        in_time(writer).await.unwrap();
    }
    let found = shared.store.find(&record.digest()).await.unwrap().unwrap();
    assert_eq!(found.revoked_at(), Some(revoked_at));
    assert_eq!((found.revision(), found.name().len()), (41, "test".len() + 40));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run tests/all"]
async fn of_processes_that_insert_the_same_key_one_wins() {
    let shared = Shared::start().await;
    for same_id in [false, true] {
        let model = record();
        let rival = || match same_id {
            true => with_id(&record(), model.id()),
            false => record_with(|record| record.set_digest(model.digest())),
        };
        let stores = join_all((0..8).map(|_| shared.other())).await;
        let tried = stores.into_iter().map(|store| {
            let rival = rival();
            tokio::spawn(async move { commit(&store, &[insert(&rival)]).await })
        });
        let results: Vec<_> = join_all(tried).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        let exists = |result: &&Result<_, _>| matches!(result, Err(CommitError::Exists));
        assert_eq!(results.iter().filter(exists).count(), 7, "{results:?}");
    }
    assert_eq!(list(&shared.store, &KeyQuery::new()).await.len(), 2);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_commit_that_fails_has_changed_nothing() {
    for broken in ["ids", "uses", "all", "tenant:acme", "tenant:globex"] {
        let shared = Shared::start().await;
        let (old, new) = (record(), record());
        commit(&shared.store, &[insert(&old)]).await.unwrap();
        let () = shared.run(cmd("DEL").arg(shared.name(broken))).await;
        let () = shared.run(cmd("SET").arg(shared.name(broken)).arg("no such type")).await;
        let contents = shared.contents().await;
        let moved = replace(&old, |record| record.set_tenant(Some("globex".parse().unwrap())));
        let result = commit(&shared.store, &[moved, insert(&new)]).await;
        assert!(matches!(result, Err(CommitError::Store(_))), "{broken}: {result:?}");
        assert!(shared.contents().await == contents, "{broken}");
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn who_may_not_publish_changes_nothing() {
    let shared = Shared::start().await;
    let user = format!("test-{}", KeyId::generate().unwrap());
    let mut acl = cmd("ACL");
    acl.arg("SETUSER").arg(&user).arg("on").arg(">x").arg("~*").arg("+@all").arg("resetchannels");
    let () = shared.run(&mut acl).await;
    let url = redis_url().replace("redis://", &format!("redis://{user}:x@"));
    let store = RedisStore::connect(&url).key_prefix(&shared.prefix).await.unwrap();
    let record = record();
    let result = commit(&store, &[insert(&record)]).await;
    let () = shared.run(cmd("ACL").arg("DELUSER").arg(&user)).await;
    assert!(matches!(result, Err(CommitError::Store(_))), "{result:?}");
    assert_eq!(shared.names().await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn what_is_only_required_is_neither_written_nor_published() {
    let shared = Shared::start().await;
    let (owner, new) = (record(), record());
    commit(&shared.store, &[insert(&owner)]).await.unwrap();
    // Written as nobody else would, to see that nobody writes it again.
    let json = serde_json::to_string_pretty(&owner).unwrap();
    let () = shared.run(cmd("SET").arg(shared.record(&owner)).arg(&json)).await;
    let require = KeyChange::Require(Arc::new(owner.clone()));
    let before = shared.contents().await;
    let mut published = Client::open(redis_url()).unwrap().get_async_pubsub().await.unwrap();
    published.subscribe(shared.name("changes")).await.unwrap();
    commit(&shared.store, std::slice::from_ref(&require)).await.unwrap();
    assert!(shared.contents().await == before);
    commit(&shared.store, &[require, insert(&new)]).await.unwrap();
    let kept: String = shared.run(cmd("GET").arg(shared.record(&owner))).await;
    assert_eq!(kept, json);
    let heard = in_time(published.on_message().next()).await.unwrap();
    assert_eq!(heard.get_payload::<String>().unwrap(), new.digest().to_string());
    // Indices that were lost stay so: the record is found all the same.
    let () = shared.run(cmd("DEL").arg(shared.name("ids")).arg(shared.name("all"))).await;
    let require = KeyChange::Require(Arc::new(owner));
    commit(&shared.store, &[require, insert(&record())]).await.unwrap();
    assert_eq!(list(&shared.store, &KeyQuery::new()).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run tests/all"]
async fn what_is_required_is_compared_by_the_server_when_it_makes_the_changes() {
    let redis = Redis::start().await;
    let store = || async { RedisStore::connect(&redis.url()).await.unwrap() };
    let (issuer, operator) = (store().await, store().await);
    let client = Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let (owner, new) = (record(), record());
    commit(&issuer, &[insert(&owner)]).await.unwrap();
    // Who reads is answered, and who writes waits.
    let () =
        cmd("CLIENT").arg(&["PAUSE", "60000", "WRITE"]).exec_async(&mut connection).await.unwrap();
    let revoked = replace(&owner, |record| record.set_revoked_at(Some(SystemTime::now())));
    let issue = [KeyChange::Require(Arc::new(owner)), insert(&new)];
    let mut commits = Vec::new();
    for (store, changes) in [(operator, vec![revoked]), (issuer.clone(), issue.to_vec())] {
        commits.push(tokio::spawn(async move { commit(&store, &changes).await }));
        in_time(async {
            loop {
                let mut list = cmd("CLIENT");
                let list: String = list.arg("LIST").query_async(&mut connection).await.unwrap();
                let waits =
                    |line: &&str| line.contains(" flags=b ") && line.contains(" cmd=evalsha");
                if list.lines().filter(waits).count() == commits.len() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    let () = cmd("CLIENT").arg("UNPAUSE").exec_async(&mut connection).await.unwrap();
    let results = join_all(commits).await;
    let [Ok(Ok(())), Ok(Err(CommitError::Conflict))] = results.as_slice() else {
        panic!("{results:?}")
    };
    assert_eq!(issuer.get(new.id()).await.unwrap(), None);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_record_that_cannot_be_read_is_an_error_and_no_unknown_key() {
    let shared = Shared::start().await;
    let (good, bad) = (record(), record());
    commit(&shared.store, &[insert(&good), insert(&bad)]).await.unwrap();
    let name = shared.record(&bad);
    let whole = serde_json::to_string(&bad).unwrap();
    let no_ability = whole.replace(r#""abilities":[]"#, r#""abilities":["admin:"]"#);
    let values = ["", "{", "null", r#"{"id":"key_1"}"#, &whole[..whole.len() - 1], &no_ability];
    let of_another = serde_json::to_string(&good).unwrap();
    for value in values.into_iter().chain([of_another.as_str()]) {
        let () = shared.run(cmd("SET").arg(&name).arg(value)).await;
        shared.store.find(&bad.digest()).await.unwrap_err();
        shared.store.get(bad.id()).await.unwrap_err();
        shared.store.list(&KeyQuery::new()).await.unwrap_err();
        let revoked = replace(&bad, |record| record.set_revoked_at(Some(SystemTime::now())));
        for change in [revoked, insert(&bad), remove(&bad)] {
            let result = commit(&shared.store, &[change]).await;
            assert!(matches!(result, Err(CommitError::Store(_))), "{value}: {result:?}");
        }
    }
    let () = shared.run(cmd("DEL").arg(&name)).await;
    let () = shared.run(cmd("RPUSH").arg(&name).arg("a list")).await;
    shared.store.find(&bad.digest()).await.unwrap_err();
    let () = shared.run(cmd("HSET").arg(shared.name("ids")).arg(good.id().as_str()).arg("?")).await;
    shared.store.get(good.id()).await.unwrap_err();
    assert_eq!(*shared.store.find(&good.digest()).await.unwrap().unwrap(), good);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn fields_of_a_newer_version_stay_when_a_record_is_changed() {
    let shared = Shared::start().await;
    let record = record();
    commit(&shared.store, &[insert(&record)]).await.unwrap();
    let name = shared.record(&record);
    let json = async || {
        let text: String = shared.run(cmd("GET").arg(&name)).await;
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let mut newer = json().await;
    newer["later"] = serde_json::json!({ "number": 1.5, "list": [null, "x"] });
    let () = shared.run(cmd("SET").arg(&name).arg(newer.to_string())).await;
    assert_eq!(*shared.store.find(&record.digest()).await.unwrap().unwrap(), record);
    let rename = replace(&record, |record| record.set_name(format!("{}!", record.name())));
    commit(&shared.store, &[rename]).await.unwrap();
    newer["name"] = "test!".into();
    newer["revision"] = 1.into();
    assert_eq!(json().await, newer);
    let same_digest = record_with(|other| other.set_digest(record.digest()));
    let renamed = shared.store.get(record.id()).await.unwrap().unwrap().record;
    commit(&shared.store, &[remove(&renamed), insert(&same_digest)]).await.unwrap();
    assert_eq!(json().await.get("later"), None, "another record has none of it");
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_record_of_the_first_version_is_read_and_its_successor_counts_as_it() {
    let shared = Shared::start().await;
    let record = record();
    commit(&shared.store, &[insert(&record)]).await.unwrap();
    let name = shared.record(&record);
    let text: String = shared.run(cmd("GET").arg(&name)).await;
    let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
    old.as_object_mut().unwrap().remove("counted_as").expect("a record has it");
    let () = shared.run(cmd("SET").arg(&name).arg(old.to_string())).await;
    assert_eq!(*shared.store.find(&record.digest()).await.unwrap().unwrap(), record);
    let keys = KeyManager::new(shared.other().await);
    let rotated = keys.rotate(record.id(), Duration::from_secs(60)).await.unwrap();
    let found = shared.store.find(&rotated.record.digest()).await.unwrap().unwrap();
    assert_eq!(found.counted_as(), Some(record.id()));
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn what_a_record_says_counts_whatever_an_index_says() {
    let shared = Shared::start().await;
    let (one, other) = (record(), record());
    commit(&shared.store, &[insert(&one), insert(&other)]).await.unwrap();
    let ids = shared.name("ids");
    let digest = other.digest().to_string();
    let () = shared.run(cmd("HSET").arg(&ids).arg(one.id().as_str()).arg(digest)).await;
    assert_eq!(shared.store.get(one.id()).await.unwrap(), None, "that is the record of another");
    assert_eq!(list(&shared.store, &KeyQuery::new()).await, std::slice::from_ref(other.id()));

    let () = shared.run(cmd("DEL").arg(&ids).arg(shared.name("all"))).await;
    assert_eq!(*shared.store.find(&one.digest()).await.unwrap().unwrap(), one);
    let same_digest = record_with(|record| record.set_digest(one.digest()));
    let result = commit(&shared.store, &[insert(&same_digest)]).await;
    assert!(matches!(result, Err(CommitError::Exists)), "{result:?}");
    let revoked = replace(&one, |record| record.set_revoked_at(Some(SystemTime::now())));
    commit(&shared.store, &[revoked]).await.unwrap();
    let got = shared.store.get(one.id()).await.unwrap().unwrap();
    assert!(got.record.revoked_at().is_some(), "a change puts the index right");
    assert_eq!(list(&shared.store, &KeyQuery::new()).await, std::slice::from_ref(one.id()));

    let stale = format!("{:020}.{}", 7, one.id());
    let () = shared.run(cmd("ZADD").arg(shared.name("all")).arg(0).arg(stale)).await;
    let lost = format!("{:020}.key_lost", 8);
    let () = shared.run(cmd("ZADD").arg(shared.name("all")).arg(0).arg(lost)).await;
    assert_eq!(list(&shared.store, &KeyQuery::new().limit(1)).await, [one.id().clone()]);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn an_id_or_a_digest_can_go_to_another_record_in_one_commit() {
    let shared = Shared::start().await;
    for _ in 0..20 {
        let old = record();
        commit(&shared.store, &[insert(&old)]).await.unwrap();
        let mut same_id = with_id(&record(), old.id());
        same_id.set_created_at(old.created_at());
        commit(&shared.store, &[remove(&old), insert(&same_id)]).await.unwrap();
        assert_eq!(shared.store.find(&old.digest()).await.unwrap(), None);
        assert_eq!(*shared.store.get(old.id()).await.unwrap().unwrap().record, same_id);
        let same_digest = record_with(|record| record.set_digest(same_id.digest()));
        commit(&shared.store, &[remove(&same_id), insert(&same_digest)]).await.unwrap();
        assert_eq!(shared.store.get(old.id()).await.unwrap(), None);
        assert_eq!(*shared.store.find(&same_id.digest()).await.unwrap().unwrap(), same_digest);
        assert_eq!(
            list(&shared.store, &KeyQuery::new()).await,
            std::slice::from_ref(same_digest.id())
        );
        commit(&shared.store, &[remove(&same_digest)]).await.unwrap();
    }
    assert_eq!(shared.names().await, [""; 0], "a removed key leaves no traces");
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_change_under_another_id_is_a_conflict() {
    let shared = Shared::start().await;
    let old = record();
    commit(&shared.store, &[insert(&old)]).await.unwrap();
    let another = record_with(|record| record.set_digest(old.digest()));
    for change in [replace(&another, |_| {}), remove(&another)] {
        let result = commit(&shared.store, &[change]).await;
        assert!(matches!(result, Err(CommitError::Conflict)), "{result:?}");
    }
    assert_eq!(*shared.store.get(old.id()).await.unwrap().unwrap().record, old);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_key_that_changes_hands_is_listed_where_it_is() {
    let shared = Shared::start().await;
    let record = record();
    commit(&shared.store, &[insert(&record)]).await.unwrap();
    let moved = replace(&record, |record| {
        record.set_tenant(None);
        record.set_created_at(record.created_at() + Duration::from_secs(1));
    });
    commit(&shared.store, &[moved]).await.unwrap();
    let of = |tenant| {
        let mut query = KeyQuery::new();
        query.tenant = tenant;
        query
    };
    let acme = TenantFilter::Of("acme".parse().unwrap());
    assert_eq!(list(&shared.store, &of(acme)).await, NO_IDS);
    assert_eq!(
        list(&shared.store, &of(TenantFilter::Nobody)).await,
        std::slice::from_ref(record.id())
    );
    assert_eq!(list(&shared.store, &of(TenantFilter::Any)).await, [record.id().clone()]);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_few_of_many_keys_of_one_moment_are_listed_in_order() {
    let shared = Shared::start().await;
    let created_at = SystemTime::now();
    let records: Vec<_> = (0..1200)
        .map(|number| {
            record_with(|record| {
                record.set_created_at(created_at);
                record.set_disabled(number % 400 != 7);
            })
        })
        .collect();
    for records in records.chunks(100) {
        let changes: Vec<_> = records.iter().map(insert).collect();
        commit(&shared.store, &changes).await.unwrap();
    }
    let ids = |listed: &dyn Fn(&KeyRecord) -> bool| {
        let mut ids: Vec<_> = records
            .iter()
            .filter(|record| listed(record))
            .map(|record| record.id().clone())
            .collect();
        ids.sort_by(|one, other| other.cmp(one));
        ids
    };
    let active = KeyQuery::new().state(KeyState::Active);
    for limit in [1, 2, 3, 100] {
        let listed = list(&shared.store, &active.clone().limit(limit)).await;
        assert_eq!(listed, ids(&|record| !record.is_disabled()), "{limit} a page");
    }
    for limit in [49, 50, 499, 500, 1000] {
        let listed = list(&shared.store, &KeyQuery::new().limit(limit)).await;
        assert_eq!(listed, ids(&|_| true), "{limit} a page");
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn scripts_that_the_server_forgets_are_sent_again() {
    let shared = Shared::start().await;
    for _ in 0..3 {
        let record = record();
        commit(&shared.store, &[insert(&record)]).await.unwrap();
        let () = shared.run(cmd("SCRIPT").arg("FLUSH")).await;
        let revoked = replace(&record, |record| record.set_revoked_at(Some(SystemTime::now())));
        commit(&shared.store, &[revoked]).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn who_gives_up_is_not_answered_in_the_place_of_another() {
    let shared = Shared::start().await;
    let (one, other) = (record(), record());
    commit(&shared.store, &[insert(&one), insert(&other)]).await.unwrap();
    for polls in 0..100 {
        for _ in 0..polls % 5 {
            let _ = shared.store.find(&one.digest()).now_or_never();
            tokio::task::yield_now().await;
        }
        let found = in_time(shared.store.find(&other.digest())).await.unwrap().unwrap();
        assert_eq!(found.id(), other.id());
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_lookup_is_one_script_and_so_is_one_of_many_and_many_uses_are_one_command() {
    let redis = Redis::start().await;
    let store = RedisStore::connect(&redis.url()).await.unwrap();
    let records: Vec<_> = (0..10).map(|_| record()).collect();
    commit(&store, &records.iter().map(insert).collect::<Vec<_>>()).await.unwrap();
    let client = Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    // The server knows the script from then on.
    store.find(&records[0].digest()).await.unwrap().unwrap();
    let () = cmd("CONFIG").arg("RESETSTAT").query_async(&mut connection).await.unwrap();
    for record in &records {
        store.find(&record.digest()).await.unwrap().unwrap();
    }
    let used = |record: &KeyRecord| KeyUse::new(record.id().clone(), SystemTime::now());
    store.record_uses(&records.iter().map(used).collect::<Vec<_>>()).await.unwrap();
    let digests: Vec<_> = records.iter().map(KeyRecord::digest).collect();
    let found = store.find_many(&digests).await.unwrap();
    assert!(found.iter().map(Option::as_deref).eq(records.iter().map(Some)));
    let stats: String = cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    let run = |line: &str| Some(line.strip_prefix("cmdstat_")?.split_once(',')?.0.to_owned());
    let mut run: Vec<_> = stats.lines().filter_map(run).collect();
    run.sort();
    assert_eq!(
        run,
        // Whether any tenant is suspended is asked within the script.
        [
            "config|resetstat:calls=1",
            "evalsha:calls=11",
            "get:calls=20",
            "zadd:calls=1",
            "zcard:calls=11"
        ]
    );
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn times_of_use_are_kept_to_the_microsecond() {
    let shared = Shared::start().await;
    let record = record();
    commit(&shared.store, &[insert(&record)]).await.unwrap();
    let at = |micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
    for micros in [1, 1_700_000_000_123_457, (1 << 53) - 1, 1 << 53] {
        let used = KeyUse::new(record.id().clone(), at(micros));
        shared.store.record_uses(&[used]).await.unwrap();
        let key = shared.store.get(record.id()).await.unwrap().unwrap();
        assert_eq!(key.last_used_at, Some(at(micros)));
    }
    let renamed = replace(&record, |record| record.set_name("renamed"));
    commit(&shared.store, &[renamed]).await.unwrap();
    let key = shared.store.get(record.id()).await.unwrap().unwrap();
    assert_eq!(key.last_used_at, Some(at(1 << 53)), "a change forgets no use");
    let far = KeyUse::new(record.id().clone(), at(u64::MAX / 1000));
    shared.store.record_uses(&[far]).await.unwrap();
    let key = shared.store.get(record.id()).await.unwrap().unwrap();
    assert_eq!(key.last_used_at, Some(at(1 << 53)));
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_record_that_cannot_be_read_is_no_outage_to_a_cache() {
    let shared = Shared::start().await;
    let source = ScriptedSource::default();
    let cached = CachedStore::builder(shared.store.clone()).invalidated_by(source.clone());
    let cached = cached.serve_while_unreachable(Duration::from_secs(50)).build();
    let other = record();
    let (name, wrong_name) = (shared.record(&other), "of another type");
    let (text, other_text) =
        (serde_json::to_string(&other).unwrap(), serde_json::to_string(&record()));
    for (wrong, says) in
        [("no JSON", "expected"), (&*other_text.unwrap(), "another key"), (wrong_name, "WRONGTYPE")]
    {
        let _: () = shared.run(cmd("DEL").arg(&name)).await;
        let _: () = shared.run(cmd("SET").arg(&name).arg(&text)).await;
        source.set_away(false);
        in_time(async {
            while !cached.is_live() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        cached.invalidate_all();
        cached.find(&other.digest()).await.unwrap().unwrap();
        // Nothing is heard any more, so the store is asked again.
        source.set_away(true);
        source.lose();
        in_time(async {
            while cached.is_live() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        if wrong == wrong_name {
            let _: () = shared.run(cmd("DEL").arg(&name)).await;
            let _: () = shared.run(cmd("RPUSH").arg(&name).arg("x")).await;
        } else {
            let _: () = shared.run(cmd("SET").arg(&name).arg(wrong)).await;
        }
        let error = cached.find(&other.digest()).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// The keys that ended, as one who prunes finds them.
async fn ended(store: &RedisStore) -> Vec<KeyId> {
    let mut query = EndedQuery::before(SystemTime::now()).limit(100);
    let mut ids = Vec::new();
    loop {
        let page = store.ended(&query).await.unwrap();
        ids.extend(page.keys.iter().map(|record| record.id().clone()));
        let Some(next) = page.next else { break };
        query = query.after(next);
    }
    ids.sort();
    ids
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn what_the_version_before_wrote_is_found_when_it_ended_and_no_key_twice() {
    let shared = Shared::start().await;
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let mut expected = Vec::new();
    for number in 0..1100 {
        let expires_at = (number % 2 == 0).then_some(past);
        let record = record_with(|record| record.set_expires_at(expires_at));
        commit(&shared.store, &[insert(&record)]).await.unwrap();
        expected.extend(expires_at.map(|_| record.id().clone()));
    }
    expected.sort();
    // The version before keeps no such index.
    let _: i64 = shared.run(cmd("DEL").arg(shared.name("ended"))).await;
    assert_eq!(ended(&shared.store).await, expected);
    let places: usize = shared.run(cmd("ZCARD").arg(shared.name("ended"))).await;
    assert_eq!(places, expected.len());
    let ttl: i64 = shared.run(cmd("TTL").arg(shared.name("ended:swept"))).await;
    assert!((1..=7 * 24 * 60 * 60).contains(&ttl), "it is swept again in a week: {ttl}");
    // From then on, only what ended is read.
    let _: i64 = shared.run(cmd("DEL").arg(shared.name("all"))).await;
    assert_eq!(ended(&shared.store).await, expected);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn an_index_of_ends_that_is_wrong_removes_no_key_and_is_put_right() {
    let shared = Shared::start().await;
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let record = record_with(|record| record.set_expires_at(Some(past)));
    commit(&shared.store, &[insert(&record)]).await.unwrap();
    assert_eq!(ended(&shared.store).await, [record.id().clone()]);
    // A node of the version before gives it more time, and knows of no index.
    let place: Vec<String> =
        shared.run(cmd("ZRANGE").arg(shared.name("ended")).arg(0).arg(-1)).await;
    let later = SystemTime::now() + Duration::from_secs(3600);
    let longer = replace(&record, |record| record.set_expires_at(Some(later)));
    commit(&shared.store, std::slice::from_ref(&longer)).await.unwrap();
    let after: Vec<String> =
        shared.run(cmd("ZRANGE").arg(shared.name("ended")).arg(0).arg(-1)).await;
    assert!(after.len() == 1 && after != place, "{after:?}");
    let gone = format!("{:020}.key_gone", 1_500_000_000_000_000u64);
    let mut wrong = cmd("ZADD");
    wrong.arg(shared.name("ended")).arg(0).arg(&place[0]).arg(0).arg(gone);
    let _: i64 = shared.run(&mut wrong).await;
    assert!(ended(&shared.store).await.is_empty());
    let mended: Vec<String> =
        shared.run(cmd("ZRANGE").arg(shared.name("ended")).arg(0).arg(-1)).await;
    assert_eq!(mended, after);
    commit(&shared.store, &[remove(longer.record())]).await.unwrap();
    let left: i64 = shared.run(cmd("EXISTS").arg(shared.name("ended"))).await;
    assert_eq!(left, 0, "a removed key has a place");
}
