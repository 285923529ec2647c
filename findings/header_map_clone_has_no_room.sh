#!/usr/bin/env bash
# http 1.5.0 (crates.io): a clone of a HeaderMap reports the `capacity()` of the original, but its list of entries
# has no spare room. The next insert into the clone allocates and moves all entries, while the original, of the
# same capacity and length, takes eight more without an allocation. `reserve` changes nothing where the reported
# capacity is enough.
#
# It matters to servers and proxies that keep a HeaderMap with spare capacity as a template, clone it for each
# answer and add two headers: each of them pays for one more allocation, and for a copy of what was just cloned.
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
http = "=1.5.0"
TOML
cat >src/main.rs <<'RUST'
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use http::{HeaderMap, HeaderName, HeaderValue};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        System.alloc(layout)
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        System.dealloc(block, layout)
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        System.realloc(block, layout, size)
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations eight inserts take.
fn insert_eight(headers: &mut HeaderMap) -> usize {
    let names: Vec<_> = (0..8).map(|n| HeaderName::try_from(format!("x-added-{n}")).unwrap()).collect();
    let before = ALLOCATIONS.load(Relaxed);
    for name in names {
        headers.insert(name, HeaderValue::from_static("a"));
    }
    ALLOCATIONS.load(Relaxed) - before
}

fn main() {
    let mut template = HeaderMap::with_capacity(64);
    for n in 0..8 {
        template.insert(HeaderName::try_from(format!("x-{n}")).unwrap(), HeaderValue::from_static("a"));
    }
    let mut clone = template.clone();
    let mut reserved = template.clone();
    reserved.reserve(8);
    let capacities = (template.capacity(), clone.capacity(), reserved.capacity());
    let allocations = (insert_eight(&mut template), insert_eight(&mut clone), insert_eight(&mut reserved));

    println!("(template, clone, clone with reserve): capacities {capacities:?}, allocations of eight inserts {allocations:?}");
    if capacities != (96, 96, 96) || allocations.0 != 0 || allocations.1 == 0 || allocations.2 == 0 {
        std::process::exit(1);
    }
}
RUST
if ! cargo run --quiet; then
    echo "this has changed: a clone of a HeaderMap has the room that it says" >&2
    exit 1
fi
