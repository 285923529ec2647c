//! What a million keys need in memory, in the stores and in the limiter, and how they scale over threads.
//!
//! `cargo bench -p tower-api-key-benches --bench scaling` prints it, and `cargo bench -p tower-api-key-benches --bench scaling -- memory 10000000` what so
//! many keys need, without threads. Memory is what was asked of the allocator, without what that itself
//! needs: keys with an id, a name, a tenant that has a hundred of them, and one of eight sets of three
//! abilities, with all by which a store finds and lists them.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

#[path = "../tests/common/memory.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod memory;

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tower_api_key::store::KeyHint;
use tower_api_key::{
    CachedStore, KeyDigest, KeyHasher, KeyId, KeyRecord, KeyScheme, KeyStore, MemoryRateLimiter,
    MemoryStore, NewKey, RateLimiter, StoreError,
};

use self::memory::MemoryKeys as _;

const KEYS: usize = 1_000_000;
const CALLS: usize = 4_000_000;
const ROUNDS: usize = 5;

/// Prints how much `fill` allocates for each key and keeps.
fn print_memory(what: &str, keys: usize, fill: impl FnOnce()) {
    let started = Instant::now();
    let bytes = allocation_counter::measure(fill).bytes_current;
    let each = bytes as f64 / keys as f64;
    let time = started.elapsed().as_secs_f64() * 1e6 / keys as f64;
    println!("{what}: {each:.1} bytes for each of {keys} keys, put there in {time:.2} us each");
}

const RESOURCES: [&str; 8] =
    ["bots", "chats", "files", "teams", "users", "hooks", "bills", "reports"];

fn name(number: usize) -> String {
    format!("import {number}")
}

fn tenant(number: usize, keys: usize) -> String {
    format!("tenant-{}", number % keys.div_ceil(100))
}

fn abilities(number: usize) -> [String; 3] {
    let resource = RESOURCES[number % RESOURCES.len()];
    ["read", "write", "share"].map(|action| format!("{resource}:{action}"))
}

/// Makes a record of each digest, as a database does of a row.
struct Rows(usize);

#[async_trait]
impl KeyStore for Rows {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let [.., a, b, c, d] = *digest.as_bytes();
        let number = u32::from_le_bytes([a, b, c, d]) as usize;
        let id = KeyId::generate().unwrap();
        let mut record = KeyRecord::new(id, *digest, name(number % 1_000_000), SystemTime::now());
        record.set_hint(KeyHint::new("ak_", "x789"));
        record.set_tenant(Some(tenant(number, self.0).parse().unwrap()));
        let abilities = abilities(number);
        record.set_abilities(abilities.iter().map(|text| text.parse().unwrap()).collect());
        Ok(Some(Arc::new(record)))
    }
}

/// Returns a store with so many keys.
fn memory_store(keys: usize) -> MemoryStore {
    let store = MemoryStore::new();
    print_memory("memory store", keys, || {
        for number in 0..keys {
            let key = NewKey::named(name(number)).tenant(tenant(number, keys));
            store.issue(key.abilities(abilities(number))).unwrap();
        }
    });
    store
}

fn cached(keys: usize) {
    let year = Duration::from_secs(366 * 24 * 3600);
    let cached = CachedStore::builder(Rows(keys)).capacity(2 * keys).max_bytes(usize::MAX);
    let cached = cached.ttl(year).max_staleness(year).build();
    let hasher = KeyHasher::sha256();
    // As it waits for no other, it needs none.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    let digest = |number: usize| hasher.digest(&number.to_string());
    print_memory("cached store", keys, || {
        for number in 0..keys {
            cached.find(&digest(number)).now_or_never().unwrap().unwrap();
        }
    });
    assert!((0..keys).all(|number| cached.find_now(&digest(number)).answer().is_some()));
}

/// Returns the time in which each of `threads` makes as many calls, each with items of its own.
fn run<T: Sync>(items: &[T], threads: usize, call: &(impl Fn(&T) + Sync)) -> Duration {
    let start = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(items.len().div_ceil(2))
            .cycle()
            .take(threads)
            .map(|own| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    own.iter().cycle().take(CALLS).for_each(call);
                })
            })
            .collect();
        start.wait();
        let started = Instant::now();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        started.elapsed()
    })
}

/// Prints how two threads compare with one, for a million keys, a thousand and one.
fn print_scaling<T: Sync>(what: &str, items: &[T], call: impl Fn(&T) + Sync) {
    for (keys, items) in [
        ("a million keys", items),
        ("a thousand keys", &items[..1000]),
        ("the same key", &items[..1]),
    ] {
        let best = |threads| (0..ROUNDS).map(|_| run(items, threads, &call)).min().unwrap();
        let (one, two) = (best(1), best(2));
        println!(
            "{what}, {keys}: two threads do {:.2} times what one does ({:.0} and {:.0} ns a call)",
            2.0 * one.as_secs_f64() / two.as_secs_f64(),
            one.as_secs_f64() * 1e9 / CALLS as f64,
            two.as_secs_f64() * 1e9 / CALLS as f64,
        );
    }
}

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "memory").skip(1);
    if let Some(keys) = arguments.next() {
        let keys = keys.parse().unwrap();
        drop(memory_store(keys));
        return cached(keys);
    }
    cached(KEYS);
    let store = memory_store(KEYS);
    // A long time, so that no key is forgotten in between.
    let limited = NewKey::named("nightly import").limit("1000000 per 366 days");
    let generate = |_| limited.clone().generate(&KeyScheme::default()).unwrap().record;
    let records: Vec<_> = (0..KEYS).map(generate).collect();
    let limiter = MemoryRateLimiter::new();
    print_memory("limiter", KEYS, || {
        assert!(records.iter().all(|key| limiter.reserve_now(key, 1).answer().is_some()));
    });
    let digests: Vec<_> = store.records().iter().map(|record| record.digest()).collect();
    print_scaling("store", &digests, |digest| {
        assert!(black_box(store.find_now(digest)).answer().is_some());
    });
    print_scaling("limiter", &records, |key| {
        assert!(black_box(limiter.reserve_now(key, 1)).answer().is_some());
    });
}
