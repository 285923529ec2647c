//! What a key costs that is in memory in front of a database, next to one in a memory store, and
//! what it costs when it is not there yet.
//!
//! `cargo bench -p tower-api-key-benches --bench cache` prints the ratios. With the variable `DATABASE_URL`, PostgreSQL
//! is measured too.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

mod support;

use std::env;
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, criterion_group};
use http::StatusCode;
use tokio::runtime::Runtime;
use tower::{Layer as _, service_fn};
use tower_api_key::store::KeyChange;
use tower_api_key::{
    ApiKeyLayer, CachedStore, KeyDigest, KeyHasher, KeyId, KeyRecord, KeyRepository, KeyScheme,
    KeyStore, MemoryStore, NewKey, PostgresStore, SqliteStore,
};

use self::support::memory::MemoryKeys as _;
use self::support::{answer, call, median, store};

const KEYS: u32 = 1_000_000;

/// Measures lookups of a million keys, in the store and in a cache that has them all.
fn hit(criterion: &mut Criterion) {
    let (store, hasher) = (MemoryStore::new(), KeyHasher::sha256());
    // Digests are random, so their order is no order in memory.
    let digests: Vec<_> = (0..KEYS)
        .map(|number| {
            let digest = hasher.digest(&number.to_string());
            store.insert(KeyRecord::new(
                KeyId::generate().unwrap(),
                digest,
                "bench",
                SystemTime::now(),
            ));
            digest
        })
        .collect();
    let year = Duration::from_secs(366 * 24 * 3600);
    let cached = CachedStore::builder(store.clone());
    // Room enough that none has to go, and time enough that none is loaded again.
    let cached = cached.capacity(2 * digests.len()).max_bytes(usize::MAX);
    let cached = cached.ttl(year).max_staleness(year).build();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        for digest in &digests {
            cached.find(digest).await.unwrap();
        }
    });
    assert!(digests.iter().all(|digest| cached.find_now(digest).answer().is_some()));

    let stores: [(&str, &str, &dyn KeyStore); 2] =
        [("store", "memory_1m", &store), ("cache", "hit", &cached)];
    for (group, id, store) in stores {
        let mut asked = digests.iter().cycle();
        criterion.benchmark_group(group).bench_function(id, |bencher| {
            bencher.iter(|| store.find_now(asked.next().unwrap()));
        });
    }
    criterion.benchmark_group("cache").bench_function("hit_2_threads", |bencher| {
        bencher.iter_custom(|calls| two_threads(&cached, &digests, calls));
    });
}

/// Returns the time in which each of two threads makes as many calls, for keys of its own.
fn two_threads(store: &dyn KeyStore, digests: &[KeyDigest], calls: u64) -> Duration {
    let start = Barrier::new(3);
    thread::scope(|scope| {
        let threads: Vec<_> = digests
            .chunks(digests.len() / 2)
            .map(|own| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    for digest in own.iter().cycle().take(usize::try_from(calls).unwrap()) {
                        assert!(black_box(store.find_now(digest)).answer().is_some());
                    }
                })
            })
            .collect();
        start.wait();
        let started = Instant::now();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        started.elapsed()
    })
}

/// Measures a lookup that has to ask the database.
fn miss<S: KeyRepository + 'static>(
    criterion: &mut Criterion,
    id: &str,
    runtime: &Runtime,
    cached: &CachedStore<S>,
) {
    let record = issue(runtime, cached).1.digest();
    criterion.benchmark_group("cache").bench_function(id, |bencher| {
        bencher.iter(|| {
            cached.invalidate(&record);
            assert!(runtime.block_on(cached.find(&record)).unwrap().is_some());
        });
    });
}

/// Issues a key, and returns its text and its record.
fn issue(runtime: &Runtime, keys: &impl KeyRepository) -> (String, Arc<KeyRecord>) {
    let issued = NewKey::named("bench").abilities(["bots:read"]).generate(&KeyScheme::default());
    let issued = issued.unwrap();
    let insert = KeyChange::Insert(Arc::clone(&issued.record));
    runtime.block_on(keys.commit(&[insert], &[])).unwrap();
    (issued.secret.reveal().to_owned(), issued.record)
}

fn sqlite(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = runtime.block_on(async { SqliteStore::open(directory.path().join("keys")).await });
    miss(criterion, "miss_sqlite", &runtime, &CachedStore::new(store.unwrap()));
}

fn postgres(criterion: &mut Criterion) {
    let Ok(url) = env::var("DATABASE_URL") else {
        return println!("PostgreSQL is left out: DATABASE_URL names none");
    };
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(async { PostgresStore::connect(&url).await }).unwrap();
    let cached = {
        let _entered = runtime.enter();
        let source = database.invalidations();
        CachedStore::builder(database).invalidated_by(source).build()
    };
    while !cached.is_live() {
        thread::sleep(Duration::from_millis(10));
    }
    miss(criterion, "miss_postgres", &runtime, &cached);

    let (memory, key) = store();
    let header = [("x-api-key", &*key)];
    call(criterion, ("tower", "bare"), service_fn(answer), &header, StatusCode::OK);
    let service = ApiKeyLayer::new(memory).layer(service_fn(answer));
    call(criterion, ("tower", "accept_header"), service, &header, StatusCode::OK);

    let (key, record) = issue(&runtime, &cached);
    // The database notifies of it too, a moment later, and the cache forgets it once more.
    thread::sleep(Duration::from_secs(1));
    runtime.block_on(cached.find(&record.digest())).unwrap();
    let service = ApiKeyLayer::new(cached).layer(service_fn(answer));
    // As a request is handled: the first after a while loads the record again in the background.
    let _entered = runtime.enter();
    let header = [("x-api-key", &*key)];
    call(criterion, ("tower", "accept_cached_postgres"), service, &header, StatusCode::OK);
}

fn print_ratios() {
    let print = |what: &str, ratio: f64, goal: f64| {
        let verdict = if ratio <= goal { "reached" } else { "missed" };
        println!("{what:<48} {ratio:>5.2} (at most {goal:.2}: {verdict})");
    };
    let hit = median("cache/hit").unwrap();
    print("hit, by memory store", hit / median("store/memory_1m").unwrap(), 1.5);
    if env::var_os("DATABASE_URL").is_some() {
        let over = |id| median(id).unwrap() - median("tower/bare").unwrap();
        let ratio = over("tower/accept_cached_postgres") / over("tower/accept_header");
        print("accept cached over bare, by accept over bare", ratio, 1.25);
    }
}

criterion_group!(benches, hit, sqlite, postgres);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    print_ratios();
}
