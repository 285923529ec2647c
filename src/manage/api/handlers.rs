//! The handlers of the routes. Their manager acts on behalf of the caller.

use axum::RequestPartsExt as _;
use axum::extract::RawPathParams;
use axum::response::Response;
use http::request::Parts;

use super::ApiError;
use super::body::RequestBody;
use super::create::CreateKey;
use super::list::parse_query;
use super::once::{fingerprint, idempotency_key, issued_before};
use super::rotate::RotateKey;
use super::rules::{Rules, all_wrong};
use super::update::UpdateKey;
use super::{answer, audit, revoke, route, usage};
use crate::head::RequestHead;
use crate::key::{AbilitySet, KeyId};
use crate::manage::KeyManager;
use crate::manage::once::Once;
use crate::store::StoredKey;

pub(in crate::manage) type Result<T = Response> = std::result::Result<T, ApiError>;

pub(super) async fn list(keys: KeyManager, parts: Parts, _: RequestBody) -> Result {
    let query = parse_query(parts.uri.query().unwrap_or_default())?;
    Ok(answer::page(&keys.list(&query).await?, keys.now()))
}

pub(super) async fn create(keys: KeyManager, parts: Parts, body: RequestBody) -> Result {
    let name = idempotency_key(&parts.headers)?;
    let body = body.json(&parts.headers)?;
    let request = fingerprint(&body);
    let all_wrong = |error| {
        let before = AbilitySet::default();
        all_wrong(error, || CreateKey::read(body.clone(), Rules::of(&keys, &before)))
    };
    let read = CreateKey::read(body.clone(), Rules::NONE).map_err(all_wrong)?;
    let outcome = match name {
        Some(name) => keys.issue_once(read.into(), &name, &request).await,
        None => keys.issue(read.into()).await.map(Once::New),
    };
    let issued = match outcome.map_err(|error| all_wrong(error.into()))? {
        Once::New(issued) => issued,
        Once::Before { id, is_same } => return Err(issued_before(id, is_same)),
    };
    let path = original_path(&parts);
    let location = path.map(|path| format!("{path}/{}", issued.record.id));
    let key = StoredKey::new(issued.record, None);
    Ok(answer::created(&key, &issued.secret, location.as_deref(), keys.now()))
}

pub(super) async fn show(keys: KeyManager, mut parts: Parts, _: RequestBody) -> Result {
    let id = key_id(&mut parts).await?;
    Ok(answer::one(&keys.get(&id).await?, keys.now()))
}

pub(super) async fn update(keys: KeyManager, mut parts: Parts, body: RequestBody) -> Result {
    let id = key_id(&mut parts).await?;
    // First, so that callers who may not see the key get no other error.
    let before = keys.get(&id).await?;
    let body = body.json(&parts.headers)?;
    let all_wrong = |error| {
        let rules = Rules::of(&keys, before.record.abilities());
        all_wrong(error, || UpdateKey::read(body.clone(), rules))
    };
    let read = UpdateKey::read(body.clone(), Rules::NONE).map_err(all_wrong)?;
    let changed = keys.update(&id, &read.into()).await;
    let changed = changed.map_err(|error| all_wrong(error.into()))?;
    Ok(answer::one(&StoredKey::new(changed.record, before.last_used_at), keys.now()))
}

pub(super) async fn revoke(keys: KeyManager, mut parts: Parts, _: RequestBody) -> Result {
    let id = key_id(&mut parts).await?;
    let revoked = match revoke::parse_query(parts.uri.query().unwrap_or_default())? {
        true => keys.revoke_with_successors(&id).await?,
        false => keys.revoke(&id).await?,
    };
    Ok(answer::revoked(revoked))
}

pub(super) async fn rotate(keys: KeyManager, mut parts: Parts, body: RequestBody) -> Result {
    let id = key_id(&mut parts).await?;
    keys.get(&id).await?;
    let read = RotateKey::read(body.optional_json(&parts.headers)?)?;
    let rotated = keys.rotate(&id, read.grace()).await?;
    let path = original_path(&parts);
    let keys_path = path.as_deref().and_then(|path| path.strip_suffix("/rotate")?.rsplit_once('/'));
    let location = keys_path.map(|(path, _)| format!("{path}/{}", rotated.record.id));
    let key = StoredKey::new(rotated.record, None);
    Ok(answer::created(&key, &rotated.secret, location.as_deref(), keys.now()))
}

pub(super) async fn usage(keys: KeyManager, mut parts: Parts, _: RequestBody) -> Result {
    let id = key_id(&mut parts).await?;
    // First, so that callers who may not see the key get no other error.
    keys.get(&id).await?;
    let query = parts.uri.query().unwrap_or_default();
    let (range, period) = usage::parse_query(query, keys.now())?;
    Ok(answer::usage(&keys.usage(&id, range, period).await?, period))
}

pub(super) async fn audit(keys: KeyManager, mut parts: Parts, _: RequestBody) -> Result {
    let id = key_id(&mut parts).await?;
    let query = audit::parse_query(parts.uri.query().unwrap_or_default(), id.clone())?;
    let page = keys.audit_log(&query).await?;
    if page.entries.is_empty() {
        // Events outlive their key. Without events, the answer says whether the key exists.
        keys.get(&id).await?;
    }
    Ok(audit::answer(page))
}

/// Returns the id in the path. An invalid id is answered like an unknown one.
pub(in crate::manage) async fn key_id(parts: &mut Parts) -> Result<KeyId> {
    let parameters = parts.extract::<RawPathParams>().await;
    let parameters = parameters.map_err(|_| ApiError::not_found())?;
    // A router within another one, or called by its handler, captures after it.
    let id = parameters.iter().filter(|(name, _)| *name == route::KEY_ID).last();
    id.and_then(|(_, id)| id.parse().ok()).ok_or_else(ApiError::not_found)
}

/// Returns the path that the client sent, for `Location`, if it is known.
fn original_path(parts: &Parts) -> Option<String> {
    let path = RequestHead::from_parts(parts).original_uri().path().strip_prefix('/')?;
    // With two slashes, to browsers also with a backslash, the name of a host would begin.
    Some(format!("/{}", path.trim_start_matches(['/', '\\'])))
}
