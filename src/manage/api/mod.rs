//! The feature `manage`: an axum router by which owners manage their keys.
//!
//! | route | does | answers with |
//! |---|---|---|
//! | `GET /api-keys` | lists keys, [by](#lists) `?limit=`, `?cursor=`, `?state=` and others | 200, a page |
//! | `POST /api-keys` | issues a key | 201, the key and its secret |
//! | `GET /api-keys/{id}` | shows a key | 200, the key |
//! | `PATCH /api-keys/{id}` | changes a key | 200, the key |
//! | `DELETE /api-keys/{id}` | revokes a key, also one that was revoked before; by `?with_successors=true` all that replaced it too | 200, a message |
//! | `POST /api-keys/{id}/rotate` | gives a key a successor | 201, the successor and its secret |
//! | `GET /api-keys/{id}/audit` | lists who changed what of a key, by `?limit=` and `?cursor=`; also of one that was removed | 200, a page of [events](crate::KeyManager::audit_log) |
//! | `GET /api-keys/{id}/usage` | tells how often a key was used, by `?from=`, `?to=` (RFC 3339, of the last 30 days by default) and `?bucket=` (`hour`, `day` or `month`) | 200, the usage |
//!
//! [`KeyRoutes`] makes the router, and the application says [who calls](IdentifyOwner).
//!
//! # Answers
//!
//! ```json
//! {"success":true,"data":[{"id":"key_…","name":"Production Key","prefix":"sk_live_",…}],"next_cursor":null}
//! {"success":true,"message":"API key revoked successfully"}
//! ```
//!
//! If the key that is revoked was rotated, the answer names its successors: under
//! `working_successors` those that still work, and under `revoked_successors` those that were revoked
//! with it.
//!
//! ```json
//! {"success":true,"message":"API key revoked successfully","working_successors":["key_…"]}
//! ```
//!
//! Usage is a [`UsageView`](super::UsageView), of whole hours, days or months:
//!
//! ```json
//! {"success":true,"data":{"bucket":"day","total":{"accepted":7,"refused":2,"reasons":{"rate_limited":2}},"buckets":[{"start":"2027-01-31T00:00:00Z",…}]}}
//! ```
//!
//! A key is a [`KeyView`](super::KeyView). The answers to creating and rotating have its `secret`
//! beside it, for the only time. No answer may be kept by a cache.
//!
//! # Lists
//!
//! | parameter | lists only |
//! |---|---|
//! | `limit` | so many keys a page, at most 100; by default 20 |
//! | `cursor` | what follows the page before, whose `next_cursor` it is |
//! | `state` | keys that are `active`, `disabled`, `expired` or `revoked` |
//! | `name` | keys with this text in their name; `A` to `Z` are the same as `a` to `z` |
//! | `stage` | keys that work in this stage alone |
//! | `kind` | `secret` or `public` keys |
//! | `created_by` | keys that were issued by this [actor](crate::store::Actor), such as `name:alice` |
//! | `unused_since` | keys that were neither used nor issued since this time, by RFC 3339 |
//! | `rotation_due_by` | keys that should be replaced by this time |
//!
//! A page looks at 10 000 keys at most, however many there are, and has those of them that match. So it
//! can have fewer than `limit`, or none, and there can be more: the list ends where `next_cursor` is
//! `null`.
//!
//! # Bodies
//!
//! | field | of | is |
//! |---|---|---|
//! | `name` | create, change | what the key is for; required to create |
//! | `prefix` | create | that of a format of the manager's [scheme](crate::KeyManager::scheme); required where several fit the stage |
//! | `stage` | create | the only stage in which the key works |
//! | `abilities` | create, change | at most 100 texts such as `bots:read` |
//! | `expires_at` | create, change | a time by RFC 3339; `null` is never |
//! | `limits` | create, change | texts such as `1000 per hour, burst 50` |
//! | `restrictions` | create, change | an object with `addresses`, `origins`, `referrers` and `endpoints`, each at most 100 texts; a change replaces all of it |
//! | `disabled` | change | whether the key is out of use for the time being |
//! | `grace_seconds` | rotate | how long the old key works on, at most 90 days; 0 by default, which revokes it |
//!
//! The body of a rotation may be left out, but not by a page: a request with `Origin` needs JSON, such
//! as `{}`.
//!
//! What is not said of a new key is as it is with the caller, if that is a key. Another field is
//! refused: a body says neither whose the key is, nor its id, kind or metadata.
//!
//! # Errors
//!
//! Errors are `application/problem+json` (RFC 9457), as those of the layer, or what the application
//! [makes of them](KeyRoutes::errors). Where a field or a parameter is to blame, `field` names it,
//! such as `restrictions.addresses[1]`:
//!
//! ```json
//! {"detail":"A key cannot expire in the past","field":"expires_at","status":422,"title":"Unprocessable Entity","type":"about:blank"}
//! ```
//!
//! | status | if |
//! |---|---|
//! | 400 | the body is not JSON or has a field twice, or a parameter is wrong |
//! | 403 | the key would be allowed more than the caller is |
//! | 404 | there is no such key, or it is another tenant's: nobody can tell which; or usage is asked for, and the store keeps none |
//! | 409 | the key is revoked or was rotated already, its tenant is suspended, the request has [issued a key](#once) before, or, with the type [`ApiError::TOO_MANY_KEYS`], there are as many keys as there [may be](crate::KeyManager::max_keys_per_tenant) |
//! | 408 | the body did not come within [10 seconds](KeyRoutes::body_timeout) |
//! | 413, 415 | the body has more than [64 KiB](KeyRoutes::body_limit), or is not `application/json` |
//! | 422 | a field is unknown, missing or wrong, or the body is another than that of the [same request](#once) |
//! | 501 | the store keeps no events, as `RedisStore` does not: leave [the route](KeyRoute::Audit) out there |
//! | 503 | the store failed or took too long, of which only the log tells more, or [too many](KeyRoutes::bodies_in_flight) bodies are slow |
//!
//! Each call of the manager ends within its [deadline](crate::KeyManager::deadline); to change a key
//! takes two. What an answer leaves unread of a body is [drained](crate::ApiKeyLayer::drain_refused)
//! behind it.
//!
//! No error repeats a value of the body, which might be a secret in the wrong place.
//!
//! # Once
//!
//! A client that gets no answer does not know whether it has a new key, and nobody can show it the secret
//! again. With the header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), a repeated
//! `POST /api-keys` issues no second key:
//!
//! ```text
//! Idempotency-Key: "8e03978e-40d5-43e8-bc93-6894a57f9324"
//! ```
//!
//! It is a string of 1 to 255 visible characters, with or without the quotes; anything else is 400. The first
//! request issues a key. Every other request for the same tenant with the same header is 409 and names the key
//! that was issued, under `key_id`: rotate it for another secret, or revoke it. With another body it is 422.
//!
//! ```json
//! {"detail":"This request has issued the API key key_… before: rotate it for another secret","key_id":"key_…","status":409,"title":"Conflict","type":"about:blank"}
//! ```
//!
//! It is kept with the key: the id is derived from the tenant and the header, and metadata of the key named
//! `idempotency_fingerprint` have a hash of the body. So it holds on all nodes, with every repository, and until
//! the key is [pruned](crate::KeyManager::prune), after which the header may issue a key again. The other
//! requests need no such header: to repeat them does no harm, and a second rotation is 409 and names the
//! successor.
//!
//! # When who calls is judged
//!
//! A request is read to its end before is asked [who calls](IdentifyOwner), so that nobody can begin
//! one, be deprived of the right to it, and finish it then. A caller that is a [key](KeyOwner) is
//! judged by its record in the moment of the change, as [`KeyManager::on_behalf_of`] says in full: after
//! a revocation was acknowledged, no request with that key changes anything. A session is judged by
//! the application, once the body is there: it can only be as fresh as where the application looks it
//! up.
//!
//! [`KeyManager::on_behalf_of`]: crate::KeyManager::on_behalf_of

mod action;
mod answer;
mod audit;
mod bodies;
mod body;
mod create;
mod error;
mod field;
mod handlers;
mod identify;
mod json;
mod key_owner;
mod list;
mod once;
mod openapi;
mod restrictions;
mod revoke;
mod rotate;
mod route;
mod routes;
mod schemas;
mod unread;
mod update;
mod usage;

pub use self::action::KeyAction;
pub use self::error::ApiError;
pub use self::identify::{IdentifyOwner, Refused};
pub use self::key_owner::KeyOwner;
pub use self::route::KeyRoute;
pub use self::routes::KeyRoutes;

#[cfg(feature = "pages")]
pub(super) use self::{
    bodies::Bodies, create::CreateKey, handlers::key_id, unread::drain_unread, update::UpdateKey,
};
