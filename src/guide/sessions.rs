//! Sessions and keys together: both on one route, both as `Authorization: Bearer`.
//!
//! Many services have users with sessions and programs with keys on the same endpoints. Mount the
//! authenticator of sessions outside of the layer; the layer leaves tokens that are not keys to it.
//!
//! ```sh
//! cargo add tower-api-key --features axum
//! cargo add axum http
//! cargo add tokio --features macros,rt-multi-thread
//! ```
//!
//! ```
//! use axum::Router;
//! use axum::extract::Request;
//! use axum::middleware::{Next, from_fn};
//! use axum::response::Response;
//! use axum::routing::get;
//! use http::Extensions;
//! use http::header::AUTHORIZATION;
//! use tower_api_key::extract::{Bearer, Claimed, Extract, Header};
//! use tower_api_key::{
//!     KeyFormat, KeyManager, KeyScheme, MemoryStore, NewKey, RequestHead, VerifiedKey,
//! };
//!
//! #[derive(Clone)]
//! struct User(String);
//!
//! /// A session in this example; yours may be a JSON Web Token.
//! fn verify_session(token: &str) -> Option<User> {
//!     token.strip_prefix("session-of-").map(|name| User(name.to_owned()))
//! }
//!
//! async fn session(mut request: Request, next: Next) -> Response {
//!     if let Some(value) = request.headers().get(AUTHORIZATION).cloned()
//!         && let Some(token) = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "))
//!         && let Some(user) = verify_session(token)
//!     {
//!         request.extensions_mut().insert(user);
//!         // This exact value was verified: the layer need not refuse it.
//!         request.extensions_mut().insert(Claimed::new(value));
//!     }
//!     next.run(request).await
//! }
//!
//! fn is_user(head: &RequestHead<'_>) -> bool {
//!     head.extensions().get::<User>().is_some()
//! }
//!
//! async fn who(key: Option<VerifiedKey>, extensions: Extensions) -> String {
//!     match (key, extensions.get::<User>()) {
//!         (Some(key), _) => format!("the key {}", key.name()),
//!         (None, Some(User(name))) => format!("the user {name}"),
//!         (None, None) => "nobody".to_owned(),
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let scheme = KeyScheme::new(KeyFormat::new("sk_"));
//!     let keys = KeyManager::new(MemoryStore::new()).scheme(scheme);
//!     let key = keys.issue(NewKey::named("reporting")).await?.secret;
//!     let layer = keys
//!         .layer()
//!         .extractor(Header::x_api_key().or(Bearer.starting_with("sk_")))
//!         .unless(is_user);
//!     let app: Router = Router::new().route("/", get(who)).layer(layer).layer(from_fn(session));
//!
//! #   use http::Request;
//! #   use tower::ServiceExt;
//! #   for (token, status, body) in [
//! #       (key.reveal(), 200, "the key reporting"),
//! #       ("session-of-ann", 200, "the user ann"),
//! #       ("seession-of-ann", 401, ""),
//! #       ("sk_mistyped", 401, ""),
//! #   ] {
//! #       let request = Request::get("/").header("authorization", format!("Bearer {token}"));
//! #       let answer = app.clone().oneshot(request.body(axum::body::Body::empty())?).await?;
//! #       assert_eq!(answer.status(), status, "{token}");
//! #       if status == 200 {
//! #           assert_eq!(axum::body::to_bytes(answer.into_body(), 100).await?, body);
//! #       }
//! #   }
//!     // axum::serve(listener, app).await?;
//!     Ok(())
//! }
//! ```
//!
//! | request | answer |
//! |---|---|
//! | a key, as `x-api-key` or Bearer | what the key may see |
//! | the token of a session | what the user may see |
//! | a token that nobody claims | 401, also with [`optional`](crate::ApiKeyLayer::optional): a mistyped key never becomes anonymous |
//! | a key and a session's token | 400, if both are where the layer's extractor looks, as here; with a session in a cookie, the key counts |
//! | neither | 401 |
//!
//! * [`Bearer::starting_with`](crate::extract::Bearer::starting_with) leaves other tokens to
//!   the authenticator outside of the layer.
//!   [`Claimed`](crate::extract::Claimed) marks the header that was verified: a session in a cookie
//!   does not claim a token beside it.
//! * [`ApiKeyLayer::unless`](crate::ApiKeyLayer::unless) and [`Guard::unless`](crate::Guard::unless)
//!   accept requests without a key that something else authenticated. A key is judged by its abilities,
//!   even beside a session.
//! * The handler decides what a user may do: guards of this crate check only keys.
//! * OpenAPI documents still have the scheme `Bearer`.
//!
//! # Sessions that belong to a key
//!
//! For sessions that a key opened, such as those of MCP, see [MCP](super::mcp).
