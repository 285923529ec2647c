//! What a key costs that is in memory in front of a database, next to one in a memory store.
//!
//! `cargo bench --bench cache` prints the ratio.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

mod support;

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use tokio::runtime::Runtime;
use tower_api_key::store::CachedStore;
use tower_api_key::{KeyDigest, KeyHasher, KeyId, KeyRecord, KeyStore, MemoryStore};

use self::support::median;

const KEYS: u32 = 1_000_000;

/// Measures lookups of a million keys, in the store and in a cache that has them all.
fn hit(criterion: &mut Criterion) {
    let (store, hasher) = (MemoryStore::new(), KeyHasher::sha256());
    // Digests are random, so their order is no order in memory.
    let digests: Vec<_> = (0..KEYS)
        .map(|number| {
            let digest = hasher.digest(&number.to_string());
            store.insert(KeyRecord::new(KeyId::generate().unwrap(), digest, "bench"));
            digest
        })
        .collect();
    let year = Duration::from_secs(366 * 24 * 3600);
    let cached = CachedStore::builder(store.clone());
    // Room enough that none has to go, and time enough that none is loaded again.
    let cached = cached.capacity(2 * digests.len()).ttl(year).max_staleness(year).build();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        for digest in &digests {
            cached.find(digest).await.unwrap();
        }
    });
    assert!(digests.iter().all(|digest| cached.find_now(digest).is_ready()));

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
                        assert!(black_box(store.find_now(digest)).is_ready());
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

fn print_ratios() {
    let print = |what: &str, ratio: f64, goal: f64| {
        let verdict = if ratio <= goal { "reached" } else { "missed" };
        println!("{what:<48} {ratio:>5.2} (at most {goal:.2}: {verdict})");
    };
    let hit = median("cache/hit").unwrap();
    print("hit, by memory store", hit / median("store/memory_1m").unwrap(), 1.5);
}

criterion_group!(benches, hit);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    print_ratios();
}
