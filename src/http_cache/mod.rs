//! What HTTP caches on the way are told of responses.
//!
//! A response to a key is for that key, and no cache may give it to anybody else. The layer writes
//! two fields, unless it is told [not to](crate::ApiKeyLayer::without_cache_headers):
//!
//! * **`Cache-Control: private`**, in every response to a key, unless the handler wrote a
//!   `Cache-Control` of its own. What the handler wrote stays.
//! * **`Vary`**, in every response, also in those without a key and in refusals. It names all headers
//!   in which a key may be, by default `x-api-key, authorization`, after those that the handler
//!   wrote, in one line.
//!
//! So a handler that writes `Cache-Control: public, max-age=60` gets what it asks for: shared caches
//! keep its responses, for each key apart. Within that minute they answer without asking: also for a
//! key that was revoked, or is used from where it is not allowed.
//!
//! # Caveats
//!
//! * Some caches ignore `Vary`, such as those of several CDNs unless they are set up to respect it.
//!   Behind one of these, a handler must not let caches keep responses to keys.
//! * `CDN-Cache-Control` (RFC 9213), `Surrogate-Control` and nginx's `X-Accel-Expires` can overrule
//!   `Cache-Control`, also `private` and `no-store`, in the caches for which they are. A handler that
//!   writes them lets these caches keep the response, for each key apart.
//! * Layers outside of the [`ApiKeyLayer`](crate::ApiKeyLayer) that add lines of `Vary`, such as
//!   tower-http's for CORS and compression, need a [`JoinVary`] outside of them.
//! * An extractor that names no [places](crate::extract::Extract::places), such as a function, leaves
//!   refusals and, where keys are optional, responses without a key without `Vary`.
//! * nginx keeps no response whose `Vary` is longer than 128 bytes.
//! * A key in the URI makes a URI of its own, for which caches keep responses apart. But some are set
//!   up to leave out parameters, and the key is in their logs.
//!
//! # Why it is so
//!
//! * RFC 9110, section 12.5.5, sees no need for `authorization` in `Vary`, because shared caches keep
//!   no response to `Authorization` unless it allows them to (RFC 9111, section 3.5). But what it
//!   allows by `public`, nginx 1.22, Traffic Server 9.2, Varnish 7.1, Squid 5.7 and Apache 2.4 give
//!   to everybody; and nginx needs no such permission.
//! * Of several lines of `Vary`, nginx 1.22 reads the last only, and Traffic Server 9.2 the first.
//! * nginx and Varnish take a `*` among other names for the name of a header. A list with `*` is
//!   written as `*` alone, so that no cache uses the response again.
//! * Varnish passes all requests for a URL to the application for two minutes once a response must
//!   not be kept. By the `Vary` in refusals, it does so for the wrong key only.

mod fields;
pub(crate) mod join_vary;
mod vary;

pub(crate) use self::fields::{CacheFields, ResponseFields};
pub use self::join_vary::{JoinVaryFuture, JoinVaryService};

// They are documented at the root, by which users name them.
#[doc(hidden)]
pub use self::join_vary::JoinVary;
pub(crate) use self::vary::add as add_vary;
