//! Policies: the access of a whole application as one table.
//!
//! ```sh
//! cargo add tower-api-key --features policy
//! ```
//!
//! ```
//! use tower_api_key::policy::{AccessPolicy, PolicyError, Requirement};
//! use tower_api_key::{ApiKeyLayer, MemoryStore};
//!
//! fn policy() -> Result<AccessPolicy, PolicyError> {
//!     AccessPolicy::builder()
//!         .public("GET /healthz", "the load balancer asks without a key")
//!         .allow("GET /v1/users/{id}", Requirement::ability("users:read"))
//!         .allow("DELETE /v1/users/{id}", Requirement::ability("users:write").report_only())
//!         .allow_grpc("acme.v1.Bots/List", Requirement::ability("bots:read"))
//!         .build()
//! }
//!
//! fn main() -> Result<(), PolicyError> {
//!     let policy = policy()?;
//!     // In a test: a change of the application's access changes this text.
//!     assert_eq!(
//!         policy.to_string(),
//!         "\
//! METHOD  PATH                REQUIRES     NOTE
//! GET     /healthz            nothing      public: the load balancer asks without a key
//! GET     /v1/users/{id}      users:read
//! DELETE  /v1/users/{id}      users:write  report only
//! POST    /acme.v1.Bots/List  bots:read
//! "
//!     );
//!     println!("{:?}", ApiKeyLayer::new(MemoryStore::new()).policy(policy));
//!     Ok(())
//! }
//! ```
//!
//! * An endpoint that is not listed is refused, and so is a path that servers read in different ways
//!   (`//`, `..`, `;`, encoded slashes).
//! * Conflicts, and rules that are never reached, are errors of [`build`](crate::policy::AccessPolicyBuilder::build).
//! * A policy, one of its rules or any guard can be *report only*: requests pass, and a callback and an
//!   event report those that would be refused, and why.
//! * [`explain`](crate::policy::AccessPolicy::explain) returns the decision about a key, a method and a
//!   path.
//! * [`assert_policy_covers`](crate::testing::assert_policy_covers) names the routes of an application that no rule
//!   covers.
//! * [`abilities`](crate::policy::AccessPolicy::abilities) is the catalogue of all abilities that the
//!   policy requires. A [manager](crate::KeyManager::abilities) with it issues no others.
//!
//! # Guards beside it
//!
//! Guards go on the layer or on single routes: [`RequireAbility`](crate::RequireAbility),
//! [`RequireStage`](crate::RequireStage), [`RequireTenant`](crate::RequireTenant),
//! [`RequireKind`](crate::RequireKind), closures, and their combinations. See [`guard`](crate::guard).
//!
//! ```
//! use tower_api_key::policy::{AccessPolicy, PolicyError, Requirement};
//! use http::Method;
//!
//! let policy = AccessPolicy::builder()
//!     .public("GET /healthz", "the load balancer asks without a key")
//!     .allow("GET /v1/users/{id}", Requirement::ability("users:read"))
//!     .build()?;
//! assert!(policy.explain(None, &Method::GET, "/healthz").is_allowed());
//! assert!(!policy.explain(None, &Method::GET, "/v1/users/7").is_allowed());
//! # Ok::<_, PolicyError>(())
//! ```
//!
//! Examples: `policy` (one table, and a rule on trial), `grpc` (an ability for each method).
