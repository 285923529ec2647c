//! Limits and restrictions: how often a key may be used, from where and for what.
//!
//! Both are in the record of a key, and the layer enforces them without being told. A request that comes too often
//! is a 429, one from the wrong address, site or endpoint a 403.
//!
//! ```sh
//! cargo add tower-api-key
//! ```
//!
//! ```
//! use tower_api_key::{
//!     ApiKeyLayer, FailureThrottle, KeyKind, KeyManager, MemoryStore, NewKey, TrustedProxies,
//! };
//!
//! fn layer(keys: &KeyManager) -> ApiKeyLayer {
//!     keys.layer()
//!         .accept_public_keys()
//!         .trusted_proxies(TrustedProxies::networks(["10.0.0.0/8"]))
//!         .failure_throttle(FailureThrottle::new("20 per minute"))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let keys = KeyManager::new(MemoryStore::new());
//!     let key = NewKey::named("nightly import")
//!         .abilities(["imports:write"])
//!         .limit("1000 per hour, burst 50")
//!         .limit("100000 per day, shared by tenant")
//!         .addresses(["192.0.2.0/24", "2001:db8::/32"])
//!         .endpoints(["POST /v1/imports", "GET /v1/imports/*"]);
//!     let issued = keys.issue(key).await?;
//!     assert_eq!(issued.record.limits().iter().count(), 2);
//!     // Everybody can read this one in the source of a page.
//!     let widget = NewKey::named("widget").kind(KeyKind::Public).origins(["https://*.shop.example"]);
//!     keys.issue(widget).await?;
//!     println!("{:?}", layer(&keys));
//!     Ok(())
//! }
//! ```
//!
//! # Rate limits
//!
//! * They are exact within the process, several at once and all or nothing, for a key or for all keys of a tenant.
//!   [`RedisRateLimiter`](crate::RedisRateLimiter) counts for all nodes together, in one round trip for all limits of
//!   a key.
//! * Requests come back one by one (GCRA). Any period as long as the window lets at most quota and burst together
//!   pass. The burst is the whole quota unless it is set.
//! * A request that a guard refuses, on the layer or on a route, spends nothing.
//! * A rotated key and its successor count together. A key that manages keys cannot change its own limits so as to
//!   begin anew. [`limit`](crate::limit) has the rules.
//! * [`request_cost`](crate::ApiKeyLayer::request_cost) says that some requests count for more than one.
//! * A limiter of yours is a [`RateLimiter`](crate::RateLimiter). If it fails, requests are a 503, or pass uncounted
//!   with [`allow_when_limiter_fails`](crate::ApiKeyLayer::allow_when_limiter_fails).
//!
//! # What clients read of a limit
//!
//! Each response to a limited key has `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers-10). A 429 has a `Retry-After` that is never too short, and names the limit
//! in its problem+json. [`x_rate_limit_headers`](crate::ApiKeyLayer::x_rate_limit_headers) adds `X-RateLimit-*`.
//!
//! | client | waits by | ignores |
//! |---|---|---|
//! | curl 7.88 `--retry`, got 14.6, axios-retry 4.5, `RetryAgent` of undici 7.30, urllib3 2.8 (and requests 2.34 with its `Retry`) | `Retry-After` | `RateLimit`, `X-RateLimit-*` |
//! | ky 1.14 | `Retry-After`, else `X-RateLimit-Reset` | `RateLimit` |
//! | aiohttp-retry 2.9 | its own schedule | all of them |
//! | requests and httpx 0.28 by themselves | do not try again | |
//! | gRPC clients with a retry policy | [`grpc-retry-pushback-ms`](super::grpc#what-clients-see) | `retry-after` |
//! | [`RetryPolicy`](crate::client::RetryPolicy) of this crate | `Retry-After`, else `RateLimit` | |
//!
//! Each was tried against 429 and 503 with one header at a time. So `Retry-After` is what counts, and `RateLimit` is for
//! programs that slow down before. `x_rate_limit_headers` is for older clients of your own, and for ky.
//!
//! # Wrong keys
//!
//! A [`FailureThrottle`](crate::FailureThrottle) answers an address that presented many wrong keys with 429, before
//! anything is hashed or looked up. Keys that are sent at once are looked up only as far as they may all fail; the
//! others wait. IPv6 addresses count by /64.
//!
//! # Addresses
//!
//! Addresses are those of the sockets:
//!
//! | server | tells the address |
//! |---|---|
//! | axum | with `into_make_service_with_connect_info::<SocketAddr>()` |
//! | tonic | by itself |
//! | others | with a [`PeerAddress`](crate::PeerAddress) in the extensions of requests |
//!
//! Behind proxies, [`TrustedProxies`](crate::TrustedProxies) names those that are believed:
//! see [behind proxies](super::proxies). Where no address is known, a key that is restricted to some works from
//! nowhere.
//!
//! # Endpoints and paths
//!
//! Paths are those that clients sent, also in nested axum routers. They have to be in normal form: at most 8192
//! bytes, no empty or dot segments, no `;` or `\`, no encoded separators, UTF-8. A handler that calls a router does so
//! with a request of its own: the `OriginalUri` of another request is not believed, and what is decided by the path is
//! refused then.
//!
//! WebSockets over HTTP/2 are `CONNECT` requests (RFC 8441). With the feature `axum` or `tonic`, policies, endpoints
//! of keys and [`by_method`](crate::RequireAbility::by_method) judge them as the `GET` that they are over HTTP/1.1. No
//! rule and no endpoint covers another `CONNECT`.
//!
//! # Origins, referrers and public keys
//!
//! * They are compared by whole scheme, host and port. They stop other sites from using a key, not scripts, which send
//!   what headers they like.
//! * A key of the [kind](crate::KeyKind) `Public` opens nothing unless the layer
//!   [accepts such keys](crate::ApiKeyLayer::accept_public_keys) or a policy does, and then only on the origins or
//!   pages that its record names.
//! * [`RefuseCrossOrigin`](crate::RefuseCrossOrigin) refuses secret keys in cross-origin calls of browsers.
//!
//! # Browsers' WebSockets
//!
//! Pages cannot set headers for a WebSocket. [`Subprotocol`](crate::extract::Subprotocol) takes the key from the
//! subprotocols that they name, ``new WebSocket(url, ["realtime", `key.${key}`])``;
//! [`Cookie`](crate::extract::Cookie) takes it from one cookie, which needs `RefuseCrossOrigin`, since pages of other
//! origins send it, too. The layer removes that one item, and the handler negotiates `realtime`. Tested with Chromium
//! and Node.
//!
//! Examples: `restrictions`, `abilities` (an hourly limit, and public keys for a widget).
