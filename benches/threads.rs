//! How much more two threads do than one, through the layer, and what metrics add.
//!
//! `cargo bench -p tower-api-key-benches --bench threads` prints it. Requests are made in batches of 64, which the caches of a
//! processor hold, and only what the layer does with them is timed.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

mod support;

use std::sync::Barrier;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tower::{Layer as _, Service as _, service_fn};
use tower_api_key::metrics::Metrics;
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey};

use self::support::memory::MemoryKeys as _;
use self::support::{answer, request};

const BATCH: usize = 64;
const BATCHES: usize = 4000;
const ROUNDS: usize = 9;

/// Returns what a request takes on average, in nanoseconds, where each of these keys has a thread.
fn run(layer: &ApiKeyLayer, keys: &[String]) -> f64 {
    let start = Barrier::new(keys.len());
    let serve = |key: &String| {
        let mut service = layer.layer(service_fn(answer));
        let mut context = Context::from_waker(Waker::noop());
        let mut spent = Duration::ZERO;
        start.wait();
        for _ in 0..BATCHES {
            let requests: [_; BATCH] = std::array::from_fn(|_| request(&[("x-api-key", key)]));
            let started = Instant::now();
            for request in requests {
                assert!(service.poll_ready(&mut context).is_ready());
                let response = service.call(request).now_or_never().unwrap().unwrap();
                assert_eq!(response.status(), 200);
            }
            spent += started.elapsed();
        }
        spent.as_secs_f64() * 1e9 / (BATCH * BATCHES) as f64
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = keys.iter().map(|key| scope.spawn(|| serve(key))).collect();
        let times = threads.into_iter().map(|thread| thread.join().unwrap());
        times.sum::<f64>() / keys.len() as f64
    })
}

fn main() {
    let store = MemoryStore::new();
    let issue = || store.issue(NewKey::named("bench").abilities(["bots:read"])).unwrap();
    let [first, second] = [issue(), issue()].map(|issued| issued.secret.reveal().to_owned());
    let layer = ApiKeyLayer::new(store);
    let cases = [vec![first.clone()], vec![first.clone(), second], vec![first.clone(), first]];
    let layers = [layer.clone(), layer.observer(Metrics::new())];
    // In turn, so that what else the machine does falls on all.
    let mut best = [[f64::INFINITY; 3]; 2];
    for _ in 0..ROUNDS {
        for (layer, best) in layers.iter().zip(&mut best) {
            for (best, keys) in best.iter_mut().zip(&cases) {
                *best = best.min(run(layer, keys));
            }
        }
    }
    for (with, [one, own, same]) in ["without metrics", "with metrics"].iter().zip(best) {
        println!("{with}: one thread takes {one:.0} ns a request");
        for (what, time) in [("own key each", own), ("the same key", same)] {
            println!(
                "  {what}: two threads do {:.2} times as much ({time:.0} ns)",
                2.0 * one / time
            );
        }
    }
    println!("metrics add {:.0} ns a request", best[1][0] - best[0][0]);
}
