//! Access policies: the access of a whole application as one table.
//!
//! An [`AccessPolicy`] says for each endpoint what it requires of a key, and refuses all other
//! endpoints. It is built once, and mistakes are errors then. It can be printed, so that a test pins it
//! and a review sees its changes. It [explains](AccessPolicy::explain) its decisions.
//!
//! ```
//! use tower_api_key::policy::{AccessPolicy, Requirement};
//! use tower_api_key::{ApiKeyLayer, KeyKind, MemoryStore};
//!
//! let policy = AccessPolicy::builder()
//!     .public("GET /healthz", "the load balancer asks without a key")
//!     .allow("GET /v1/users/{id}", Requirement::ability("users:read"))
//!     .allow("DELETE /v1/users/{id}", Requirement::ability("users:write").stage("prod"))
//!     .allow("POST /widget/v1/chat", Requirement::key().kind(KeyKind::Public))
//!     .allow_grpc("acme.v1.Bots/List", Requirement::ability("bots:read"))
//!     .build()?;
//! assert_eq!(
//!     policy.to_string(),
//!     "\
//! METHOD  PATH                REQUIRES                 NOTE
//! GET     /healthz            nothing                  public: the load balancer asks without a key
//! GET     /v1/users/{id}      users:read
//! DELETE  /v1/users/{id}      users:write, stage prod
//! POST    /widget/v1/chat     any public key
//! POST    /acme.v1.Bots/List  bots:read
//! "
//! );
//! let layer = ApiKeyLayer::new(MemoryStore::new()).policy(policy);
//! # Ok::<_, tower_api_key::policy::PolicyError>(())
//! ```

mod access;
mod builder;
mod builder_grpc;
mod explanation;
mod grpc;
mod index;
mod problem;
mod requirement;
mod rule;
mod rules;
mod table;

pub use self::access::AccessPolicy;
pub use self::builder::AccessPolicyBuilder;
pub use self::explanation::{Explanation, PolicyDecision};
pub use self::problem::{PolicyError, PolicyProblem};
pub use self::requirement::Requirement;
pub use self::rule::Rule;
