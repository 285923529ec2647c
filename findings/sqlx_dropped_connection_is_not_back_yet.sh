#!/usr/bin/env bash
# sqlx 0.9.0 (crates.io): a `PoolConnection` that is dropped is not back in its pool. A task that `drop` spawns
# returns it, so `num_idle()` is 0 and `try_acquire()` is None until the runtime has run that task to its end.
# `acquire().await` waits for it.
#
# It matters to code that asks `try_acquire()` to shed load or to do optional work only if a connection is free
# (with one connection it is refused because of itself), to gauges made of `num_idle()`, and to tests that count
# idle connections after a drop.
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
sqlx = { version = "=0.9.0", default-features = false, features = ["runtime-tokio", "sqlite"] }
tokio = { version = "1", features = ["macros", "rt", "time"] }
TOML
cat >src/main.rs <<'RUST'
use std::time::Duration;

use sqlx::sqlite::SqlitePoolOptions;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), sqlx::Error> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    let before = pool.num_idle();
    drop(pool.acquire().await?);
    let dropped = (pool.num_idle(), pool.try_acquire().is_some());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let later = (pool.num_idle(), pool.try_acquire().is_some());

    println!("idle before {before}; after drop {dropped:?}; 200 ms later {later:?} (idle, try_acquire)");
    if (before, dropped, later) != (1, (0, false), (1, true)) {
        std::process::exit(1);
    }
    Ok(())
}
RUST
if ! cargo run --quiet; then
    echo "this has changed: a dropped connection is back at once, or not at all" >&2
    exit 1
fi
