//! What the routes do, with a manager that is bounded by who calls.

use axum::RequestExt as _;
use axum::extract::{RawPathParams, Request};
use axum::response::Response;

use super::ApiError;
use super::body::{read_json, read_optional_json};
use super::create::CreateKey;
use super::list::parse_query;
use super::rotate::RotateKey;
use super::update::UpdateKey;
use super::{answer, routes};
use crate::head::RequestHead;
use crate::key::KeyId;
use crate::manage::KeyManager;
use crate::store::StoredKey;

pub(super) type Result<T = Response> = std::result::Result<T, ApiError>;

pub(super) async fn list(keys: KeyManager, request: Request) -> Result {
    let query = parse_query(request.uri().query().unwrap_or_default())?;
    Ok(answer::page(&keys.list(&query).await?, keys.now()))
}

pub(super) async fn create(keys: KeyManager, request: Request) -> Result {
    let path = original_path(&request);
    let read = CreateKey::read(read_json(request).await?)?;
    let issued = keys.issue(read.into_new_key(&keys.settings.formats)?).await?;
    let location = path.map(|path| format!("{path}/{}", issued.record.id));
    let key = StoredKey::new(issued.record, None);
    Ok(answer::created(&key, &issued.secret, location.as_deref(), keys.now()))
}

pub(super) async fn show(keys: KeyManager, mut request: Request) -> Result {
    let id = key_id(&mut request).await?;
    Ok(answer::one(&keys.get(&id).await?, keys.now()))
}

pub(super) async fn update(keys: KeyManager, mut request: Request) -> Result {
    let id = key_id(&mut request).await?;
    // First, so that who may not see a key is told nothing else.
    let last_used_at = keys.get(&id).await?.last_used_at;
    let read = UpdateKey::read(read_json(request).await?)?;
    let changed = keys.update(&id, &read.into()).await?;
    Ok(answer::one(&StoredKey::new(changed.record, last_used_at), keys.now()))
}

pub(super) async fn revoke(keys: KeyManager, mut request: Request) -> Result {
    keys.revoke(&key_id(&mut request).await?).await?;
    Ok(answer::revoked())
}

pub(super) async fn rotate(keys: KeyManager, mut request: Request) -> Result {
    let id = key_id(&mut request).await?;
    keys.get(&id).await?;
    let path = original_path(&request);
    let read = RotateKey::read(read_optional_json(request).await?)?;
    let rotated = keys.rotate(&id, read.grace()).await?;
    let keys_path = path.as_deref().and_then(|path| path.strip_suffix("/rotate")?.rsplit_once('/'));
    let location = keys_path.map(|(path, _)| format!("{path}/{}", rotated.record.id));
    let key = StoredKey::new(rotated.record, None);
    Ok(answer::created(&key, &rotated.secret, location.as_deref(), keys.now()))
}

/// Returns the id in the path. One that is none is an unknown one.
async fn key_id(request: &mut Request) -> Result<KeyId> {
    let parameters = request.extract_parts::<RawPathParams>().await;
    let parameters = parameters.map_err(|_| ApiError::not_found())?;
    // A router within another one, or called by its handler, captures after it.
    let id = parameters.iter().filter(|(name, _)| *name == routes::KEY_ID).last();
    id.and_then(|(_, id)| id.parse().ok()).ok_or_else(ApiError::not_found)
}

/// Returns the path that the client sent, for `Location`, if it is known.
fn original_path(request: &Request) -> Option<String> {
    let path = RequestHead::new(request).original_uri().path().strip_prefix('/')?;
    // With two slashes, to browsers also with a backslash, the name of a host would begin.
    Some(format!("/{}", path.trim_start_matches(['/', '\\'])))
}
