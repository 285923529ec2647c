//! The page "Settings → API keys": an axum router of HTML pages, on which owners manage their keys in a browser.
//!
//! | path | shows or does |
//! |---|---|
//! | `/` | the list: states, access, stages, last use and requests of 30 days; search, filters, sorting, pages |
//! | `/new`, `/new-public` | the form for a key; its answer shows the secret, once |
//! | `/key/{id}` | the record of a key in words, and charts of its requests |
//! | `/key/{id}/rename`, `/change`, `/disable`, `/enable`, `/rotate`, `/revoke` | the forms that change it |
//! | `/assets/…` | a stylesheet and a script, with hashes of their content in their names |
//!
//! [`KeyPages`] builds the router. The application nests it, identifies the user of each request by
//! [`IdentifyOwner`] and its own sessions, and adds its [layout](KeyPages::layout). Everything else comes from the
//! [manager](crate::KeyManager), with the same authority, rules and errors as in the [API](crate::manage::api).
//!
//! The pages work without JavaScript. The script copies secrets, asks before a secret is lost, and converts times
//! to the zone of the reader. There is no build step, and nothing is loaded from other sites.
//!
//! # Signing in
//!
//! [`IdentifyOwner`] is called for each request, with the action and the id of the key. So an application can ask
//! for a password or a second factor before a key is created, rotated or revoked:
//!
//! * The refusal of a `GET` is sent as it is, such as a redirection to the page that signs in.
//! * The refusal of a `POST` is shown in the form, with all values that were typed, and with a link that signs in
//!   in a new tab: to where the refusal redirects, or otherwise to the form itself. Then the user sends the form
//!   again.
//!
//! API keys cannot manage keys on these pages: an owner that [is a key](crate::manage::Owner::of_key) is refused,
//! and so is a request with a verified key.
//!
//! # The list
//!
//! The newest key is first, and pages follow the cursors of the repository, for any number of keys. A repository has
//! only this order. For another order, by name, last use or age, the newest 1000 keys that match the filters are
//! read and sorted. If more keys match, the list says so; use the filters.
//!
//! The stage of a key is below its name. A column of its own would take the room that abilities and times need
//! beside the navigation of a product.
//!
//! If the [tenant is suspended](crate::KeyManager::suspend), the pages say so, and offer only disabling and revoking.
//!
//! Requests are counted by a [`UsageRecorder`](crate::UsageRecorder) on the layer, and kept by the store of the
//! manager. The list reads those of all its keys in [one call](crate::KeyManager::usage_sums_by_key). If the store
//! keeps none, or fails, keys are shown without them.
//!
//! # Abilities
//!
//! A form offers the abilities of a [catalogue](KeyPages::catalogue) that its owner may grant, and a key can get no
//! others, no wildcard, and no stage or expiry that the form does not offer. A key keeps the abilities that it already
//! has until they are removed.
//!
//! # The secret
//!
//! Only the answer to the `POST` has the secret. It is never in a URL, a cookie or any storage, and no cache keeps the
//! page. The script clears it when the page is left, also from the back-forward cache.
//!
//! A form that is sent twice issues one key: its token names the key, like `Idempotency-Key` in the API. The browser
//! shows only the answer to the last request, which therefore needs a secret that works. Within ten minutes, and
//! while the key was not used, a repeated form rotates the key at once and shows the new secret. Later, or if
//! somebody else issued or rotated the key, the answer says that the key was already created. A
//! [`UsageRecorder`](crate::UsageRecorder) records whether a key was used. A rotation that the same user sends twice
//! works in the same way.
//!
//! Public keys are not secret. Those that are created here, and others that
//! [keep their text](crate::NewKey::keep_public_text), are shown completely.
//!
//! # Security
//!
//! * Cross-site requests are refused by Fetch Metadata and `Origin` (tower-http's
//!   [`CsrfLayer`](tower_http::csrf::CsrfLayer)), for every method that changes something. Requests with neither
//!   header are refused, too: all current browsers send one of them. Proxies have to forward `Origin` and `Host`.
//! * `Content-Security-Policy` allows only resources of the same origin: no inline scripts or styles, no frames, no
//!   forms to other sites. `Cache-Control: no-store`, `Referrer-Policy`, `X-Content-Type-Options` and
//!   `Cross-Origin-Opener-Policy` are set. A header that the application sets is kept.
//! * All input of users is escaped, and names are isolated from the text around them, in either direction of text.
//! * A key of another tenant is 404, like one that does not exist.
//!
//! Serve it over TLS, and mark the cookie of the session `Secure`, `HttpOnly` and `SameSite=Lax`.
//!
//! # The look
//!
//! All classes of the stylesheet begin with `ak-`, below one element with the class `ak`. It follows the light or dark
//! scheme of the reader. Custom properties change it, such as in the application's own stylesheet:
//!
//! ```css
//! .ak { --ak-accent: #0b6e4f; --ak-radius: 4px; --ak-font: Inter, sans-serif }
//! ```
//!
//! `data-theme="light"` or `data-theme="dark"` on the `<html>` element sets the scheme.
//!
//! [`IdentifyOwner`]: crate::manage::api::IdentifyOwner

// The templates use maud: they are Rust functions beside the types that they show, so the compiler checks their
// arguments; values are escaped by default; and there are no template files. It is a macro without dependencies at
// run time.

mod action_forms;
mod actions;
mod asked;
mod assets;
mod change;
mod chart;
mod create;
mod deed;
mod expiry;
mod fields;
mod form;
mod headers;
mod history;
mod key_access;
mod key_fields;
mod key_form;
mod key_json;
mod key_pages;
mod key_parts;
mod list;
mod mistakes;
mod offered;
mod origin;
mod page;
mod place;
mod refused;
mod reply;
mod secret;
mod settings;
mod show;
mod site;
mod sparkline;
mod table;
mod texts;
mod time;
mod token;
mod visit;
mod way;

pub use self::expiry::Expiry;
pub use self::key_pages::KeyPages;
pub use self::page::Page;
pub use self::texts::PageTexts;
