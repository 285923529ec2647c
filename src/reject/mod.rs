//! Refusals: their reasons, and the responses that clients get.
//!
//! A [`Rejection`] tells the operator everything. The client of an unknown, revoked, expired or
//! disabled key gets the same response, byte for byte.
//!
//! | kind | status | gRPC | further headers |
//! |---|---|---|---|
//! | `Missing` | 401 | 16 | `WWW-Authenticate` without `error` |
//! | `Ambiguous` | 400 | 16 | `WWW-Authenticate` with `invalid_request` |
//! | `Malformed`, `Unknown`, `Disabled`, `Revoked`, `Expired` | 401 | 16 | `WWW-Authenticate` with `invalid_token` |
//! | `WrongStage`, `WrongTenant`, `NotAllowed` | 403 | 7 | |
//! | `MissingAbility` | 403 | 7 | `WWW-Authenticate` with `insufficient_scope` and `scope` |
//! | `UnknownSession` | 404 | 5 | |
//! | `RateLimited` | 429 | 8 | `Retry-After`, and those of the key's [limits](crate::limit) |
//! | `Unavailable` | 503 | 14 | `Retry-After` |
//! | `MissingLayer` | 500 | 13 | |
//!
//! Every refusal has `Cache-Control: no-store`. The [`Rejection`] is in the extensions of the response,
//! for outer layers to log.
//!
//! # gRPC
//!
//! A refusal uses the HTTP status, with one exception: a request that can be native gRPC is refused as
//! gRPC requires.
//!
//! | request | refusal |
//! |---|---|
//! | `POST` over HTTP/2 or later, with `te: trailers` and `content-type: application/grpc`, alone or followed by `+` or `;` | HTTP status 200, `grpc-status` and `grpc-message` in the head |
//! | `POST` with another content type of gRPC or gRPC-Web, or over HTTP/1 | the HTTP status, `grpc-status` and `grpc-message` in the head, no body |
//! | every other | the HTTP refusal |
//!
//! A server without gRPC can set this, and refuses only as HTTP:
//! [`ApiKeyLayer::protocol`](crate::ApiKeyLayer::protocol). `tonic_web::GrpcWebLayer` may be mounted
//! outside of the layer or inside.
//!
//! The 200 is for clients of native gRPC that use the HTTP status if it is another. Clients read a
//! refusal with its HTTP status and a `grpc-status` like this:
//!
//! | client | code | message |
//! |---|---|---|
//! | tonic 0.14.9, grpcio 1.85.3, `@grpc/grpc-js` 1.14.7, grpc-java 1.41.3, grpc-go 1.33.3 | that of `grpc-status` | arrives |
//! | grpc-go 1.44.0, connect-go 2.0.2 (also by gRPC-Web) | by the HTTP status: 429 is `UNAVAILABLE`, which is retried, 400 `INTERNAL`, 500 `UNKNOWN` | lost |
//! | tonic-web 0.14.9 (its client) | that of `grpc-status` | arrives |
//! | `@connectrpc/connect-web` 2.3.0 | by the HTTP status, as above | arrives |
//! | `grpc-web` 2.1.1 | by the HTTP status: 429 is `RESOURCE_EXHAUSTED`, 400 `INVALID_ARGUMENT`, 500 `UNKNOWN` | lost |
//!
//! All of them read 401, 403 and 503 as `UNAUTHENTICATED`, `PERMISSION_DENIED` and `UNAVAILABLE`.
//! grpc-go uses `grpc-status` again [since the autumn of
//! 2025](https://github.com/grpc/grpc-go/pull/8548).
//!
//! # Authorization for a proxy
//!
//! A proxy can ask a layered endpoint whether a request may pass: nginx's `auth_request`, Caddy's
//! `forward_auth`, Traefik's `ForwardAuth` and others accept a request if the endpoint answers with
//! success. For such an endpoint:
//!
//! * Set [`Protocol::Http`](crate::Protocol::Http). By default, an HTTP/2 client whose `POST` the proxy
//!   forwards unchanged could turn its refusal into a 200.
//! * A request that passes the layer without a key is accepted by the proxy, so set neither
//!   [`optional`](crate::ApiKeyLayer::optional) nor
//!   [`forward_preflight`](crate::ApiKeyLayer::forward_preflight).
//! * Policies, guards and the endpoints of keys judge the request of the proxy, not that of the client.
//!   nginx and Caddy ask by `GET` and for a path of their own. A guard may read `X-Original-URI` and
//!   similar headers only if the proxy always sets them.
//! * The application behind the proxy sees the credential, and has no
//!   [`VerifiedKey`](crate::VerifiedKey).
//! * nginx forwards 401 and 403, and answers 500 for other refusals, such as 429.
//!
//! ```
//! use axum::{Router, routing::any};
//! use http::StatusCode;
//! use tower_api_key::{ApiKeyLayer, MemoryStore, Protocol};
//!
//! let judge: Router = Router::new()
//!     .route("/judge", any(async || StatusCode::NO_CONTENT))
//!     .layer(ApiKeyLayer::new(MemoryStore::new()).protocol(Protocol::Http));
//! ```

mod challenge;
mod event;
mod grpc;
pub(crate) mod kind;
mod log;
mod reason;
pub(crate) mod rejection;
mod rejector;
pub(crate) mod respond;
pub(crate) mod responder;

// They are documented at the root, by which users name them.
#[doc(hidden)]
pub use self::kind::RejectionKind;
#[doc(hidden)]
pub use self::rejection::Rejection;
#[doc(hidden)]
pub use self::respond::Respond;
#[doc(hidden)]
pub use self::responder::Responder;

pub(crate) use self::challenge::Challenge;
pub(crate) use self::reason::Reason;
pub(crate) use self::rejector::{PathIsSecret, Rejector};
