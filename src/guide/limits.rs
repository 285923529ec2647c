//! Limits and restrictions: how often a key may be used, from where and on which endpoints.
//!
//! Both are in the record of a key, and the layer always enforces them. A request above a limit gets a
//! 429, one from the wrong address, site or endpoint a 403.
//!
//! ```sh
//! cargo add tower-api-key
//! cargo add tokio --features macros,rt-multi-thread
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
//!     // Everyone can read this key in the source of a page.
//!     let widget = NewKey::named("widget").kind(KeyKind::Public).origins(["https://*.shop.example"]);
//!     keys.issue(widget).await?;
//!     println!("{:?}", layer(&keys));
//!     Ok(())
//! }
//! ```
//!
//! # Rate limits
//!
//! * They are exact within the process. A key may have several, which apply all or nothing, for itself
//!   or for all keys of its tenant. [`RedisRateLimiter`](crate::RedisRateLimiter) counts for all nodes
//!   together, in one round trip for all limits of a key.
//! * Requests come back one by one (GCRA). In any period as long as the window, at most quota plus
//!   burst pass. The default burst is the whole quota.
//! * A request that a guard refuses, on the layer or on a route, is not charged.
//! * A rotated key and its successor count together. A key that manages keys cannot reset its own
//!   limits. [`limit`](crate::limit) has the rules.
//! * [`request_cost`](crate::ApiKeyLayer::request_cost) makes some requests cost more than one.
//! * For a limiter of your own, implement [`RateLimiter`](crate::RateLimiter). If it fails, requests
//!   get a 503, or pass uncounted with
//!   [`allow_when_limiter_fails`](crate::ApiKeyLayer::allow_when_limiter_fails).
//!
//! # Which headers clients use
//!
//! Each response to a limited key has `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers-10). A 429 has a `Retry-After` that is never too short, and
//! names the limit in its problem+json.
//! [`x_rate_limit_headers`](crate::ApiKeyLayer::x_rate_limit_headers) adds `X-RateLimit-*`.
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
//! Each was tested with 429 and 503 and one header at a time. So `Retry-After` is the important one,
//! and `RateLimit` is for programs that slow down in advance. `x_rate_limit_headers` is for older
//! clients of your own, and for ky.
//!
//! Clients have an upper bound for the wait. undici and ky retry at their bound (`maxTimeout`, `maxRetryAfter`), so
//! before the time in a longer `Retry-After`; got, whose option has the same name as ky's, does not retry then.
//!
//! # Wrong keys
//!
//! A [`FailureThrottle`](crate::FailureThrottle) answers an address that presented many wrong keys with
//! 429, before anything is hashed or looked up. Concurrent keys are looked up only as far as all of
//! them may fail; the others wait. IPv6 addresses count by /64.
//!
//! # Addresses
//!
//! Addresses are those of the sockets:
//!
//! | server | how it provides the address |
//! |---|---|
//! | axum | with `into_make_service_with_connect_info::<SocketAddr>()` |
//! | tonic | by itself |
//! | others | by a [`PeerAddress`](crate::PeerAddress) in the extensions of requests |
//!
//! Behind proxies, list the trusted ones as [`TrustedProxies`](crate::TrustedProxies): see [behind
//! proxies](super::proxies). If no address is known, a key that is restricted to addresses is refused.
//!
//! # Endpoints and paths
//!
//! Paths are those that clients sent, also in nested axum routers. They have to be in normal form: at
//! most 8192 bytes, no empty or dot segments, no `;` or `\`, no encoded separators, UTF-8. If a handler
//! calls a router, it must pass a request of its own: the `OriginalUri` of another request is ignored,
//! and decisions that need the path then refuse.
//!
//! WebSockets over HTTP/2 are `CONNECT` requests (RFC 8441). With the feature `axum` or `tonic`,
//! policies, endpoints of keys and [`by_method`](crate::RequireAbility::by_method) judge them as `GET`,
//! as over HTTP/1.1. No rule and no endpoint covers another `CONNECT`.
//!
//! # Origins, referrers and public keys
//!
//! * They are compared by whole scheme, host and port. They stop other sites from using a key, but not
//!   scripts, which can send any header.
//! * A key of the [kind](crate::KeyKind) `Public` is refused unless the layer [accepts such
//!   keys](crate::ApiKeyLayer::accept_public_keys) or a policy does. It then works only on the origins
//!   or pages that its record names.
//! * [`RefuseCrossOrigin`](crate::RefuseCrossOrigin) refuses secret keys in cross-origin calls of browsers.
//!
//! # Browsers' WebSockets
//!
//! Pages cannot set headers for a WebSocket. [`Subprotocol`](crate::extract::Subprotocol) reads the key
//! from a subprotocol, ``new WebSocket(url, ["realtime", `key.${key}`])``.
//! [`Cookie`](crate::extract::Cookie) reads it from a cookie, which needs `RefuseCrossOrigin`, because
//! pages of other origins send it, too. The layer removes that one item, and the handler negotiates
//! `realtime`. Tested with Chromium and Node.
//!
//! Examples: `restrictions`, `abilities` (an hourly limit, and public keys for a widget).
