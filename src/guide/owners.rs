//! Owners manage their keys over HTTP: an axum router that an application mounts, and its callers.
//!
//! ```sh
//! cargo add tower-api-key --features manage
//! cargo add axum utoipa
//! cargo add tokio --features macros,net,rt-multi-thread
//! ```
//!
//! ```
//! use axum::routing::get;
//! use axum::{Json, Router};
//! use tower_api_key::manage::api::{KeyOwner, KeyRoute, KeyRoutes};
//! use tower_api_key::{KeyManager, MemoryStore, NewKey};
//! use utoipa::openapi::OpenApi;
//!
//! fn app(keys: KeyManager) -> Router {
//!     let layer = keys.layer();
//!     let routes = KeyRoutes::new(keys, KeyOwner::default()).without([KeyRoute::Create]);
//!
//!     let mut document = OpenApi::default().nest("/v1", routes.openapi());
//!     layer.security_schemes().add_to(&mut document);
//!
//!     Router::new()
//!         .nest("/v1", routes.into_router())
//!         .route("/openapi.json", get(move || async { Json(document) }))
//!         .layer(layer)
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let keys = KeyManager::new(MemoryStore::new());
//!     let owner = NewKey::named("dashboard").tenant("acme").abilities(["api-keys:*"]);
//!     let owner = keys.issue(owner).await?;
//!     let app = app(keys);
//!     // axum::serve(listener, app).await?;
//!
//! #   use http::{Request, StatusCode};
//! #   use tower::{Layer, ServiceExt};
//! #   use tower_api_key::testing::ActAs;
//! #   let request = Request::get("/v1/api-keys").body(axum::body::Body::empty())?;
//! #   let answer = ActAs::with_secret(&owner.secret).layer(app).oneshot(request).await?;
//! #   assert_eq!(answer.status(), StatusCode::OK);
//! #   let body = axum::body::to_bytes(answer.into_body(), 10_000).await?;
//! #   assert!(std::str::from_utf8(&body)?.contains(r#""name":"dashboard""#));
//!     Ok(())
//! }
//! ```
//!
//! ```text
//! GET    /api-keys?limit=&cursor=&state=   {"success":true,"data":[{"id":…,"name":…,"prefix":…}],"next_cursor":null}
//! POST   /api-keys                         201, with the secret for the only time
//! GET    /api-keys/{id}
//! PATCH  /api-keys/{id}
//! DELETE /api-keys/{id}?with_successors=   {"success":true,"message":"API key revoked successfully"}
//! POST   /api-keys/{id}/rotate             201, with the secret of the successor
//! GET    /api-keys/{id}/audit?limit=&cursor=   who changed what of the key, the newest first
//! ```
//!
//! [`manage::api`](crate::manage::api) describes parameters, fields and errors.
//!
//! # Callers
//!
//! The router cannot be built without a way to identify callers.
//!
//! * [`KeyOwner`](crate::manage::api::KeyOwner) uses the verified key of the request, with
//!   `api-keys:read` or `api-keys:write`.
//! * A function, or an [`IdentifyOwner`](crate::manage::api::IdentifyOwner), turns the session of a
//!   dashboard into an [`Owner`](crate::manage::Owner). The tenant and the most that may be granted
//!   come from the owner. A body that names a tenant is refused, and so is one that grants more.
//!
//! A caller is checked when the request is complete: the body is read first, at most 64 KiB in at most
//! 10 seconds. A key is checked once more when the change is made; a session is as fresh as your
//! function's source.
//!
//! # What callers see
//!
//! * Errors name all wrong fields, as problem+json or in [your own
//!   form](crate::manage::api::KeyRoutes::errors), and repeat nothing of the body.
//! * The key of another tenant gets the same answer as one that does not exist, byte for byte.
//! * A revocation reports what is left: if the key was rotated, `working_successors` names the keys
//!   that replaced it and still work. `?with_successors=true` revokes them, too.
//!
//! # OpenAPI
//!
//! [`openapi`](crate::manage::api::KeyRoutes::openapi) describes the mounted routes, in OpenAPI 3.1.
//! The tests run [schemathesis](https://schemathesis.readthedocs.io) against the running router, with
//! all its checks but one: a key that was revoked by `DELETE` is still visible.
//!
//! In your own document, made by [utoipa](https://docs.rs/utoipa) 6, a layer describes how clients
//! present their keys: [`security_schemes`](crate::ApiKeyLayer::security_schemes). It follows the
//! layer's extractor. If keys are optional, no key is an alternative. The abilities that a policy
//! requires become scopes, and its public endpoints require nothing. Existing entries of the document
//! stay.
