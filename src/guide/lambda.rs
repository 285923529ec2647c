//! Lambda: the layer in an AWS function behind an API gateway, a function URL or a load balancer.
//!
//! `lambda_http` runs any tower service, such as an axum router, so the layer needs no adapter. Two
//! things differ from a server: there is no socket, and a process ends without notice.
//!
//! ```sh
//! cargo add tower-api-key --features axum
//! cargo add axum http tower
//! cargo add lambda_http
//! cargo add tokio --features macros
//! ```
//!
//! # The address of the client
//!
//! The event has the address of the client. Turn it into a [`PeerAddress`](crate::PeerAddress) outside
//! of the layer, for the [addresses of keys](super::limits#addresses) and
//! [throttles](crate::FailureThrottle):
//!
//! ```
//! use std::net::IpAddr;
//!
//! use axum::Router;
//! use axum::routing::get;
//! use http::Request;
//! use tower::ServiceBuilder;
//! use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, PeerAddress, TrustedProxies};
//!
//! # /// Stands for that of `lambda_http`.
//! # #[derive(Clone)]
//! # enum RequestContext { ApiGatewayV2(Context), Alb }
//! # #[derive(Clone)]
//! # struct Context { http: Http }
//! # #[derive(Clone)]
//! # struct Http { source_ip: Option<String> }
//! // use lambda_http::request::RequestContext;
//!
//! /// Stands for a load balancer, which does not tell its own address.
//! const LOAD_BALANCER: &str = "127.0.0.1";
//!
//! fn tell_address<B>(mut request: Request<B>) -> Request<B> {
//!     let address = match request.extensions().get::<RequestContext>() {
//!         // Also for a function URL. Version 1 has it in `context.identity`.
//!         Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.clone(),
//!         // A load balancer appends its client to `X-Forwarded-For`.
//!         Some(RequestContext::Alb) => Some(LOAD_BALANCER.to_owned()),
//!         _ => None,
//!     };
//!     if let Some(address) = address.and_then(|address| address.parse::<IpAddr>().ok()) {
//!         request.extensions_mut().insert(PeerAddress((address, 0).into()));
//!     }
//!     request
//! }
//!
//! # use tower::{Layer, ServiceExt};
//! # use tower_api_key::testing::ActAs;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = MemoryStore::new(); // in a function, a `PostgresStore` or a `RedisStore`
//! let caller = NewKey::named("nightly import").addresses(["192.0.2.0/24"]);
//! # let caller = ActAs::new(&keys, caller)?;
//! let layer =
//!     ApiKeyLayer::new(keys).trusted_proxies(TrustedProxies::networks([LOAD_BALANCER]));
//! let app = Router::new().route("/", get(async || "hello")).layer(layer);
//! let app = ServiceBuilder::new().map_request(tell_address).service(app);
//! // lambda_http::run(app).await
//!
//! # let gateway = |source: &str| {
//! #     let http = Http { source_ip: Some(source.to_owned()) };
//! #     RequestContext::ApiGatewayV2(Context { http })
//! # };
//! # for (context, forwarded, status) in [
//! #     (gateway("192.0.2.7"), "192.0.2.7", 200),
//! #     (gateway("198.51.100.1"), "192.0.2.7", 403),
//! #     (gateway(""), "192.0.2.7", 403),
//! #     (RequestContext::Alb, "198.51.100.1, 192.0.2.7", 200),
//! #     (RequestContext::Alb, "192.0.2.7, 198.51.100.1", 403),
//! # ] {
//! #     let request = Request::get("/").extension(context).header("x-forwarded-for", forwarded);
//! #     let request = request.body(axum::body::Body::empty())?;
//! #     let answer = caller.layer(app.clone()).oneshot(request).await?;
//! #     assert_eq!(answer.status(), status, "{forwarded}");
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! If further proxies are in front, such as a CDN, the address is that of the nearest one: add their
//! networks as [`TrustedProxies`](crate::TrustedProxies), too. Behind an API gateway, `X-Forwarded-For`
//! has entries of clients and the gateway, and is not read here.
//!
//! # A process that sleeps
//!
//! * Between requests, a function is frozen, and no notification of a
//!   [`CachedStore`](crate::CachedStore) arrives. When the function wakes, a cache with a stale
//!   subscription asks the store, so no key is accepted that was revoked meanwhile. If requests are
//!   rare, use no cache.
//! * Rate limits in memory apply to one process, and there may be many: use
//!   [`RedisRateLimiter`](crate::RedisRateLimiter).
//! * Background writes, such as the last uses of keys, may be lost when the process ends.
//! * Streams end with their key while the function runs.
