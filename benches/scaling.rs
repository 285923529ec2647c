//! What a million keys need in memory, in the store and in the limiter, and how both scale over
//! threads.
//!
//! `cargo bench --bench scaling` prints it. Memory is the growth of the process (Linux only).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use tower_api_key::{KeyStore, MemoryRateLimiter, MemoryStore, NewKey, RateLimiter};

const KEYS: usize = 1_000_000;
const CALLS: usize = 4_000_000;
const ROUNDS: usize = 5;

/// Returns the resident memory of this process in bytes.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

/// Prints by how much `fill` makes the process grow for each key.
fn print_memory(what: &str, fill: impl FnOnce()) {
    let before = resident();
    fill();
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("{what}: {} bytes for each of {KEYS} keys", (after - before) / KEYS);
    }
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
            store.issue(key.limit("1000000 per hour")).unwrap();
        }
    });
    let records = store.list();
    let limiter = MemoryRateLimiter::new();
    print_memory("limiter", || {
        assert!(records.iter().all(|key| limiter.reserve_now(key, 1).is_ready()));
    });
    let digests: Vec<_> = records.iter().map(|record| record.digest).collect();
    print_scaling("store", &digests, |digest| {
        assert!(black_box(store.find_now(digest)).is_ready());
    });
    print_scaling("limiter", &records, |key| {
        assert!(black_box(limiter.reserve_now(key, 1)).is_ready());
    });
}
