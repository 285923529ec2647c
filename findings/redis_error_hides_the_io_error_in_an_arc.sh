#!/usr/bin/env bash
# redis 1.8.1 (crates.io): `source()` of a RedisError that is an I/O error is no `std::io::Error`, but an
# `Arc<dyn Error + Send + Sync>` around one, which is an error itself. `downcast_ref::<io::Error>()` is None there
# and at each further step of the chain, since the Arc's `source()` is that of the io::Error within. One has to
# downcast to the Arc and look into it, or ask `is_io_error()` and its relatives.
#
# It matters to retry policies and logs that walk a chain of sources for an io::Error and its kind, as they do for
# errors of hyper and reqwest: for Redis they find none, and treat a refused connection as another kind of fault.
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
redis = { version = "=1.8.1", default-features = false }
TOML
cat >src/main.rs <<'RUST'
use std::error::Error;
use std::io;
use std::iter::successors;
use std::net::TcpListener;
use std::sync::Arc;

type Shared = Arc<dyn Error + Send + Sync>;

fn main() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap();
    let client = redis::Client::open(format!("redis://{address}")).unwrap();
    let error = client.get_connection().err().expect("nothing listens there");

    let chain = || successors(error.source(), |&error| error.source());
    let plain = chain().any(|error| error.is::<io::Error>());
    let shared = chain().find_map(|error| error.downcast_ref::<Shared>());
    let inside = shared.and_then(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_refused = error.is_connection_refusal();

    println!("{error}: io::Error in its chain {plain}, within an Arc {inside:?}, is_connection_refusal {is_refused}");
    if (plain, inside, is_refused) != (false, Some(io::ErrorKind::ConnectionRefused), true) {
        std::process::exit(1);
    }
}
RUST
if ! cargo run --quiet; then
    echo "this has changed: the source of an I/O error of redis is another" >&2
    exit 1
fi
