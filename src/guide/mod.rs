//! The guide: a page for each task, with code to start from.
//!
//! | to | read |
//! |---|---|
//! | **issue and check keys** | |
//! | choose the format of keys, such as live and test keys | [live and test keys](live_and_test) |
//! | issue, change, rotate, suspend and revoke keys | [managing keys](managing) |
//! | let owners manage their keys over HTTP | [owners] |
//! | let owners manage their keys in a browser | [pages] |
//! | manage keys on a command line | [operators] |
//! | list in one table what an application requires | [policies] |
//! | let requests without a key pass | [`optional`](crate::ApiKeyLayer::optional), and `Option<VerifiedKey>` in the handler |
//! | limit keys, and restrict them to addresses, sites and endpoints | [limits and restrictions](limits) |
//! | end open streams when a key is revoked | [streams and revocation](streams) |
//! | test handlers | [testing handlers](testing) |
//! | **use it with** | |
//! | sessions of users on the same routes | [sessions and keys together](sessions) |
//! | tonic, gRPC-Web | [gRPC](grpc) |
//! | servers for AI agents | [MCP](mcp) |
//! | AWS | [Lambda](lambda) |
//! | nginx, HAProxy, Apache, Squid, Varnish, Traffic Server, Caddy, lighttpd | [behind proxies](proxies) |
//! | frameworks without tower services, queues | [`ApiKeyLayer::verify`](crate::ApiKeyLayer::verify) |
//! | programs that present keys | [clients] |
//! | **existing keys** | |
//! | import them | [migrating] |
//! | keep them in their table | [your own table](own_table) |
//! | **run it** | |
//! | metrics, logs and events | [observing] |
//! | count the requests of each key, and see when it was last used | [usage] |
//! | see from where a key is used | the events and [outcomes](observing#outcomes) of requests |
//! | survive a failover or a restore | [replication, failover, restore](failover) |
//! | give servers few rights in PostgreSQL | [roles] |
//! | **decide** | |
//! | what is protected, and what is not | [threat model](threat_model) |
//! | what a request and a key cost | [cost] |
//! | compare the alternatives | [compared] |

// // The pages link to types of all features, which docs.rs enables.
#![cfg_attr(
    not(all(
        feature = "axum",
        feature = "cache",
        feature = "client",
        feature = "leaks",
        feature = "manage",
        feature = "pages",
        feature = "policy",
        feature = "postgres",
        feature = "redis",
        feature = "sqlite",
        feature = "testing",
        feature = "tracing",
        feature = "usage",
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

pub mod clients;
pub mod compared;
pub mod cost;
pub mod failover;
pub mod grpc;
pub mod lambda;
pub mod limits;
pub mod live_and_test;
pub mod managing;
pub mod mcp;
pub mod migrating;
pub mod observing;
pub mod operators;
pub mod own_table;
pub mod owners;
pub mod pages;
pub mod policies;
pub mod proxies;
pub mod roles;
pub mod sessions;
pub mod streams;
pub mod testing;
pub mod threat_model;
pub mod usage;
