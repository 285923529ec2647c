//! HTTP caches: the `Cache-Control` and `Vary` headers of responses.
//!
//! A response to a key is for that key only, and no cache may serve it to others. The layer sets two
//! headers, unless it is built [without them](crate::ApiKeyLayer::without_cache_fields):
//!
//! * **`Cache-Control: private`**, in every response to a key without a `Cache-Control` of the handler.
//!   A header of the handler stays.
//! * **`Vary`**, in every response, also in refusals and responses without a key. It names all headers
//!   in which a key may be, by default `x-api-key, authorization`, after those of the handler, in one
//!   line.
//!
//! A handler can set `Cache-Control: public, max-age=60`: shared caches then keep its responses,
//! separately for each key. Within that minute they answer without asking the server, even if the key
//! was revoked or is used from where it is not allowed.
//!
//! # Caveats
//!
//! * Some caches ignore `Vary`, such as several CDNs unless they are set up to respect it. Behind one
//!   of these, a handler must not let caches keep responses to keys.
//! * `CDN-Cache-Control` (RFC 9213), `Surrogate-Control` and nginx's `X-Accel-Expires` can overrule
//!   `Cache-Control`, even `private` and `no-store`, in the caches that read them. If a handler sets
//!   them, these caches keep the response, separately for each key.
//! * Layers outside of the [`ApiKeyLayer`](crate::ApiKeyLayer) that add `Vary` lines, such as
//!   tower-http's for CORS and compression, need a [`JoinVary`] outside of them.
//! * If an extractor names no [places](crate::extract::Extract::places), such as a function, then
//!   refusals, and responses without a key if keys are optional, have no `Vary`.
//! * nginx keeps no response whose `Vary` is longer than 128 bytes.
//! * A key in the URI makes the URI differ, so caches keep responses separately. But some caches ignore
//!   parameters, and the key is in their logs.
//!
//! # Why
//!
//! * RFC 9110, section 12.5.5, does not require `authorization` in `Vary`, because shared caches keep
//!   no response to `Authorization` unless it allows them to (RFC 9111, section 3.5). But a response
//!   with `public` is served to everyone by nginx 1.22, Traffic Server 9.2, Varnish 7.1, Squid 5.7 and
//!   Apache 2.4, and nginx does not even need that permission.
//! * Of several `Vary` lines, nginx 1.22 reads only the last, and Traffic Server 9.2 only the first.
//! * nginx and Varnish treat a `*` among other names as the name of a header. The layer writes a list
//!   with `*` as `*` alone, so that no cache reuses the response.
//! * If a response must not be kept, Varnish passes all requests for its URL to the application for two
//!   minutes. With `Vary` in refusals, it does so only for the wrong key.

mod fields;
mod join_vary;
mod vary;

pub(crate) use self::fields::{CacheFields, ResponseFields};
pub use self::join_vary::{JoinVary, JoinVaryFuture, JoinVaryService};
pub(crate) use self::vary::add as add_vary;
