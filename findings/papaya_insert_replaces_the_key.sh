#!/usr/bin/env bash
# papaya 0.2.5 (crates.io): `insert` of an equal key replaces the key as well as the value, and so do `update` and
# `compute`. std's HashMap and dashmap 6.1.0 keep the key that was there first and change the value alone, and so
# does papaya's own `get_or_insert`.
#
# It matters to maps whose equal keys differ in something: an `Arc<str>` that is shared with other maps (each
# change brings in another allocation, and `Arc::ptr_eq` fails), or a name that is compared without case and
# shown as it was written first. Code that moves here from dashmap or from a Mutex<HashMap> behaves differently.
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
dashmap = "=6.1.0"
papaya = "=0.2.5"
TOML
cat >src/main.rs <<'RUST'
use std::collections::HashMap;
use std::sync::Arc;

use papaya::Operation;

fn main() {
    let [first, second, third, fourth] = [(); 4].map(|()| Arc::<str>::from("acme"));

    let mut std = HashMap::new();
    std.insert(Arc::clone(&first), 1);
    std.insert(Arc::clone(&second), 2);
    let std = Arc::ptr_eq(std.keys().next().unwrap(), &first);

    let dashmap = dashmap::DashMap::new();
    dashmap.insert(Arc::clone(&first), 1);
    dashmap.insert(Arc::clone(&second), 2);
    let dashmap = Arc::ptr_eq(dashmap.iter().next().unwrap().key(), &first);

    let papaya = papaya::HashMap::new();
    let papaya = papaya.pin();
    let is_key = |key: &Arc<str>| Arc::ptr_eq(papaya.keys().next().unwrap(), key);
    papaya.insert(Arc::clone(&first), 1);
    papaya.insert(Arc::clone(&second), 2);
    let insert = is_key(&first);
    papaya.update(Arc::clone(&third), |value| value + 1);
    let update = is_key(&second);
    papaya.compute(Arc::clone(&fourth), |entry| match entry {
        Some((_, value)) => Operation::<_, ()>::Insert(value + 1),
        None => Operation::Insert(0),
    });
    let compute = is_key(&third);
    papaya.get_or_insert(Arc::clone(&first), 0);
    let get_or_insert = is_key(&fourth);

    println!("the key that was there stays: std {std}, dashmap {dashmap}");
    println!("papaya: insert {insert}, update {update}, compute {compute}, get_or_insert {get_or_insert}");
    let seen = (std, dashmap, insert, update, compute, get_or_insert);
    if seen != (true, true, false, false, false, true) || papaya.get("acme") != Some(&4) {
        std::process::exit(1);
    }
}
RUST
if ! cargo run --quiet; then
    echo "this has changed: papaya treats the key of an equal entry differently" >&2
    exit 1
fi
