//! The feature `manage`: an HTTP API, as an axum router, with which owners manage their keys.
//!
//! | route | does | answers with |
//! |---|---|---|
//! | `GET /api-keys` | lists keys, [by](#lists) `?limit=`, `?cursor=`, `?state=` and others | 200, a page |
//! | `POST /api-keys` | issues a key | 201, the key and its secret |
//! | `GET /api-keys/{id}` | shows a key | 200, the key |
//! | `PATCH /api-keys/{id}` | changes a key | 200, the key |
//! | `DELETE /api-keys/{id}` | revokes a key, also one that was revoked before; with `?with_successors=true`, also all keys that replaced it | 200, a message |
//! | `POST /api-keys/{id}/rotate` | rotates a key: issues a successor | 201, the successor and its secret |
//! | `GET /api-keys/{id}/audit` | lists the changes of a key, by `?limit=` and `?cursor=`; also of a removed one | 200, a page of [events](crate::KeyManager::audit_log) |
//! | `GET /api-keys/{id}/usage` | returns the usage of a key, by `?from=`, `?to=` (RFC 3339, of the last 30 days by default) and `?bucket=` (`hour`, `day` or `month`) | 200, the usage |
//!
//! [`KeyRoutes`] builds the router, and the application [identifies the caller](IdentifyOwner).
//!
//! # Answers
//!
//! ```json
//! {"success":true,"data":[{"id":"key_…","name":"Production Key","prefix":"sk_live_",…}],"next_cursor":null}
//! {"success":true,"message":"API key revoked successfully"}
//! ```
//!
//! If the revoked key was rotated, the answer names its successors: `working_successors` still work, and
//! `revoked_successors` were revoked with it.
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
//! A key is a [`KeyView`](super::KeyView). Only the answers to creating and rotating a key have its `secret`.
//! Caches may keep no answer.
//!
//! # Lists
//!
//! | parameter | lists only |
//! |---|---|
//! | `limit` | this number of keys, at most 100; by default 20 |
//! | `cursor` | keys after the page whose `next_cursor` this is |
//! | `state` | keys that are `active`, `disabled`, `expired` or `revoked` |
//! | `name` | keys with this text in their name; `A` to `Z` are the same as `a` to `z` |
//! | `stage` | keys of this stage |
//! | `kind` | `secret` or `public` keys |
//! | `created_by` | keys that this [actor](crate::store::Actor) issued, such as `name:alice` |
//! | `unused_since` | keys that were neither used nor issued since this time, by RFC 3339 |
//! | `rotation_due_by` | keys that should be replaced by this time |
//!
//! A page has those keys that match among at most 10 000 that are read. So a page can have fewer keys than
//! `limit`, or none, before the end of the list. The list ends when `next_cursor` is `null`.
//!
//! # Bodies
//!
//! | field | of | is |
//! |---|---|---|
//! | `name` | create, change | what the key is for; required to create |
//! | `prefix` | create | the prefix of a format of the manager's [scheme](crate::KeyManager::scheme); required if several formats have the stage |
//! | `stage` | create | the only stage in which the key works |
//! | `abilities` | create, change | at most 100 texts such as `bots:read` |
//! | `expires_at` | create, change | a time by RFC 3339; `null` is never |
//! | `limits` | create, change | texts such as `1000 per hour, burst 50` |
//! | `restrictions` | create, change | an object with `addresses`, `origins`, `referrers` and `endpoints`, each at most 100 texts; a change replaces all of it |
//! | `disabled` | change | whether the key is disabled; it can be enabled again |
//! | `grace_seconds` | rotate | how long the old key still works, at most 90 days; by default 0, which revokes it |
//!
//! The body of a rotation is optional, except in browsers: a request with `Origin` needs JSON, such as `{}`.
//!
//! If the caller is a key, a new key inherits the fields that the body leaves out. Other fields are refused: a
//! body cannot set the tenant, id, kind or metadata of a key.
//!
//! # Errors
//!
//! Errors are `application/problem+json` (RFC 9457), like those of the layer, unless the application
//! [converts them](KeyRoutes::errors). `errors` lists all wrong fields of the body, or all wrong parameters, such as
//! `restrictions.addresses[1]`, each with what is wrong with it. The first of them is in `field` and `detail`, too:
//!
//! ```json
//! {"detail":"The expiry is in the past: set a later time","errors":[{"detail":"The expiry is in the past: set a later time","field":"expires_at"}],"field":"expires_at","status":422,"title":"Unprocessable Entity","type":"about:blank"}
//! ```
//!
//! An item of `errors` is without `field` if its name might be a secret in the wrong place. At most 40 are listed.
//! Fields that are wrong only together, such as those that choose the format, may be refused once each by itself is
//! right.
//!
//! | status | if |
//! |---|---|
//! | 400 | the body is not JSON or has a field twice, or a parameter is wrong |
//! | 403 | the key would be allowed more than the caller |
//! | 404 | there is no such key, or it belongs to another tenant; or the request is for usage, and the store keeps none |
//! | 409 | the key is revoked or was rotated already, its tenant is suspended, the request has [issued a key](#once) before, or, with the type [`ApiError::TOO_MANY_KEYS`], the tenant has as many keys as it [may have](crate::KeyManager::max_keys_per_tenant) |
//! | 408 | the body did not arrive within [10 seconds](KeyRoutes::body_timeout) |
//! | 413, 415 | the body has more than [64 KiB](KeyRoutes::body_limit), or is not `application/json` |
//! | 422 | a field is unknown, missing or wrong, or the body differs from that of the [same request](#once) |
//! | 501 | the store keeps no audit log, like `RedisStore`: leave [the route](KeyRoute::Audit) out |
//! | 503 | the store failed or took too long (the log says more), or [too many](KeyRoutes::bodies_in_flight) bodies are slow |
//!
//! Each call of the manager ends within its [deadline](crate::KeyManager::deadline). A change of a key takes two
//! calls. The unread rest of a body is [drained](crate::ApiKeyLayer::drain_refused) after the answer.
//!
//! No error repeats a value of the body, which might be a secret in the wrong place.
//!
//! # Once
//!
//! A client that gets no answer does not know whether a key was issued, and cannot get its secret any more. With
//! the header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), a repeated
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
//! The key keeps this information: its id is derived from the tenant and the header, and its metadata
//! `idempotency_fingerprint` is a hash of the body. So it works on all nodes and with every repository. Once the
//! key is [pruned](crate::KeyManager::prune), the header can issue a key again. Other requests need no such
//! header and can be repeated; a second rotation is 409 and names the successor.
//!
//! # When the caller is judged
//!
//! The whole body is read before the [caller is identified](IdentifyOwner). Otherwise, a caller could lose its
//! rights while its body arrives, and the request would still be made. A caller that is a [key](KeyOwner) is
//! judged by its record at the moment of the change: once a revocation is acknowledged, no request with that key
//! changes anything. [`KeyManager::on_behalf_of`] has the details. A session is judged by the application, after
//! the body has arrived.
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
mod parameters;
mod restrictions;
mod revoke;
mod rotate;
mod route;
mod routes;
mod rules;
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

#[cfg(any(feature = "pages", feature = "leaks"))]
pub(super) use self::bodies::Bodies;
#[cfg(feature = "pages")]
pub(super) use self::{
    create::CreateKey, handlers::key_id, rules::Rules, unread::drain_unread, update::UpdateKey,
};
