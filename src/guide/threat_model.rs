//! Threat model: what is protected against whom, and what is not.
//!
//! # What is protected
//!
//! | attacker | what stops them |
//! |---|---|
//! | guesses keys | a generated key has at least 128 bits; a [`FailureThrottle`](crate::FailureThrottle) stops an address that tries many; a keyed [checksum](crate::Checksum) stops invented keys before the store |
//! | reads the database, or a backup of it | it has digests only; with a [pepper](crate::KeyHasher) kept elsewhere, digests cannot be checked against stolen lists of keys either |
//! | reads logs, errors, `Debug` output | no key is in them; tests look for keys in all of them |
//! | asks which keys exist | an unknown, malformed, revoked, disabled and expired key are answered alike, byte for byte |
//! | has a key that was revoked | it is refused [from the next request on](super::managing#when-a-revocation-holds), and its [streams](super::streams) end |
//! | has a key and wants to do more | abilities, stage, tenant, kind, addresses, sites, endpoints and limits are judged for each request; a key grants [no more than it has](super::managing#keys-that-manage-keys) |
//! | sends two keys, or a path that others read in another way | both are refused |
//! | writes `X-Forwarded-For` | it counts only as far as [proxies that are named](crate::TrustedProxies) wrote it |
//! | runs a page in somebody's browser | [`RefuseCrossOrigin`](crate::RefuseCrossOrigin), and origins of public keys |
//! | shares a cache with somebody | `Cache-Control: private` and one [`Vary`](crate::http_cache) line; see [proxies](super::proxies#caches) |
//! | makes the database fail or hang | requests are a 503, and nobody is let pass |
//! | floods the log | equal events are counted together, some 40 lines a second at most |
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
//! * **What other layers log.** Outside of this one, mark the header sensitive (`SetSensitiveRequestHeadersLayer` of
//!   tower-http). A key that a function takes from the path stays in the path: this crate shows no path then, and layers
//!   within that log it do.
//! * **Keys that leak**: a key works for anyone who has it. Short lives, few abilities and a stage bound the damage; a
//!   [format](super::live_and_test#keys-that-leak) with a prefix and a checksum lets secret scanners find it.
//! * **Floods.** An unkeyed checksum can be computed by anyone; only a keyed one stops invented keys before the store. A
//!   `FailureThrottle` stops one address that presents many keys, and not many addresses that present a few each.
//! * **Long uploads.** Clients that send more than what is read of a refused upload, and read nothing before they are
//!   done, see a broken connection; behind Apache they see 502. What handlers leave unread is not read either. See
//!   [proxies](super::proxies#uploads-that-are-refused).
//! * **Limits across processes**, unless they are counted in Redis.
//! * **Timing**: digests are compared in constant time, but finding a record in a map or a database takes another time than
//!   not finding one, and a revoked key is found. What leaks is whether a *digest* exists, which helps nobody to find the
//!   key of another.
//! * **Memory**: a `Secret` is overwritten when it is dropped; the header of a request is not.
//! * **A database that forgets.** After a restore, keys that were revoked since are valid again:
//!   [failover and restore](super::failover).
//! * **Who may write to the database**: such a writer can issue keys. See [roles](super::roles) for a server that only
//!   verifies.
//! * **Caches that ignore `Vary`**, as some CDNs do: they must not keep responses to keys.
