//! What the memory store needs for a million keys, and how reads scale over threads.
//!
//! `cargo bench --bench store` prints both. Memory is the growth of the process (Linux only).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use tower_api_key::{KeyDigest, KeyStore, MemoryStore, NewKey};

const KEYS: usize = 1_000_000;
const READS: usize = 4_000_000;
const ROUNDS: usize = 5;

/// Returns the resident memory of this process in bytes.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

/// Returns the time in which each of `threads` reads as many records, each thread its own.
fn read(store: &MemoryStore, digests: &[KeyDigest], threads: usize) -> Duration {
    let start = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = digests
            .chunks(digests.len().div_ceil(2))
            .cycle()
            .take(threads)
            .map(|own| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    for digest in own.iter().cycle().take(READS) {
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

fn main() {
    let before = resident();
    let store = MemoryStore::new();
    for _ in 0..KEYS {
        let key = NewKey::named("nightly import").tenant("acme").abilities(["imports:write"]);
        store.issue(key).unwrap();
    }
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("memory for each of {KEYS} keys: {} bytes", (after - before) / KEYS);
    }
    let digests: Vec<_> = store.list().iter().map(|record| record.digest).collect();
    for (what, digests) in [
        ("a million keys", &digests[..]),
        ("a thousand keys", &digests[..1000]),
        ("the same key", &digests[..1]),
    ] {
        let best = |threads| (0..ROUNDS).map(|_| read(&store, digests, threads)).min().unwrap();
        let (one, two) = (best(1), best(2));
        println!(
            "{what}: two threads read {:.2} times what one does ({:.0} and {:.0} ns a read)",
            2.0 * one.as_secs_f64() / two.as_secs_f64(),
            one.as_secs_f64() * 1e9 / READS as f64,
            two.as_secs_f64() * 1e9 / READS as f64,
        );
    }
}
