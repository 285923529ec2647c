//! Two nodes that cache the same keys: how long the other node accepts a revoked key.
//!
//! ```sh
//! export DATABASE_URL=postgres://user:password@localhost/database
//! cargo run -p tower-api-key-examples --release --example cluster             # the next request
//! cargo run -p tower-api-key-examples --release --example cluster -- streams  # with open streams
//! ```
//!
//! It needs a PostgreSQL server, and works in a schema of its own, which it drops at the end. Both
//! nodes serve HTTP. Keys are revoked on the first node. The program measures the time from the
//! answer to the revocation until the second node refuses the key. It repeats this while it kills
//! the connections on which the nodes receive notifications. `REVOCATIONS` sets the number of
//! revocations of each kind (default: 1000).
//!
//! Without an argument, clients send requests all the time. Each key is issued, used on both nodes,
//! so that they cache it, and revoked. The time ends with the first refusal of the second node.
//!
//! With `streams`, clients keep event streams open on both nodes, and keys with open streams are
//! revoked. The program measures the time until the streams have ended, and until the first refusal of
//! the key. A new key replaces each revoked one. At the end, one key has as many streams as all others
//! together, on the second node. `STREAMS` and `KEYS` set the numbers (default: 10000 and 1000). The
//! program fails if a stream outlives its revoked key, if a stream of a valid key ends, or if a node
//! reads keys more often than the documentation says.

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
