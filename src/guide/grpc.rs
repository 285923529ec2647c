//! gRPC and gRPC-Web: the layer on a tonic server.
//!
//! ```sh
//! cargo add tower-api-key --features tonic
//! cargo add tonic tonic-health tower-layer
//! cargo add tokio --features macros,rt-multi-thread
//! ```
//!
//! ```text
//! let keys = MemoryStore::new();
//! let issued = keys.issue(NewKey::named("a prober").abilities(["health:check"]))?;
//! println!("shown once: {}", issued.secret.reveal());
//!
//! let (_reporter, health) = tonic_health::server::health_reporter();
//! Server::builder()
//!     .layer(ApiKeyLayer::new(keys))
//!     .add_service(RequireAbility::new("health:check").layer(health))
//!     .serve("127.0.0.1:50051".parse()?)
//!     .await?;
//! ```
//!
//! The example `grpc` is the whole program, with an ability for each method.
//!
//! A layer around a single service needs the feature `tonic`; one around the whole server does not.
//!
//! # An ability for each method
//!
//! A [policy](super::policies) is the whole access as one table. It has presets for health checks and
//! reflection (`v1` and `v1alpha`), and
//! [`public_grpc`](crate::policy::AccessPolicyBuilder::public_grpc) for a method or all of a service:
//!
//! ```
//! use http::Method;
//! use tower_api_key::policy::{AccessPolicy, PolicyError, Requirement};
//!
//! let policy = AccessPolicy::builder()
//!     .public_grpc_health("the orchestrator asks without a key")
//!     .allow_grpc_reflection(Requirement::ability("schema:read"))
//!     .allow_grpc("acme.v1.Bots/List", Requirement::ability("bots:read"))
//!     .build()?;
//! assert!(policy.explain(None, &Method::POST, "/grpc.health.v1.Health/Check").is_allowed());
//! assert!(!policy.explain(None, &Method::POST, "/acme.v1.Bots/List").is_allowed());
//! # Ok::<_, PolicyError>(())
//! ```
//!
//! # What clients see
//!
//! A refusal of native gRPC is a gRPC status. Other refusals keep the HTTP status, and those of gRPC
//! and gRPC-Web have `grpc-status` beside it. [`reject`](crate::reject#grpc) has the rules, and how
//! each client reads them.
//!
//! ```
//! use http::{Request, Version};
//! use http_body_util::Empty;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_api_key::{ApiKeyLayer, MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # type Body = Empty<bytes::Bytes>;
//! # let service = service_fn(async |_: Request<Body>| Ok::<_, std::convert::Infallible>(http::Response::new(Body::new())));
//! // `service` is one of tonic's.
//! let service = ApiKeyLayer::new(MemoryStore::new()).layer(service);
//! let call = Request::post("/acme.v1.Bots/List")
//!     .version(Version::HTTP_2)
//!     .header("te", "trailers")
//!     .header("content-type", "application/grpc")
//!     .body(Empty::new())?;
//! let answer = service.oneshot(call).await?;
//! assert_eq!(answer.status(), 200);
//! assert_eq!(answer.headers()["grpc-status"], "16");
//! # Ok(())
//! # }
//! ```
//!
//! | client of a limited key | gets the wait in |
//! |---|---|
//! | any client | `retry-after`, and the headers of its [limits](super::limits) |
//! | gRPC clients with a retry policy | `grpc-retry-pushback-ms`, never too short; `-1`, which ends the call, if the wait is longer than a minute |
//!
//! # Mounting
//!
//! * If a server speaks only gRPC, set [`Protocol::Grpc`](crate::Protocol::Grpc): then only `POST`
//!   calls its methods. Beside other routes, mount [`RequirePost`](crate::guard::RequirePost). tonic
//!   checks neither the method nor the content type.
//! * `tonic_web::GrpcWebLayer` may be outside of the layer or inside. For pages of other origins, the
//!   CORS layer must be outside, because preflights have no key.
//! * tonic itself provides the addresses of clients.
//! * A stream [ends with its key](super::streams): status 16 or 7.
