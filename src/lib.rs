//! API-key authentication as a [Tower](https://docs.rs/tower) middleware, for axum, tonic and
//! hyper.
//!
//! One layer in front of a service, a store behind the layer, guards in front of the handlers:
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_api_key::{KeyManager, MemoryStore, NewKey, RequireAbility, VerifiedKey};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! async fn reports(key: VerifiedKey) -> String {
//!     format!("the reports of {}", key.tenant().map_or("nobody", |tenant| tenant.as_str()))
//! }
//!
//! let keys = KeyManager::new(MemoryStore::new());
//! let key = NewKey::named("monthly reporting").tenant("acme").abilities(["reports:read"]);
//! let issued = keys.issue(key).await?;
//! println!("shown once: {}", issued.secret.reveal());
//!
//! let app: Router = Router::new()
//!     .route("/reports", get(reports).layer(RequireAbility::new("reports:read")))
//!     .layer(keys.layer());
//! # Ok(())
//! # }
//! ```
//!
//! The [guide] has a page for each task.
//!
//! # The steps of a request
//!
//! ```text
//! extract → parse → digest → look up → verify → guard → forward
//!    └────────┴─────────────┴─────────┴────────┴──→ reject
//! ```
//!
//! 1. **Extract** ([`extract`]): find the credential in the head of the request. By default it
//!    is in `x-api-key` or `Authorization: Bearer`; two credentials are an error.
//! 2. **Parse** ([`key::KeyFormats`]): check its length, its characters and, if the [`KeyScheme`] has
//!    formats, its prefix and checksum. A text that fails here is not hashed.
//! 3. **Digest** ([`KeyHasher`]): SHA-256, or HMAC-SHA-256 with the pepper of the scheme.
//! 4. **Look up** ([`KeyStore`]): ask the store for the record with this digest. If the store fails,
//!    hangs or panics, the answer is 503: whether the key is valid is not known.
//! 5. **Verify** ([`VerifiedKey`]): compare the digest in constant time, and check that the key is
//!    neither revoked, nor disabled, nor expired.
//! 6. **Guard** ([`guard`], and the feature `policy`): stage, tenant, kind, abilities, and any closure.
//!    Then the [origins, addresses and endpoints](key::Restrictions) of the record, and last its [rate
//!    limits](limit).
//! 7. **Forward**: remove the credential, call the [observers](Observe), put the [`VerifiedKey`] into
//!    the extensions, and call the inner service. It is never called earlier.
//!
//! If a request fails a step, the layer's [responder](reject::Respond) answers it, and [the
//! reason](Rejection) is in the extensions of the response.
//!
//! A stream ends with its key: see [streams and revocation](guide::streams).
//!
//! # Conventions
//!
//! * Where a text stands for a value, either is accepted: `.tenant("acme")` or a [`TenantId`], `.abilities(["a:b"])` or
//!   [`Ability`]s. Descriptions of keys, changes and queries keep what is wrong with texts, and the call that uses them
//!   returns [all of it](key::InvalidFields). Ids are parsed: `keys.revoke(&"key_…".parse()?)`. Layers and guards are written by programmers, and
//!   panic when they are built.
//! * What connects or opens something is a builder that is awaited: `PostgresStore::connect(url).await?`,
//!   `SqliteStore::open(path).await?`, `RedisStore::connect(url).await?`, each with options before the `.await`.
//!   What starts a task has `new(…)`, and `builder(…)` with options and `build()`: `CachedStore`, `UsageRecorder`.
//!   Everything else has `new(…)` and methods that set options.
//! * Each name has one path: at the root what most programs need, in a module the rest. The traits that extend a step are in
//!   the module of the step: [`extract::Extract`], [`guard::Guard`], [`observe::Observe`].
//! * Enums and structs may get more variants and fields, and so are non-exhaustive, but for [`Immediate`]
//!   and [`PeerAddress`], which are complete.
//! * `async_trait`, [`ipnet`] and [`serde_json`] are re-exported, because programs have to name what is in them.
//!
//! # Around the layer
//!
//! * [`KeyManager`] issues, lists, changes, rotates and revokes keys. Owners manage their keys by
//!   `manage::api` over HTTP (feature `manage`) and by `manage::pages` in a browser (feature `pages`),
//!   operators by the program `api-keys` (feature `cli`).
//! * Keys of another system are [imported or adopted](guide::migrating).
//! * `openapi` (feature) adds the security schemes to an application's OpenAPI document.
//! * `client` (feature) is for programs that present keys: it adds keys to requests, stores the key of
//!   a user, and interprets responses.
//!
//! # What a rejection looks like
//!
//! ```text
//! HTTP/1.1 401 Unauthorized
//! content-type: application/problem+json
//! www-authenticate: Bearer realm="api", error="invalid_token"
//! cache-control: no-store
//! vary: x-api-key, authorization
//!
//! {"detail":"The API key is not valid","status":401,"title":"Unauthorized","type":"about:blank"}
//! ```
//!
//! An unknown, a malformed, a revoked, a disabled and an expired key get the same response, byte for
//! byte. See [`reject`] for the other kinds, for gRPC, and for endpoints that authorize requests for a
//! proxy.
//!
//! # Deployment caveats
//!
//! * Keys are bearer secrets: serve them over TLS only.
//! * Layers *outside* of this one see the credential. Mount
//!   `tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer` outside of a trace layer
//!   that logs headers.
//! * `Cache-Control: private`, unless the handler sets it, and `Vary` keep shared HTTP caches from
//!   serving a response to others. Outer layers that add `Vary` lines need a [`JoinVary`] outside of
//!   them. See [`http_cache`].
//! * Addresses are those of the sockets: axum has to serve with `into_make_service_with_connect_info`,
//!   tonic provides them itself, and other servers put a [`PeerAddress`] into the extensions of
//!   requests. Proxies have to be [listed](ApiKeyLayer::trusted_proxies). If no address is known, or a
//!   trusted proxy does not name its client, a key that is restricted to addresses is refused.
//! * If an axum handler calls a router, it must pass a request of its own, without the extensions of
//!   the request that it serves. Otherwise the path that the client sent is [not
//!   known](RequestHead::original_uri), and decisions that need it refuse.
//! * Each process counts rate limits separately, and so does each [`MemoryRateLimiter`]: layers that
//!   are to count together share one. Processes share a `RedisRateLimiter`.
//! * Browsers send cookies by themselves: if a [key is in a cookie](extract::Cookie), mount
//!   [`RefuseCrossOrigin`].
//! * Sessions of a service, such as those of MCP, belong to a key only with
//!   [`BindSession`](guard::BindSession).
//! * gRPC servers such as tonic ignore the HTTP method. For a server that speaks only gRPC, set
//!   [`Protocol::Grpc`]; beside other routes, mount [`RequirePost`](guard::RequirePost).
//! * Layers *outside* of this one that replace the body of requests may hide that it is empty, as
//!   tower-http's `RequestBodyTimeoutLayer` and `RequestDecompressionLayer` do (0.7.1). Every `GET`
//!   then counts as one with a body, which needs the abilities of a `POST`, and no preflight is
//!   forwarded: mount them inside of this layer and of guards on routes.
//! * Browsers send preflights without a key: mount the CORS layer outside of this one, so that it
//!   answers them and pages can read refusals.
//! * axum applies layers of
//!   [`Router::layer`](https://docs.rs/axum/latest/axum/struct.Router.html#method.layer) to the routes
//!   that were added before. Add this one after the routes, then layers for CORS, compression and
//!   traces, and [`JoinVary`] last.
//! * Bodies of refused requests are read and dropped [after the response](ApiKeyLayer::drain_refused),
//!   so that clients and proxies see it. Bodies that a handler leaves unread are not.
//! * The time-out of a look-up needs tokio's timer, unless the store and the limiter are in memory.
//!   Without a tokio runtime, bodies of refused requests are dropped.
//! * A [`MemoryStore`] loses its keys with the process. SQLite, PostgreSQL and Redis keep them.
//!   [Failover](guide::failover) describes which changes a failover or a restore can lose, and the
//!   settings that prevent it.
//!
//! # Events
//!
//! For metrics and more, see [observing](guide::observing).
//!
//! The feature `tracing`, which is on by default, adds events:
//!
//! | level | events |
//! |---|---|
//! | `ERROR` | the server's own faults: a guard without its layer, a store or a limiter that fails, a callback that panics |
//! | `WARN` | a request that a report-only rule would refuse; an address or a path that is not known; a cache that lost its notifications |
//! | `INFO` | a refused request, with its kind, its reason and, if it is known, the id of the key; a cache that has its notifications again; changes of keys |
//! | `TRACE` | a verified key |
//!
//! No event contains a key, a header's value or a query.
//!
//! The event of a refusal has its kind and [reason](Rejection::reason), such as `address` or `endpoint`, the method
//! and the address of the client, which [`ApiKeyLayer::hide_client_addresses`] omits. If known, it also has the id and the tenant of the
//! key, and the route (feature `matched-path`). Without a route it has the path, unless the layer [may
//! read a key](Extract::reads_path) from it or one of its segments could be a key of the layer's
//! formats. Without a layer around a guard, long segments are hidden.
//!
//! Of repeated events, such as refusals of one kind, reason and key for one address (of IPv6, one /64 network)
//! or failures of a store with one error, the first is written, and then every ten seconds the number
//! of further ones: `request refused: 4211 more in 10 s`. A layer distinguishes 200 of them, so a flood
//! of bad requests from everywhere writes at most some 40 lines a second.
//!
//! The target of every event is `tower_api_key` or below it: changes of keys, which `manage::TraceEvents`
//! reports, have `tower_api_key::audit`. The target is stable, so filters can name it:
//!
//! ```sh
//! RUST_LOG=warn,tower_api_key=info my-server
//! ```
//!
//! # Features
//!
//! Only `tracing` is on by default; `default-features = false` leaves it out. Features only add. The
//! core needs Rust 1.88, which `sha2` 0.11 requires; `sqlite`, `postgres` and `cli` need 1.94.
//!
//! | feature | adds | pulls in |
//! |---|---|---|
//! | `axum` | [`VerifiedKey`] as an extractor, the original URI of nested routers, client addresses, WebSockets over HTTP/2 | axum 0.8 with `original-uri` and `tokio`, hyper 1 with `http2` |
//! | `matched-path` | the patterns of axum's routes, for [observers](Observe) | `axum`, and its feature of that name |
//! | `tonic` | `NamedService` for layered services, client addresses, WebSockets over HTTP/2 | tonic 0.14 with `server`, hyper 1 with `http2` |
//! | `policy` | the access of a whole application as one table | matchit |
//! | `tracing` (default) | [events](#events) | tracing |
//! | `serde` | `Serialize` and `Deserialize` for records, ids, abilities, limits and patterns; `JsonLinesAudit` | serde, jiff |
//! | `url` | origins and referrers in every form of the URL standard; without it, only as browsers send them | url |
//! | `testing` | a fake clock, conformance suites for stores, requests that act as a key, checks of policies | – |
//! | `cache` | `CachedStore`: records in memory in front of a store, and revocation on every node | on Unix, rustix |
//! | `metrics` | `Metrics`: counters, gauges and histograms, with the facade [`metrics`](https://docs.rs/metrics) | metrics |
//! | `usage` | `UsageRecorder`: how often and when last keys were used, written in the background | on Unix, rustix |
//! | `sqlite` | `SqliteStore` | sqlx 0.9 with SQLite built in, which needs a C compiler, `serde` |
//! | `postgres` | `PostgresStore`, and its notifications for `CachedStore` | sqlx 0.9, `serde` |
//! | `redis` | `RedisStore`, its channels for `CachedStore`, and `RedisRateLimiter` | redis 1, `serde` |
//! | `manage` | `KeyRoutes`: an axum router with which owners manage their keys | `axum` with `json`, `openapi`, `serde` |
//! | `pages` | `KeyPages`: pages with which owners manage their keys in a browser | `manage`, maud 0.27, tower-http 0.7 with `csrf` |
//! | `leaks` | `manage::leaks`: reports of leaked keys, as sent by GitHub's secret scanning | `manage`, p256 0.14 |
//! | `openapi` | the security schemes of a layer, for OpenAPI documents | utoipa 6 |
//! | `client` | for clients: keys on outgoing requests, stored keys of users, retries | tower's `retry`, etcetera, http-auth, httpdate, sfv, tempfile and, on Unix, rustix |
//! | `cli` | the program `api-keys`, for operators | clap 4, csv, jiff, rpassword, the three stores, and rustls for them |
#![cfg_attr(docsrs, feature(doc_cfg))]

// The rooms, from top to bottom. A room imports only from its own group and from the groups below it
// (`tests/examples/rooms.rs` checks that), and no file imports from a file that imports from it. The arrows
// within a group:
//
// 1. `metrics` -> `usage`. Within `manage`, `pages` imports the manager and `api`, and nothing imports `pages`;
//    `manage` imports `layer`, because a manager makes its layer, and all others only what is further
//    below. The program `api-keys` (`src/bin`) uses the public API alone.
// 2. `layer` -> `service` -> `future` -> `decide` -> `lookup` (asks the store), `pass` (forwards) and `charge`
//    (asks the limiter); `layer` -> `without_service` -> `decide`, `pass`, `charge` and `front`; `pass` -> `charge`; `lookup` -> `front` (what threads keep). At the end is `gate`, the
//    settings of the layer, which all import. `layer` -> `openapi` -> `gate`. `layer`, `gate`, `decide` and
//    `lookup` -> `fallback` (asks another system).
// 3. `policy` -> `guard` -> `verify` -> `watch` (what is open), and `observe` -> `verify`. `guard` -> `body` ->
//    `ending` -> `watch`. What is open asks the layer by a trait, which `still_allows` implements; by the same
//    trait, the key of a request leads to the observers and to what gives back.
// 4. `extract` -> `reject` (a refusal and its kind); `http_cache` -> `extract` (where keys may be); `reject` ->
//    `http_cache` (the line of `Vary`) and `drain`. This is the only circle of rooms. It is no circle of files:
//    the files of a refusal and its kind import from none of these rooms, and neither does that of `Vary`.
// 5. `limit` -> `store` -> `key`. Neither a store nor a limiter knows of requests.
// 6. `address` and `protocol` -> `head` -> `path`, `grpc` and `nested`; `nested`, `contain` and `redis` -> `trace` ->
//    `neighbours`. Stores, limiters, observers, sinks, callbacks and guards on trial are called through `contain`.
//    `clock`, `immediate`, `line`, `neighbours`, `rfc3339`, `secrecy`, `text` and `valid` import from no room.

// 1. Around the layer.
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "client")]
pub mod client;
pub mod guide;
pub mod manage;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "usage")]
mod usage;

// 2. The way of a request.
mod cancel;
mod charge;
mod decide;
mod fallback;
mod front;
mod future;
mod gate;
mod layer;
mod lookup;
#[cfg(feature = "openapi")]
pub mod openapi;
mod pass;
mod service;
mod still_allows;
mod without_service;

// 3. What decides, and how bodies end when a key does.
mod body;
mod ending;
pub mod guard;
pub mod observe;
#[cfg(feature = "policy")]
pub mod policy;
mod verify;
mod watch;

// 4. What is read from a request, and what is answered.
mod drain;
pub mod extract;
pub mod http_cache;
pub mod reject;

// 5. Keys.
pub mod key;
pub mod limit;
pub mod store;

// 6. What all rooms use.
pub mod address;
mod clock;
mod contain;
mod grpc;
mod head;
mod immediate;
mod line;
mod neighbours;
#[cfg(feature = "axum")]
mod nested;
mod path;
mod protocol;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "serde")]
mod rfc3339;
mod secrecy;
mod text;
mod trace;
mod valid;

pub use self::address::peer::PeerAddress;
pub use self::address::proxies::TrustedProxies;
#[cfg(feature = "axum")]
pub use self::axum::VerifiedKeyRejection;
pub use self::body::ResponseBody;
pub use self::clock::{Clock, SystemClock};
pub use self::fallback::Fallback;
pub use self::future::ResponseFuture;
pub use self::guard::ability::RequireAbility;
pub use self::guard::cross_origin::RefuseCrossOrigin;
pub use self::guard::kind::RequireKind;
pub use self::guard::layer::GuardLayer;
pub use self::guard::stage::RequireStage;
pub use self::guard::tenant::RequireTenant;
pub use self::head::RequestHead;
pub use self::http_cache::join_vary::JoinVary;
pub use self::immediate::Immediate;
pub use self::key::ability::{Ability, AbilitySet};
pub use self::key::alphabet::Alphabet;
pub use self::key::checksum::Checksum;
pub use self::key::digest::{KeyDigest, KeyHasher};
pub use self::key::format::KeyFormat;
pub use self::key::id::{KeyId, Stage, TenantId};
pub use self::key::kind::KeyKind;
pub use self::key::rate_limit::RateLimit;
pub use self::key::scheme::KeyScheme;
pub use self::key::secret::Secret;
pub use self::layer::ApiKeyLayer;
pub use self::limit::memory::MemoryRateLimiter;
pub use self::limit::rate_limiter::RateLimiter;
#[cfg(feature = "redis")]
pub use self::limit::redis::RedisRateLimiter;
pub use self::limit::throttle::FailureThrottle;
pub use self::manage::error::ManageError;
pub use self::manage::manager::KeyManager;
pub use self::manage::update::KeyUpdate;
pub use self::protocol::Protocol;
pub use self::reject::kind::RejectionKind;
pub use self::reject::rejection::Rejection;
pub use self::reject::respond::Respond;
pub use self::reject::responder::Responder;
pub use self::service::ApiKeyService;
#[cfg(feature = "cache")]
pub use self::store::cached::CachedStore;
pub use self::store::key_repository::KeyRepository;
pub use self::store::key_store::{KeyStore, StoreError};
pub use self::store::memory::MemoryStore;
pub use self::store::new_key::{IssuedKey, NewKey};
#[cfg(feature = "postgres")]
pub use self::store::postgres::PostgresStore;
pub use self::store::query::KeyQuery;
pub use self::store::record::KeyRecord;
#[cfg(feature = "redis")]
pub use self::store::redis::RedisStore;
#[cfg(feature = "sqlite")]
pub use self::store::sqlite::SqliteStore;
#[cfg(feature = "usage")]
pub use self::usage::{UsageRecorder, UsageRecorderBuilder};
pub use self::verify::VerifiedKey;
pub use self::watch::{EndReason, KeyEnded, StreamWatch};
pub use self::without_service::{Admitted, Refusal};

// Of the crates whose types are in signatures, those that users have to name, and may have for nothing else.
#[doc(no_inline)]
pub use {async_trait::async_trait, ipnet, serde_json};

// They are documented in their modules, which are about them.
#[doc(hidden)]
pub use self::extract::Extract;
#[doc(hidden)]
pub use self::guard::Guard;
#[cfg(feature = "metrics")]
#[doc(hidden)]
pub use self::metrics::Metrics;
#[doc(hidden)]
pub use self::observe::Observe;
