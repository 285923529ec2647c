#!/usr/bin/env bash
# tracing 0.1.44 with tracing-core 0.1.36 (crates.io), on stable Rust: with a single subscriber, set for one
# thread by `set_default`, an event is off for good if a thread without a subscriber comes to it first. The
# subscriber's own thread then writes nothing either: whether an event is wanted is kept per event, and with one
# subscriber only the thread that asks is asked. A second subscriber anywhere in the process, even one that wants
# nothing, puts it right, and so does a subscriber for the whole process.
#
# It matters to tests that capture events by `set_default` or `with_default` beside tests that capture none, and
# to benchmarks that compare a thread with a subscriber to one without: they see no events, by turns.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
tracing = "=0.1.44"
tracing-core = "=0.1.36"
TOML
cat >src/main.rs <<'RUST'
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::subscriber::{set_default, NoSubscriber};
use tracing::{span, Event, Metadata, Subscriber};

static SEEN: AtomicUsize = AtomicUsize::new(0);

/// Wants every event, and counts them.
struct Counts;

impl Subscriber for Counts {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {
        SEEN.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn happens() {
    tracing::info!("it happened");
}

fn seen() -> usize {
    SEEN.swap(0, Ordering::SeqCst)
}

fn main() {
    let _listening = set_default(Counts);
    // Another thread, which has no subscriber, is the first.
    std::thread::spawn(happens).join().unwrap();
    happens();
    let alone = seen();
    let _nothing = std::thread::spawn(|| {
        let nothing = tracing::Dispatch::new(NoSubscriber::default());
        tracing::dispatcher::with_default(&nothing, || ());
        nothing
    })
    .join()
    .unwrap();
    happens();
    let beside_another = seen();
    println!("alone: {alone}, beside one that wants nothing: {beside_another}");
}
RUST
seen=$(cargo run --quiet)
echo "events that the subscriber saw, $seen"
# Each was to be one event.
[ "$seen" = 'alone: 0, beside one that wants nothing: 1' ] || exit 1
