//! The page "Settings → API keys": an axum router of HTML, by which owners manage their keys in a browser.
//!
//! | path | shows or does |
//! |---|---|
//! | `/` | the list: states, access, stages, last use and requests of 30 days; search, filters, sorting, pages |
//! | `/new`, `/new-public` | the form for a key; its answer shows the secret, this once |
//! | `/key/{id}` | everything of a key in words, and charts of its requests |
//! | `/key/{id}/rename`, `/change`, `/disable`, `/enable`, `/rotate`, `/revoke` | changes it |
//! | `/assets/…` | one stylesheet and one script, under names that change with them |
//!
//! [`KeyPages`] makes the router. The application nests it, says [who calls](crate::manage::api::IdentifyOwner) by its own sessions,
//! and puts pages into [its layout](KeyPages::layout). Everything else is the [manager](crate::KeyManager)'s: the
//! same authority, the same rules and the same errors as those of the [API](crate::manage::api).
//!
//! It works without JavaScript. The script copies secrets, asks before one is lost, and writes times in the
//! zone of the reader. There is nothing to build, and nothing is loaded from elsewhere.
//!
//! # Who calls
//!
//! [`IdentifyOwner`] is asked for each request, with what is to be done and to which key. So an application can ask
//! for a password or a second factor before a key is created, rotated or revoked:
//!
//! * a `GET` is answered by what it returns, such as a redirection to the page that signs in;
//! * a `POST` that it refuses is answered by the form, with all that was typed, and a link that signs in in a new
//!   tab: to where the refusal redirects, or else to the form itself. Then the form can be sent again.
//!
//! Keys manage no keys here: an owner that [is one](crate::manage::Owner::of_key) is refused, and so is a request
//! that a key has been verified for.
//!
//! # The list
//!
//! The newest key is first, and the list goes on by the cursors of the repository, however many keys there are. A
//! repository has this one order only. In another order, by name, last use or age, the newest 1000 keys that match the
//! filters are read at once and sorted here; if there are more, the list says so, and the filters narrow it down.
//!
//! The stage of a key stands below its name. In a column of its own, a single word would take the room that
//! abilities and times need beside the navigation of a product.
//!
//! If the [tenant is suspended](crate::KeyManager::suspend), the pages say so, and offer what can still be done: to
//! disable and to revoke.
//!
//! Requests are those that a [`UsageRecorder`](crate::UsageRecorder) on the layer has counted, and the store of the
//! manager keeps: of all keys of the list by [one question](crate::KeyManager::usage_by_key). Where the store keeps
//! none, or cannot tell, keys are shown without them.
//!
//! # What is offered
//!
//! A form offers the abilities of a [catalogue](KeyPages::catalogue) that its owner may grant, and no key is given
//! one that is not in there. What a key has from before stays until it is taken away.
//!
//! # The secret
//!
//! It is in the answer to the `POST` alone: not in an address, a cookie or any storage, and no cache keeps the page.
//! The script clears it when the page is left, also for the way back.
//!
//! A form that is sent twice makes one key. Its token names the key, as `Idempotency-Key` does in the API. The
//! browser shows the answer to the last request only, so a repeated one has to have a secret that works: for ten
//! minutes, and while the key was not used, it is rotated at once, and the new secret is shown. Whether it was used
//! is what [`UsageRecorder`](crate::UsageRecorder) notes. After that, the answer says that the key was already created. The
//! same goes for a rotation that the same person sends twice.
//!
//! Public keys are no secrets. Those that are made here, and others that [keep their text](crate::NewKey::keep_public_text),
//! are shown whole.
//!
//! # Security
//!
//! * Requests of other sites are refused by Fetch Metadata and `Origin` (tower-http's
//!   [`CsrfLayer`](tower_http::csrf::CsrfLayer)), for every method that changes something. Those that say neither
//!   are refused, too: all current browsers say one of both. Proxies have to forward `Origin` and `Host`.
//! * `Content-Security-Policy` allows nothing but what the origin itself serves: no inline scripts or styles, no
//!   frames, no forms that go elsewhere. `Cache-Control: no-store`, `Referrer-Policy`, `X-Content-Type-Options`
//!   and `Cross-Origin-Opener-Policy` are set. Where the application sets one of them, its own counts.
//! * Everything that people have typed is escaped, and names are kept apart from the text around them, whichever
//!   way they are read.
//! * A key of another tenant is 404, as one that does not exist.
//!
//! Serve it over TLS, and mark the cookie of the session `Secure`, `HttpOnly` and `SameSite=Lax`.
//!
//! # The look
//!
//! The stylesheet has classes that begin with `ak-`, below one element with the class `ak`, and follows the scheme
//! that the reader prefers. Custom properties change it, such as from the application's own stylesheet:
//!
//! ```css
//! .ak { --ak-accent: #0b6e4f; --ak-radius: 4px; --ak-font: Inter, sans-serif }
//! ```
//!
//! `data-theme="light"` or `data-theme="dark"` on the `<html>` element chooses one for good.
//!
//! [`IdentifyOwner`]: crate::manage::api::IdentifyOwner

// Templates are made by maud: they are functions of Rust, beside the types that they show, whose arguments the
// compiler checks; all that they show is escaped unless it says otherwise; and there are no files to look up. It is
// a macro without dependencies at run time.

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
