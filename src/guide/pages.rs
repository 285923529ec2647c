//! API keys in a browser: mounting the [pages](crate::manage::pages) in a product.
//!
//! `cargo run -p tower-api-key-examples --example dashboard` runs all of this in one program.
//!
//! ```sh
//! cargo add tower-api-key --features pages
//! cargo add axum http
//! cargo add tokio --features macros,net,rt-multi-thread
//! ```
//!
//! ```
//! use axum::Router;
//! use http::StatusCode;
//! use http::request::Parts;
//! use tower_api_key::key::AbilityCatalogue;
//! use tower_api_key::manage::Owner;
//! use tower_api_key::manage::api::{KeyAction, Refused};
//! use tower_api_key::manage::pages::KeyPages;
//! use tower_api_key::{AbilitySet, KeyManager, MemoryStore, TenantId};
//!
//! /// Inserted into the request by a layer of the application.
//! #[derive(Clone)]
//! struct Session {
//!     user: String,
//!     tenant: TenantId,
//!     ceiling: AbilitySet,
//! }
//!
//! fn session(parts: &mut Parts, _: &KeyAction) -> Result<Owner, Refused> {
//!     let session = parts.extensions.get::<Session>().cloned().ok_or(StatusCode::UNAUTHORIZED)?;
//!     Ok(Owner::of_tenant(session.tenant, session.ceiling, session.user))
//! }
//!
//! # use tower::ServiceExt;
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let keys = KeyManager::new(MemoryStore::new());
//!     let catalogue = AbilityCatalogue::new()
//!         .ability("bots:read", "List and read bots")
//!         .ability("bots:write", "Create and change bots");
//!     let pages = KeyPages::new(keys, session)
//!         .catalogue(catalogue)
//!         .api_url("https://api.shop.example/v1/bots")
//!         .variable("SHOP_API_KEY");
//!
//!     // The layer of the sessions goes around it.
//!     let app: Router = Router::new().nest("/settings/api-keys", pages.into_router());
//! #   let request = || http::Request::get("/settings/api-keys");
//! #   let nobody = app.clone().oneshot(request().body(axum::body::Body::empty())?).await?;
//! #   assert_eq!(nobody.status(), 401);
//! #   let ceiling = ["bots:read".parse()?].into_iter().collect();
//! #   let ann = Session { user: "ann".to_owned(), tenant: "acme".parse()?, ceiling };
//! #   let list = request().extension(ann).body(axum::body::Body::empty())?;
//! #   assert_eq!(app.oneshot(list).await?.status(), 200);
//!     // axum::serve(listener, app).await?;
//!     Ok(())
//! }
//! ```
//!
//! * It works without JavaScript: HTML from the server, one stylesheet, and one script that copies
//!   secrets, asks before the user leaves an uncopied one, and shows times in the user's zone. A first
//!   visit with 20 keys is 7.9 kB (`cargo test -p tower-api-key-tests --all-features --test pages
//!   costs:: -- --nocapture` prints it).
//! * No input is lost: errors are shown beside their fields, and a form outlives its session.
//! * axe-core finds no violation of WCAG 2.2 AA, at 320 and 1280 pixels, in light and dark (`tests/all
//!   --test pages`).
//!
//! # Sessions
//!
//! The pages have no sessions of their own. They call [`IdentifyOwner`] for every request, after its
//! body has arrived: look the session up there, so that an expired one has no effect. It returns the
//! [tenant](crate::manage::Owner::of_tenant), the most that may be granted, and the name for the
//! history.
//!
//! ```
//! use async_trait::async_trait;
//! use axum::response::Redirect;
//! use http::request::Parts;
//! use tower_api_key::manage::Owner;
//! use tower_api_key::manage::api::{IdentifyOwner, KeyAction, KeyRoute, Refused};
//! use tower_api_key::{AbilitySet, TenantId};
//!
//! # #[derive(Clone)] struct Sessions;
//! # struct Session { tenant: TenantId, ceiling: AbilitySet, email: String, is_fresh: bool }
//! # impl Sessions { async fn find(&self, _: &Parts) -> Option<Session> { None } }
//! #[async_trait]
//! impl IdentifyOwner for Sessions {
//!     async fn identify(&self, parts: &mut Parts, action: &KeyAction) -> Result<Owner, Refused> {
//!         let session = self.find(parts).await.ok_or_else(|| Redirect::to("/sign-in"))?;
//!         // Ask for the password again before a key is created, rotated or revoked.
//!         let is_grave =
//!             matches!(action.route(), KeyRoute::Create | KeyRoute::Rotate | KeyRoute::Revoke);
//!         if is_grave && !session.is_fresh {
//!             return Err(Redirect::to("/confirm").into());
//!         }
//!         Ok(Owner::of_tenant(session.tenant, session.ceiling, session.email))
//!     }
//! }
//! ```
//!
//! A `GET` is answered with the redirection itself. A `POST` is answered with the form, with all that
//! was typed, and a link to the target of the redirection in a new tab; afterwards the user sends the
//! form again. So the sign-in page need not carry anything over. A refusal without a redirection, such
//! as 403, tells the user that it is not allowed.
//!
//! # Layout, colours and texts
//!
//! * [`layout`](crate::manage::pages::KeyPages::layout) makes a document of a page: put `page.head()`
//!   into the `<head>` and `page.content()` into the `<main>`. The policy of the pages allows scripts,
//!   styles, images and fonts of the same origin, and nothing inline. An application that needs more
//!   sets its own `Content-Security-Policy` in a layer outside of the pages.
//! * The stylesheet uses one class, `ak`, and has its colours in custom properties that any rule of the
//!   application overrides. It follows the user's colour scheme, and `data-theme` on the `<html>`
//!   element selects one.
//! * [`PageTexts`] has all texts, and [`AbilityCatalogue`] those for abilities.
//!
//! # Usage
//!
//! The charts show the counts of a [`UsageRecorder`], which observes the layer of the API, from the
//! store of the pages' manager. The store is asked once for all keys of a page of the list, and once
//! for the page of a key. If the store keeps no usage, or fails, keys are shown without it;
//! [`without_usage`](crate::manage::pages::KeyPages::without_usage) omits it.
//!
//! # Behind a proxy
//!
//! Forward `Host` and `Origin` unchanged: with these and Fetch Metadata, requests of other sites are
//! recognized. If the proxy changes paths, set the path that browsers use by
//! [`mounted_at`](crate::manage::pages::KeyPages::mounted_at). For compression, add a layer outside of
//! the pages.
//!
//! # What is stored where
//!
//! | | where |
//! |---|---|
//! | the secret of a key | only in the response to the `POST` |
//! | the text of a public key | in the metadata of its record, as `public_key` |
//! | the form that created a key | in the id of the key, and a hash of the input in its metadata, as `idempotency_fingerprint` |
//! | the author of a change | in the [audit log](crate::KeyManager::audit_log) of the repository |
//!
//! If a form is sent twice within ten minutes, its key is rotated once more, unless the key was used.
//! Mount a [`UsageRecorder`] on the layer, so that uses are known.
//!
//! [`AbilityCatalogue`]: crate::key::AbilityCatalogue
//! [`IdentifyOwner`]: crate::manage::api::IdentifyOwner
//! [`PageTexts`]: crate::manage::pages::PageTexts
//! [`UsageRecorder`]: crate::UsageRecorder
