//! Testing handlers: tests that act as a key, with or without the layer.
//!
//! ```sh
//! cargo add tower-api-key --dev --features testing
//! cargo add http tower --dev
//! ```
//!
//! # Through the application
//!
//! [`ActAs`](crate::testing::ActAs) adds a real key to each request, around the unchanged application
//! with its layer, store and guards:
//!
//! ```
//! use axum::body::Body;
//! use axum::{Router, routing::get};
//! use http::Request;
//! use tower::{Layer, ServiceExt};
//! use tower_api_key::testing::ActAs;
//! use tower_api_key::{KeyManager, MemoryStore, NewKey, RequireAbility};
//!
//! fn app(keys: &KeyManager) -> Router {
//!     Router::new()
//!         .route("/bots", get(async || "…").layer(RequireAbility::new("bots:read")))
//!         .layer(keys.layer())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = KeyManager::new(MemoryStore::new());
//! let app = app(&keys);
//! for (abilities, status) in [("bots:read", 200), ("bots:write", 403)] {
//!     let caller = ActAs::new(&keys, NewKey::named("a test").abilities([abilities])).await?;
//!     let request = Request::get("/bots").body(Body::empty())?;
//!     assert_eq!(caller.layer(app.clone()).oneshot(request).await?.status(), status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # A handler as a function
//!
//! [`verified_key`](crate::testing::verified_key) makes the argument of a handler:
//!
//! ```
//! use tower_api_key::testing::verified_key;
//! use tower_api_key::{NewKey, VerifiedKey};
//!
//! async fn list(key: VerifiedKey) -> String {
//!     format!("the bots of {}", key.tenant().map_or("nobody", |tenant| tenant.as_str()))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let key = verified_key(NewKey::named("a test").tenant("acme"));
//! assert_eq!(list(key).await, "the bots of acme");
//! # }
//! ```
//!
//! # Time
//!
//! With a [`FakeClock`](crate::testing::FakeClock) no test has to wait. The manager's layer has the
//! clock of the manager:
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::body::Body;
//! use axum::{Router, routing::get};
//! use http::Request;
//! use tower::{Layer, ServiceExt};
//! use tower_api_key::testing::{ActAs, FakeClock};
//! use tower_api_key::{Clock, KeyManager, MemoryStore, NewKey};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = FakeClock::new();
//! let keys = KeyManager::new(MemoryStore::new()).clock(clock.clone());
//! let tomorrow = clock.now() + Duration::from_secs(86_400);
//! let secret = keys.issue(NewKey::named("a test").expires_at(tomorrow)).await?.secret;
//!
//! let app = Router::new().route("/", get(async || "…")).layer(keys.layer());
//! let caller = ActAs::with_secret(&secret).layer(app);
//! let request = || Request::get("/").body(Body::empty());
//! assert_eq!(caller.clone().oneshot(request()?).await?.status(), 200);
//! clock.advance(Duration::from_secs(86_400));
//! assert_eq!(caller.oneshot(request()?).await?.status(), 401);
//! # Ok(())
//! # }
//! ```
//!
//! # More
//!
//! * Pin a [policy](super::policies) by its text;
//!   [`assert_policy_covers`](crate::testing::assert_policy_covers) names the routes that no rule
//!   covers.
//! * [`check_key_store`](crate::testing::check_key_store) and
//!   [`check_key_repository`](crate::testing::check_key_repository) check [a store of yours](super::own_table).
//! * [`ActAs::with_text`](crate::testing::ActAs::with_text) sends a wrong key.
