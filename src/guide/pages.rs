//! API keys in a browser: mounting the [pages](crate::manage::pages) in a product.
//!
//! `cargo run -p tower-api-key-examples --example dashboard` is all of this in one program.
//!
//! # Sessions
//!
//! The pages have no sessions of their own. [`IdentifyOwner`] is asked for every request, after its body has come,
//! who calls: look the session up there, so that one that has ended does nothing more. What it returns is the
//! [tenant](crate::manage::Owner::of_tenant), the ceiling of what may be granted, and the name that the history shows.
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
//!         // A password again before a key is created, rotated or revoked.
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
//! A redirection answers a `GET` as it is. To a `POST`, the answer is the form with all that was typed, and a link to
//! where the redirection goes, in a new tab; afterwards the form is sent again. So the page that signs in need not
//! carry anything over. A refusal without a redirection, such as 403, says that it may not be done.
//!
//! # Layout, colours and words
//!
//! * [`layout`](crate::manage::pages::KeyPages::layout) makes a document of a page: `page.head()` goes into the `<head>`,
//!   `page.content()` into the `<main>`. The policy of the pages allows scripts, styles, images and fonts of the same
//!   origin, and nothing inline. An application that needs more sets its own `Content-Security-Policy` in a
//!   layer outside of the pages.
//! * The stylesheet is below one class, `ak`, and has its colours in custom properties that any rule of the application
//!   overrides. It follows the reader's scheme, and `data-theme` on the `<html>` element chooses one.
//! * [`PageTexts`] has all words, and [`AbilityCatalogue`] those for abilities.
//!
//! # Usage
//!
//! The charts show what a [`UsageRecorder`] has counted, as an observer of the layer behind which the API is, and
//! what the store of the pages' manager keeps. It is asked once for all keys of a page of the list, and once for the page
//! of a key. Where the store keeps no usage, or cannot tell, keys are shown without it;
//! [`without_usage`](crate::manage::pages::KeyPages::without_usage) leaves it out.
//!
//! # Behind a proxy
//!
//! Forward `Host` and `Origin` as they came: by them and by Fetch Metadata, requests of other sites are told apart. Where
//! the proxy changes paths, say by [`mounted_at`](crate::manage::pages::KeyPages::mounted_at) where browsers find the pages.
//! Compress as you like: the pages leave that to a layer outside.
//!
//! # What is kept where
//!
//! | | where |
//! |---|---|
//! | the secret of a key | in the answer to the `POST`, and nowhere else |
//! | the text of a public key | in the metadata of its record, as `public_key` |
//! | which form made a key | in the id of the key, and a hash of what was typed in its metadata, as `idempotency_fingerprint` |
//! | who changed what | in the [audit log](crate::KeyManager::audit_log) of the repository |
//!
//! A form that comes twice within ten minutes rotates its key once more, unless the key was used. Mount
//! a [`UsageRecorder`] on the layer, so that this is known.
//!
//! [`AbilityCatalogue`]: crate::key::AbilityCatalogue
//! [`IdentifyOwner`]: crate::manage::api::IdentifyOwner
//! [`PageTexts`]: crate::manage::pages::PageTexts
//! [`UsageRecorder`]: crate::UsageRecorder
