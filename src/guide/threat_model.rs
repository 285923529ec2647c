//! Threat model: which attacks are prevented, and which are not.
//!
//! # What is protected
//!
//! | attacker | protection |
//! |---|---|
//! | guesses keys | a generated key has at least 128 bits; a [`FailureThrottle`](crate::FailureThrottle) stops an address that tries many; a keyed [checksum](crate::Checksum) stops invented keys before the store |
//! | reads the database, or a backup of it | it has only digests; with a [pepper](crate::KeyHasher) outside of it, digests cannot be checked against stolen lists of keys either |
//! | reads logs, errors, `Debug` output | they contain no key; tests search all of them for keys |
//! | asks which keys exist | an unknown, malformed, revoked, disabled and expired key get the same answer, byte for byte |
//! | has a key that was revoked | it is refused [from the next request on](super::managing#when-a-revocation-takes-effect), and its [streams](super::streams) end |
//! | has a key and wants to do more | abilities, stage, tenant, kind, addresses, sites, endpoints and limits are checked for each request; a key grants [no more than it has](super::managing#keys-that-manage-keys) |
//! | sends two keys, or a path that servers read in different ways | both are refused |
//! | writes `X-Forwarded-For` | it counts only as far as [trusted proxies](crate::TrustedProxies) wrote it |
//! | runs a page in a victim's browser | [`RefuseCrossOrigin`](crate::RefuseCrossOrigin), and origins of public keys |
//! | shares a cache with a victim | `Cache-Control: private` and one [`Vary`](crate::http_cache) line; see [proxies](super::proxies#caches) |
//! | makes the database fail or hang | requests get a 503, and none is accepted |
//! | floods the log | repeated events are counted, at most some 40 lines a second |
//!
//! ```
//! use axum::body::{Body, to_bytes};
//! use axum::{Router, routing::get};
//! use http::Request;
//! use tower::{Layer, ServiceExt};
//! use tower_api_key::testing::ActAs;
//! use tower_api_key::{KeyManager, MemoryStore, NewKey};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = KeyManager::new(MemoryStore::new());
//! let revoked = keys.issue(NewKey::named("leaked")).await?;
//! keys.revoke(revoked.record.id()).await?;
//! let app = Router::new().route("/", get(async || "…")).layer(keys.layer());
//!
//! let mut answers = Vec::new();
//! for caller in [ActAs::with_secret(&revoked.secret), ActAs::with_text("ak_guessed")] {
//!     let request = Request::get("/").body(Body::empty())?;
//!     let (head, body) = caller.layer(app.clone()).oneshot(request).await?.into_parts();
//!     answers.push((head.status, head.headers, to_bytes(body, 1000).await?));
//! }
//! assert_eq!(answers[0], answers[1]);
//! # Ok(())
//! # }
//! ```
//!
//! # What is not protected
//!
//! * **The way to the server**: use TLS.
//! * **Logs of other layers.** For layers outside of this one, mark the header as sensitive
//!   (`SetSensitiveRequestHeadersLayer` of tower-http). A key in the path stays in the path: this crate
//!   then shows no path, but layers inside that log it do.
//! * **Keys that leak**: a key works for anyone who has it. Short lives, few abilities and a stage bound the damage; a
//!   [format](super::live_and_test#keys-that-leak) with a prefix and a checksum lets secret scanners find it.
//! * **Floods.** Anyone can compute an unkeyed checksum; only a keyed one stops invented keys before
//!   the store. A `FailureThrottle` stops one address that presents many keys, but not many addresses
//!   that present a few each.
//! * **Long uploads.** If a client sends more than is read of a refused upload, and reads nothing
//!   before it is done, it sees a broken connection, and behind Apache a 502. Bodies that handlers
//!   leave unread are not read either. See [proxies](super::proxies#refused-uploads).
//! * **Limits across processes**, unless they are counted in Redis.
//! * **Timing**: digests are compared in constant time, but finding a record in a map or a database
//!   takes another time than not finding one, and a revoked key is found. This reveals whether a
//!   *digest* exists, which does not help to find a key.
//! * **Memory**: a `Secret` is overwritten when it is dropped; the header of a request is not.
//! * **A database that forgets.** After a restore, keys that were revoked since are valid again:
//!   [failover and restore](super::failover).
//! * **Write access to the database**: an attacker with it can issue keys. See [roles](super::roles)
//!   for a server that only verifies.
//! * **Caches that ignore `Vary`**, as some CDNs do: they must not keep responses to keys.
