//! What a million keys need in memory, in the store and in the limiter, and how both scale over
//! threads.
//!
//! `cargo bench --bench scaling` prints it. Memory is what was allocated, without
//! what the allocator itself needs.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use tower_api_key::{KeyScheme, KeyStore, MemoryRateLimiter, MemoryStore, NewKey, RateLimiter};

const KEYS: usize = 1_000_000;
const CALLS: usize = 4_000_000;
const ROUNDS: usize = 5;

/// Prints how much `fill` allocates for each key and keeps.
fn print_memory(what: &str, fill: impl FnOnce()) {
    let bytes = allocation_counter::measure(fill).bytes_current;
    println!("{what}: {} bytes for each of {KEYS} keys", bytes / KEYS as i64);
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
    let store = MemoryStore::new();
    print_memory("store", || {
        for _ in 0..KEYS {
            let key = NewKey::named("nightly import").tenant("acme").abilities(["imports:write"]);
            store.issue(key).unwrap();
        }
    });
    // A long time, so that no key is forgotten in between.
    let limited = NewKey::named("nightly import").limit("1000000 per 366 days");
    let generate = |_| limited.clone().generate(&KeyScheme::default()).unwrap().record;
    let records: Vec<_> = (0..KEYS).map(generate).collect();
    let limiter = MemoryRateLimiter::new();
    print_memory("limiter", || {
        assert!(records.iter().all(|key| limiter.reserve_now(key, 1).answer().is_some()));
    });
    let digests: Vec<_> = store.list().iter().map(|record| record.digest()).collect();
    print_scaling("store", &digests, |digest| {
        assert!(black_box(store.find_now(digest)).answer().is_some());
    });
    print_scaling("limiter", &records, |key| {
        assert!(black_box(limiter.reserve_now(key, 1)).answer().is_some());
    });
}
