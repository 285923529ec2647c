//! What grows with the number of keys: look-ups, pages of lists by each filter, and changes, over each
//! store, with as many keys as the arguments say.
//!
//! `tests/servers cargo bench -p tower-api-key-benches --bench growth -- 10000 100000 1000000` prints one table,
//! in microseconds: the median of some runs of each. The last column is how many times longer it takes
//! with the most keys than with the fewest. Below it stands what a look-up takes alone, and while 60
//! lists that match nothing run at once.
//!
//! Every key is of the same kind and stage, is named and was issued alike, and was used just now. Half
//! of them are of one tenant. Of 10 000 keys, one is disabled, one has expired and one should be
//! replaced.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

mod fill;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tower_api_key::store::{KeyQuery, KeyState};
use tower_api_key::{KeyDigest, KeyManager, KeyRepository, NewKey};

use self::fill::{BIG_TENANT, Filled, digest, issued_at};

/// How often each thing is done.
const RUNS: usize = 5;

/// How many lists run at once, while a look-up is measured so often.
const LISTS: usize = 60;
const LOOK_UPS: usize = 300;

type Store = Arc<dyn KeyRepository>;

/// The medians of what was measured, by store and what was done, for each number of keys.
#[derive(Default)]
struct Table {
    rows: Vec<(String, BTreeMap<usize, Duration>)>,
}

impl Table {
    fn add(&mut self, store: &str, what: &str, keys: usize, median: Duration) {
        let name = format!("{store}: {what}");
        eprintln!("{keys} keys, {name}: {median:?}");
        let row = match self.rows.iter().position(|(known, _)| *known == name) {
            Some(row) => row,
            None => {
                self.rows.push((name, BTreeMap::new()));
                self.rows.len() - 1
            }
        };
        self.rows[row].1.insert(keys, median);
    }

    fn print(&self, sizes: &[usize]) {
        let sizes_are: Vec<_> = sizes.iter().map(|size| format!("{size} keys")).collect();
        println!("| µs | {} | times |", sizes_are.join(" | "));
        println!("|---|{}", "---|".repeat(sizes.len() + 1));
        for (name, medians) in &self.rows {
            let micros = |time: &Duration| time.as_secs_f64() * 1e6;
            let cells: Vec<_> =
                medians.values().map(|time| format!("{:.0}", micros(time))).collect();
            let (first, last) =
                (medians.values().next().unwrap(), medians.values().last().unwrap());
            let times = micros(last) / micros(first);
            println!("| {name} | {} | {times:.1} |", cells.join(" | "));
        }
    }
}

/// Returns the median time of several runs.
async fn median(runs: usize, mut run: impl AsyncFnMut(usize)) -> Duration {
    let mut times = Vec::with_capacity(runs);
    for number in 0..runs {
        let begun = Instant::now();
        run(number).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[runs / 2]
}

/// The pages that are measured.
fn pages(keys: usize) -> Vec<(&'static str, KeyQuery)> {
    let query = KeyQuery::new();
    let big = || query.clone().tenant(BIG_TENANT);
    let (early, late) = (issued_at(0), issued_at(keys) + Duration::from_secs(1 << 30));
    vec![
        ("all", query.clone()),
        ("of a tenant", big()),
        ("active", query.clone().state(KeyState::Active)),
        ("of a tenant, active", big().state(KeyState::Active)),
        ("disabled, rare", query.clone().state(KeyState::Disabled)),
        ("expired, rare", query.clone().state(KeyState::Expired)),
        ("revoked, none", query.clone().state(KeyState::Revoked)),
        ("of a tenant, revoked, none", big().state(KeyState::Revoked)),
        ("due for rotation, rare", query.clone().rotation_due_by(late)),
        ("due for rotation, none", query.clone().rotation_due_by(early)),
        ("unused for long, all", query.clone().unused_since(late)),
        ("unused for long, none", query.clone().unused_since(issued_at(keys + 1))),
        ("name, all", query.clone().name("KEY")),
        ("name, rare", query.clone().name("needle")),
        ("name, none", query.clone().name("nothing")),
        ("of a tenant, name, none", big().name("nothing")),
        ("stage, all", query.clone().stage("live")),
        ("stage, none", query.clone().stage("prod")),
        ("kind, none", query.clone().kind(tower_api_key::KeyKind::Public)),
        ("created by, all", query.clone().created_by("alice")),
        ("created by, none", query.created_by("mallory")),
    ]
}

async fn measure(table: &mut Table, name: &str, store: &Store, keys: usize) {
    let mut add = |what: &str, median| table.add(name, what, keys, median);
    let found = median(101, async |number| {
        assert!(store.find(&any(number, keys)).await.unwrap().is_some());
    });
    add("look-up", found.await);
    for (what, query) in pages(keys) {
        let page = median(RUNS, async |_| drop(store.list(&query).await.unwrap()));
        add(&format!("page, {what}"), page.await);
    }
    let manager = KeyManager::new(Arc::clone(store));
    let key = |number: usize| NewKey::named("new key").tenant(format!("new-{number}"));
    let mut ids = Vec::new();
    let issue = median(RUNS, async |number| {
        ids.push(manager.issue(key(number)).await.unwrap().record.id().clone());
    });
    add("issue", issue.await);
    let bounded = manager.clone().max_keys_per_tenant(100);
    let issue = median(RUNS, async |_| drop(bounded.issue(key(0)).await.unwrap()));
    add("issue, of at most 100 keys", issue.await);
    let revoke = median(RUNS, async |number| drop(manager.revoke(&ids[number]).await.unwrap()));
    add("revoke", revoke.await);
    // Removing what has ended is to be measured here, too.
    // Nobody waits for a connection to what is in memory.
    if name == "memory" {
        return;
    }
    add("look-up now and then, alone", look_ups(store, keys).await);
    add(&format!("the same while {LISTS} lists run"), beside_lists(store, keys).await);
}

/// Returns the median time of a look-up while lists run that have to visit all that they may.
async fn beside_lists(store: &Store, keys: usize) -> Duration {
    let ends = Arc::new(AtomicBool::new(false));
    let lists: Vec<_> = (0..LISTS)
        .map(|_| {
            let (store, ends) = (Arc::clone(store), Arc::clone(&ends));
            tokio::spawn(async move {
                let query = KeyQuery::new().name("nothing");
                while !ends.load(Ordering::SeqCst) {
                    // One that waited for too long is an error.
                    let _ = store.list(&query).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let median = look_ups(store, keys).await;
    ends.store(true, Ordering::SeqCst);
    join_all(lists).await;
    median
}

/// Returns the median time of a look-up, as requests come: not one right behind the other.
async fn look_ups(store: &Store, keys: usize) -> Duration {
    let mut times = Vec::with_capacity(LOOK_UPS);
    for number in 0..LOOK_UPS {
        let begun = Instant::now();
        assert!(store.find(&any(number, keys)).await.unwrap().is_some());
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    times.sort_unstable();
    times[LOOK_UPS / 2]
}

/// Returns the digest of a key, of another one each time.
fn any(number: usize, keys: usize) -> KeyDigest {
    digest(number * 7919 % keys)
}

#[tokio::main]
async fn main() {
    let sizes = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let mut sizes: Vec<usize> = sizes.collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000];
    }
    let mut table = Table::default();
    for &keys in &sizes {
        for fill in Filled::ALL {
            let filled = fill(keys).await;
            eprintln!("{} has {keys} keys", filled.name);
            measure(&mut table, filled.name, &filled.store, keys).await;
            filled.end().await;
        }
    }
    table.print(&sizes);
}
