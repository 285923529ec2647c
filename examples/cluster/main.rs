//! Two nodes that cache the same keys: how long the other one accepts a key that was revoked.
//!
//! ```sh
//! export DATABASE_URL=postgres://user:password@localhost/database
//! cargo run -p tower-api-key-examples --release --example cluster             # the next request
//! cargo run -p tower-api-key-examples --release --example cluster -- streams  # beside it, streams that are open
//! ```
//!
//! It needs a PostgreSQL server, in which it works in a schema of its own that it drops at the
//! end. Both nodes serve HTTP. Keys are revoked on the first node; measured is the time from the
//! answer to the revocation until the second node refuses the key. Then the same again, while the
//! connections on which the nodes hear of changes are killed over and over. `REVOCATIONS` sets how
//! many there are of each kind (default: 1000).
//!
//! Without an argument, clients send requests all the time, and each key is issued, used on both
//! nodes so that they cache it, and revoked: until the second node's first response that refuses it.
//!
//! With `streams`, clients hold event streams open on both nodes, and each key is revoked that has some:
//! until they have ended, beside the first response that refuses the key. A new key takes its place.
//! In the end one key has as many streams as all together, on the second node. `STREAMS` and
//! `KEYS` set how many there are (default: 10000 and 1000). It fails if a stream goes on whose key was
//! revoked, if one ends whose key is valid, or if a node asks for keys more often than
//! the documentation promises.

mod counted;
mod node;
mod requests;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod times;

use std::sync::Arc;

use sqlx::PgPool;

use node::Node;

fn number(variable: &str, default: usize) -> support::Result<usize> {
    Ok(std::env::var(variable).map_or(Ok(default), |number| number.parse())?.max(1))
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let Ok(database) = std::env::var("DATABASE_URL") else {
        return Err("set DATABASE_URL to a PostgreSQL database, such as \
                    postgres://user:password@localhost/database"
            .into());
    };
    let mode = std::env::args().nth(1);
    let revocations = number("REVOCATIONS", 1000)?;
    let schema = format!("tower_api_key_cluster_{}", std::process::id());
    let pool = PgPool::connect(&database).await?;
    let nodes = [Node::start(&database, &schema).await?, Node::start(&database, &schema).await?];
    println!("nodes on {} and {}", nodes[0].url, nodes[1].url);
    let (nodes, killer) = (Arc::new(nodes), node::Killer::new(&pool, &schema));
    let measured = match mode.as_deref() {
        None => requests::measure(nodes, &killer, revocations).await,
        Some("streams") => {
            let sizes = streams::Sizes {
                keys: number("KEYS", 1000)?,
                streams: number("STREAMS", 10_000)?,
                revocations,
            };
            streams::measure(&nodes, &killer, &sizes).await
        }
        Some(other) => Err(format!("unknown argument {other}: pass `streams` or nothing").into()),
    };
    sqlx::query(sqlx::AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE")))
        .execute(&pool)
        .await?;
    measured
}
