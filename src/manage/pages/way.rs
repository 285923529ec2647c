//! The steps of a request to the pages: read it, identify the owner, answer it.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode, header};

use super::deed::Deed;
use super::form::Form;
use super::reply::{Outcome, Reply, trouble};
use super::settings::Settings;
use super::site::Site;
use super::visit::Visit;
use super::{actions, change, create, list, refused, show};
use crate::head::RequestHead;
use crate::key::KeyId;
use crate::manage::Owner;
use crate::manage::api::{ApiError, KeyAction, key_id};
use crate::verify::VerifiedKey;

/// Answers a request to the pages.
pub(super) async fn answer(settings: Arc<Settings>, deed: Deed, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = match parts.method == Method::POST {
        true => settings.bodies.read(body).await,
        false => Ok(Bytes::new()),
    };
    let key_id = key_id(&mut parts).await.ok().filter(|_| deed.is_for_one_key());
    let site = site(&settings, &parts);
    if parts.extensions.get::<VerifiedKey>().is_some() {
        return no_key(&site).into_response(&site, &parts);
    }
    let action = match &key_id {
        Some(id) => KeyAction::on(deed.route(), id.clone()),
        None => KeyAction::new(deed.route()),
    };
    let owner = match settings.owner.identify(&mut parts, &action).await {
        Ok(owner) => owner,
        Err(refusal) => {
            return refuse(&site, &parts, deed, key_id.as_ref(), body, refusal.into_inner());
        }
    };
    if owner.is_key() {
        return no_key(&site).into_response(&site, &parts);
    }
    let outcome = go(&site, &parts, deed, key_id, body, owner).await;
    outcome.unwrap_or_else(|error| trouble(&site, &error)).into_response(&site, &parts)
}

async fn go(
    site: &Site<'_>,
    parts: &Parts,
    deed: Deed,
    key_id: Option<KeyId>,
    body: Result<Bytes, ApiError>,
    owner: Owner,
) -> Outcome {
    let keys = site.settings.keys.on_behalf_of(owner);
    let authority = keys.authority().await?;
    let visit = Visit { site, keys, authority, parts, key_id };
    if parts.method != Method::POST {
        return match deed {
            Deed::List => list::list(&visit).await,
            Deed::Create(kind) => create::ask(&visit, kind),
            Deed::Show => show::show(&visit).await,
            Deed::Rename => actions::ask_to_rename(&visit).await,
            Deed::Change => change::ask(&visit).await,
            Deed::Rotate => actions::ask_to_rotate(&visit).await,
            Deed::Revoke => actions::ask_to_revoke(&visit).await,
            Deed::Disable | Deed::Enable => Err(ApiError::not_found()),
        };
    }
    let sent = Form::of_body(&parts.headers, &body?)?;
    match deed {
        Deed::Create(kind) => create::create(&visit, kind, &sent).await,
        Deed::Rename => actions::rename(&visit, &sent).await,
        Deed::Change => change::change(&visit, &sent).await,
        Deed::Disable => actions::switch(&visit, true).await,
        Deed::Enable => actions::switch(&visit, false).await,
        Deed::Rotate => actions::rotate(&visit, &sent).await,
        Deed::Revoke => actions::revoke(&visit, &sent).await,
        Deed::List | Deed::Show => Err(ApiError::not_found()),
    }
}

/// Answers a request that the application refused: with its answer, or with the form that was sent.
fn refuse(
    site: &Site<'_>,
    parts: &Parts,
    deed: Deed,
    key_id: Option<&KeyId>,
    body: Result<Bytes, ApiError>,
    refusal: Response,
) -> Response {
    if parts.method != Method::POST || refusal.status().is_server_error() {
        return refusal;
    }
    let sent = body.and_then(|body| Form::of_body(&parts.headers, &body));
    let Ok(reply) = sent.and_then(|sent| refused::form(site, deed, key_id, &sent, &refusal)) else {
        return refusal;
    };
    let mut response = reply.into_response(site, parts);
    // Keeps headers such as cookies, but not those of the replaced body.
    for (name, value) in refusal.headers() {
        let is_of_body = name.as_str().starts_with("content-") || *name == header::LOCATION;
        if !is_of_body {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

/// Refuses a request with an API key.
fn no_key(site: &Site<'_>) -> Reply {
    let message = site.texts().no_key_here.clone();
    trouble(site, &ApiError::new(StatusCode::FORBIDDEN, message))
}

/// Returns the context of the pages for a request.
pub(super) fn site<'a>(settings: &'a Settings, parts: &Parts) -> Site<'a> {
    let base = settings.base.clone().unwrap_or_else(|| base(parts));
    Site { settings, base, now: settings.keys.now() }
}

/// Returns the path of the router: the original path without the end that the router sees.
fn base(parts: &Parts) -> String {
    let original = RequestHead::from_parts(parts).original_uri().path();
    let seen = parts.uri.path();
    let base = original.strip_suffix(seen).unwrap_or(if seen == "/" { original } else { "" });
    // Two slashes start a host name, and browsers treat a backslash as a slash.
    match base.trim_matches(['/', '\\']) {
        "" => String::new(),
        base => format!("/{base}"),
    }
}
