//! What the limiter in memory needs for a million keys, and how it scales over threads.
//!
//! `cargo bench --bench limiter` prints both. Memory is the growth of the process (Linux only).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use tower_api_key::{KeyHasher, KeyRecord, MemoryRateLimiter, NewKey, RateLimiter};

const KEYS: usize = 1_000_000;
const REQUESTS: usize = 2_000_000;
const ROUNDS: usize = 5;

/// Returns the resident memory of this process in bytes.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

/// Returns the time in which each of `threads` makes as many requests, each with keys of its own.
fn limit(limiter: &MemoryRateLimiter, keys: &[Arc<KeyRecord>], threads: usize) -> Duration {
    let start = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = keys
            .chunks(keys.len().div_ceil(2))
            .cycle()
            .take(threads)
            .map(|own| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    for key in own.iter().cycle().take(REQUESTS) {
                        assert!(black_box(limiter.reserve_now(key, 1)).is_ready());
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
    let limited = NewKey::named("bench").limit("1000000 per hour");
    let keys: Vec<_> =
        (0..KEYS).map(|_| limited.clone().generate(&KeyHasher::sha256()).unwrap().record).collect();
    let limiter = MemoryRateLimiter::new();
    let before = resident();
    for key in &keys {
        assert!(limiter.reserve_now(key, 1).is_ready());
    }
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("memory for each of {KEYS} keys in use: {} bytes", (after - before) / KEYS);
    }
    for (what, keys) in [
        ("a million keys", &keys[..]),
        ("a thousand keys", &keys[..1000]),
        ("two keys", &keys[..2]),
    ] {
        let best = |threads| (0..ROUNDS).map(|_| limit(&limiter, keys, threads)).min().unwrap();
        let (one, two) = (best(1), best(2));
        println!(
            "{what}: two threads limit {:.2} times what one does ({:.0} and {:.0} ns a request)",
            2.0 * one.as_secs_f64() / two.as_secs_f64(),
            one.as_secs_f64() * 1e9 / REQUESTS as f64,
            two.as_secs_f64() * 1e9 / REQUESTS as f64,
        );
    }
}
