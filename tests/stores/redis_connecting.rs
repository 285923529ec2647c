//! Which Redis servers are connected to, which are refused, and what is said of it.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tower_api_key::store::{
    Invalidation, InvalidationSource as _, KeyChange, KeyQuery, KeyUse, RecordUses,
};
use tower_api_key::{
    KeyHasher, KeyRepository as _, KeyScheme, KeyStore as _, NewKey, RateLimiter as _,
    RedisRateLimiter, RedisStore,
};

use crate::common::server::Server;
use crate::common::servers::Redis;
use crate::common::{in_time, logged, start_log};
use crate::redis_replication::{ClusterKind, Pair, RedisKind, SentinelKind, run, set, until};

async fn store(url: &str) -> RedisStore {
    in_time(RedisStore::connect(url)).await.unwrap()
}

/// Returns why a store cannot be had there, with all that the error is made of.
async fn refusal(url: &str) -> String {
    said(&in_time(RedisStore::connect(url)).await.unwrap_err())
}

/// Returns why a limiter cannot be had there.
async fn limiter_refusal(url: &str) -> String {
    said(&in_time(RedisRateLimiter::connect(url)).await.unwrap_err())
}

fn said(error: &dyn Error) -> String {
    let (mut said, mut next) = (error.to_string(), error.source());
    while let Some(error) = next {
        said.push_str(&format!("; {error} {error:?}"));
        next = error.source();
    }
    said
}

fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

async fn insert(store: &RedisStore) -> tower_api_key::KeyDigest {
    let key = NewKey::named("test").generate(&KeyScheme::default()).unwrap();
    let insert = KeyChange::Insert(Arc::clone(&key.record));
    in_time(store.commit(&[insert], &[])).await.unwrap();
    key.record.digest()
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_server_that_evicts_records_is_refused_with_and_without_a_limit_of_memory() {
    let redis = Redis::start().await;
    let url = redis.url();
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        set(&url, "maxmemory-policy", policy).await;
        for limit in ["0", "100mb"] {
            set(&url, "maxmemory", limit).await;
            let words = [policy, "evicts", "maxmemory-policy noeviction"];
            assert_says(&refusal(&url).await, &words);
            assert_says(&limiter_refusal(&url).await, &words);
            assert_says(&limiter_refusal(&url).await, &["accept_eviction"]);
            RedisRateLimiter::connect(&url).accept_eviction().await.unwrap();
        }
    }
    // Evicts what expires: levels do, and records do not.
    set(&url, "maxmemory-policy", "volatile-lru").await;
    let volatile = store(&url).await;
    assert_eq!(volatile.unchecked(), None);
    insert(&volatile).await;
    assert_says(&limiter_refusal(&url).await, &["volatile-lru", "accept_eviction"]);
    RedisRateLimiter::connect(&url).accept_eviction().await.unwrap();
    set(&url, "maxmemory-policy", "noeviction").await;
    RedisRateLimiter::connect(&url).await.unwrap();
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn no_record_is_evicted_by_a_server_that_may_evict_what_expires() {
    let redis = Redis::start().await;
    set(&redis.url(), "maxmemory-policy", "volatile-random").await;
    let store = store(&redis.url()).await;
    let mut kept = Vec::new();
    for _ in 0..20 {
        kept.push(insert(&store).await);
    }
    set(&redis.url(), "maxmemory", "1").await;
    let key = NewKey::named("one too many").generate(&KeyScheme::default()).unwrap();
    store.commit(&[KeyChange::Insert(key.record)], &[]).await.unwrap_err();
    for digest in kept {
        assert!(store.find(&digest).await.unwrap().is_some(), "it was evicted");
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_server_that_begins_to_evict_is_left_within_the_lifetime_of_a_connection() {
    let redis = Redis::start().await;
    let lifetime = Duration::from_secs(1);
    let store = RedisStore::connect(&redis.url()).connection_lifetime(lifetime).await.unwrap();
    let limiter = RedisRateLimiter::connect(&redis.url()).connection_lifetime(lifetime);
    let limiter = limiter.await.unwrap();
    let digest = insert(&store).await;
    let limited = NewKey::named("limited").limit("9 per hour").generate(&KeyScheme::default());
    let limited = limited.unwrap().record;
    limiter.reserve(&limited, 1).await.unwrap();
    set(&redis.url(), "maxmemory-policy", "allkeys-lru").await;
    until("the store says so", async || {
        store.find(&digest).await.is_err_and(|error| said(&error).contains("allkeys-lru"))
    })
    .await;
    until("the limiter says so", async || {
        limiter.reserve(&limited, 1).await.is_err_and(|error| said(&error).contains("allkeys-lru"))
    })
    .await;
    set(&redis.url(), "maxmemory-policy", "noeviction").await;
    until("it is found again", async || store.find(&digest).await.is_ok()).await;
}

/// What a store needs, and no more.
const PERMISSIONS: &str = "~{api-keys}:* &{api-keys}:* +evalsha +eval +get +mget +hmget +zmscore \
     +zrange +zadd +zrem +zcard +hget +hset +hdel +set +del +publish +subscribe";

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn who_may_not_ask_what_the_server_is_is_told_what_was_not_checked() {
    start_log();
    let pair = Pair::<RedisKind>::start().await;
    for server in [&pair.first, &pair.second] {
        let () = run(&server.url(), &format!("ACL SETUSER app on >hush {PERMISSIONS}")).await;
    }
    set(&pair.first.url(), "maxmemory-policy", "allkeys-lru").await;
    let url = |address: SocketAddr| format!("redis://app:hush@{address}");
    let unchecked = || logged("let the user run INFO").len();
    let before = unchecked();
    let store = store(&url(pair.first.address())).await;
    assert_eq!(unchecked(), before + 1);
    assert_says(store.unchecked().unwrap(), &["no permissions to run the 'info' command"]);
    let warning = logged("let the user run INFO").pop().unwrap();
    assert_says(&warning, &[" WARN ", "is a primary", "evicts", "cluster", "permissions"]);
    assert!(!warning.contains("hush"), "{warning}");
    let digest = insert(&store).await;
    let id = store.find(&digest).await.unwrap().unwrap().id().clone();
    store.record_uses(&[KeyUse::new(id.clone(), SystemTime::now())]).await.unwrap();
    assert!(store.get(&id).await.unwrap().unwrap().last_used_at.is_some());
    let record = store.list(&KeyQuery::new()).await.unwrap().keys.remove(0).record;
    let mut changes = store.invalidations().subscribe().await.unwrap();
    store.commit(&[KeyChange::Remove(record)], &[]).await.unwrap();
    assert_eq!(in_time(changes.next()).await.unwrap(), Invalidation::Key(digest));
    store.invalidate_everywhere().await.unwrap();
    assert_eq!(in_time(changes.next()).await.unwrap(), Invalidation::Everything);
    let digest = insert(&store).await;
    // What is refused by the server itself needs no permission.
    pair.fail_over().await;
    store.find(&digest).await.unwrap_err();
    let replica = RedisStore::connect(&url(pair.first.address())).await.unwrap();
    assert_says(&said(&replica.find(&digest).await.unwrap_err()), &["read only replica"]);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn of_a_cluster_only_the_server_that_has_the_keys_is_connected_to() {
    let servers = [
        Server::<ClusterKind>::start().await,
        Server::<ClusterKind>::start().await,
        Server::<ClusterKind>::start().await,
    ];
    for (server, slots) in servers.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        let () = run(&server.url(), &format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
        let other = servers[0].address();
        let port = other.port();
        let meet = format!("CLUSTER MEET 127.0.0.1 {port} {}", port + 20_000);
        let () = run(&server.url(), &meet).await;
    }
    until("they know each other's slots", async || {
        let mut know = true;
        for server in &servers {
            let info: String = run(&server.url(), "CLUSTER INFO").await;
            know &= info.contains("cluster_slots_ok:16384") && info.contains("cluster_state:ok");
            let nodes: String = run(&server.url(), "CLUSTER NODES").await;
            know &= nodes.lines().filter(|node| node.contains(" connected ")).count() == 3;
        }
        know
    })
    .await;
    // The slot of `api-keys`, which the first and no other server has.
    let slot: u16 = run(&servers[0].url(), "CLUSTER KEYSLOT {api-keys}:key:1").await;
    let owner = servers.iter().zip([5460, 10922, 16383]).find(|(_, last)| slot <= *last);
    let owner = owner.unwrap().0;
    for server in &servers {
        let url = server.url();
        let untagged = RedisStore::connect(&url).key_prefix("acme:").await.unwrap_err();
        assert_says(&said(&untagged), &["part of a cluster", "`acme:`", "hash tag"]);
        let lazy = RedisStore::from_client(redis::Client::open(url.clone()).unwrap());
        let lazy = lazy.key_prefix("acme:").connect_lazily().await.unwrap();
        let digest = KeyHasher::sha256().digest("k");
        assert_says(&said(&lazy.find(&digest).await.unwrap_err()), &["hash tag"]);
        let untagged = RedisRateLimiter::connect(&url).key_prefix("acme:").await.unwrap_err();
        assert_says(&said(&untagged), &["part of a cluster", "hash tag"]);
        if server.address() == owner.address() {
            let store = store(&url).await;
            let digest = insert(&store).await;
            assert!(store.find(&digest).await.unwrap().is_some());
            let limiter = RedisRateLimiter::connect(&url).await.unwrap();
            let limited = NewKey::named("limited").tenant("acme").limit("9 per hour");
            let limited = limited.limit("99 per day, shared by tenant");
            let limited = limited.generate(&KeyScheme::default()).unwrap();
            assert!(limiter.reserve(&limited.record, 1).await.unwrap().is_granted());
        } else {
            let words = ["part of a cluster", "`{api-keys}:", &owner.address().to_string()];
            assert_says(&refusal(&url).await, &words);
            assert_says(&limiter_refusal(&url).await, &words);
        }
    }
    // A slot that nobody has.
    let () = run(&owner.url(), &format!("CLUSTER DELSLOTS {slot}")).await;
    assert_says(&refusal(&owner.url()).await, &["part of a cluster", "is not served"]);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn what_keeps_it_from_connecting_is_said_with_the_address_and_without_the_password() {
    let mut redis = Redis::start().await;
    let address = redis.address().to_string();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap().to_string();
    set(&redis.url(), "requirepass", "another").await;
    let wrong = refusal(&format!("redis://:hush@{address}")).await;
    assert_says(&wrong, &[&address, "authentication failed"]);
    let silent = refusal(&format!("redis://:hush@{silent_address}")).await;
    assert_says(&silent, &[&silent_address, "did not answer in time"]);
    redis.kill().await;
    let refused = refusal(&format!("redis://:hush@{address}")).await;
    assert_says(&refused, &[&address, "refused"]);
    let unknown = refusal("redis://:hush@no-such-host.invalid:7").await;
    assert_says(&unknown, &["no-such-host.invalid:7"]);
    let loose = refusal("redis://app:12/hush@127.0.0.1").await;
    assert_says(&loose, &["%2F"]);
    for said in [wrong, silent, refused, unknown, loose] {
        assert!(!said.contains("hush"), "{said}");
    }
    // Nor later.
    redis.start_again().await;
    let store = store(&redis.url()).await;
    redis.kill().await;
    let digest = KeyHasher::sha256().digest("k");
    store.find(&digest).await.unwrap_err();
    assert_says(&said(&store.find(&digest).await.unwrap_err()), &[&address, "refused"]);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_server_without_tls_is_said_to_be_one() {
    let redis = Redis::start().await;
    let address = redis.address().to_string();
    for _ in 0..3 {
        // It may take the greeting for a command, or for the beginning of one.
        let said = refusal(&format!("rediss://:hush@{address}")).await;
        assert_says(&said, &[&address, "did not answer as TLS does", "redis://"]);
        assert!(!said.contains("hush"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run tests/all"]
async fn sentinels_lead_to_the_primary_whichever_it_is() {
    let (first, second) = (Redis::start().await, Redis::start().await);
    let port = first.address().port();
    set(&first.url(), "repl-diskless-sync-delay", "0").await;
    let () = run(&second.url(), &format!("REPLICAOF 127.0.0.1 {port}")).await;
    let sentinels = [
        Server::<SentinelKind>::start().await,
        Server::<SentinelKind>::start().await,
        Server::<SentinelKind>::start().await,
    ];
    for sentinel in &sentinels {
        let monitor = format!("SENTINEL MONITOR main 127.0.0.1 {port} 2");
        let () = run(&sentinel.url(), &monitor).await;
        let () = run(&sentinel.url(), "SENTINEL SET main failover-timeout 2000").await;
    }
    until("they know each other and the replica", async || {
        let mut know = true;
        for sentinel in &sentinels {
            let says: std::collections::HashMap<String, String> =
                run(&sentinel.url(), "SENTINEL MASTER main").await;
            know &= says["num-other-sentinels"] == "2" && says["num-slaves"] == "1";
        }
        know
    })
    .await;
    let hosts = sentinels.each_ref().map(|sentinel| sentinel.address().to_string()).join(",");
    // One of the list need not be there.
    let url = format!("redis+sentinel://127.0.0.1:1,{hosts}/main/0");
    let store = store(&url).await;
    let digest = insert(&store).await;
    let name = format!("{{api-keys}}:key:{digest}");
    until("it is copied", async || run(&second.url(), &format!("EXISTS {name}")).await).await;
    let () = run(&sentinels[0].url(), "SENTINEL FAILOVER main").await;
    until("it is found at the other server", async || {
        assert!(!matches!(store.find(&digest).await, Ok(None)), "it is lost");
        store.find(&digest).await.is_ok()
            && crate::redis_replication::role(&first.url()).await == "slave"
    })
    .await;
    let at_second = RedisStore::connect(&second.url()).await.unwrap();
    let other = insert(&store).await;
    assert!(at_second.find(&other).await.unwrap().is_some());
    assert_says(
        &refusal(&format!("redis+sentinel://{hosts}/other")).await,
        &["`other`", "No such master"],
    );
    let gone = refusal("redis+sentinel://:hush@127.0.0.1:1,127.0.0.1:2/main").await;
    assert_says(&gone, &["127.0.0.1:2", "refused"]);
    assert!(!gone.contains("hush"), "{gone}");
    // A server that is no sentinel, and a sentinel that is taken for a server.
    let no_sentinel = refusal(&format!("redis+sentinel://{}/main", second.address())).await;
    assert_says(&no_sentinel, &["SENTINEL"]);
    let no_server = refusal(&sentinels[0].url()).await;
    assert_says(&no_server, &["sentinel", "redis+sentinel://"]);
}
