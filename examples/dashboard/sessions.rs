//! Sessions: the users who are signed in.

use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use axum::Router;
use axum::extract::{Form, Query};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use http::StatusCode;
use http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{IdentifyOwner, KeyAction, KeyRoute, Refused};
use tower_api_key::{Ability, AbilitySet};
use tower_sessions::cookie::SameSite;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

use crate::layout;

/// A user, and the customer that the user works for.
pub(crate) struct Person {
    pub(crate) email: &'static str,
    pub(crate) tenant: &'static str,
    /// The ceiling: the abilities that the user may grant.
    ceiling: &'static [&'static str],
}

pub(crate) const PEOPLE: [Person; 2] = [
    Person {
        email: "alice@acme.example",
        tenant: "acme",
        ceiling: &["bots:*", "chat:*", "reports:read"],
    },
    // This customer has not paid for bots.
    Person { email: "bob@globex.example", tenant: "globex", ceiling: &["chat:*", "reports:read"] },
];

/// The password of all users. A product has its own way to sign in.
pub(crate) const PASSWORD: &str = "correct-horse";

/// How long after signing in keys can be created, rotated and revoked, in seconds.
const FRESH: u64 = 15 * 60;

/// The data of a session.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct SignIn {
    pub(crate) email: String,
    at: u64,
}

/// Identifies the owner on whose behalf the pages act.
pub(crate) struct SignedIn;

#[async_trait]
impl IdentifyOwner for SignedIn {
    async fn identify(&self, parts: &mut Parts, action: &KeyAction) -> Result<Owner, Refused> {
        // Looked up here, and not in a layer, so that an ended session changes nothing.
        let session = parts.extensions.get::<Session>().cloned();
        let session = session.ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let sign_in: Option<SignIn> =
            session.get("sign-in").await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let Some(sign_in) = sign_in else { return Err(sign_in_first(parts).into()) };
        let is_grave =
            matches!(action.route(), KeyRoute::Create | KeyRoute::Rotate | KeyRoute::Revoke);
        if is_grave && now() - sign_in.at > FRESH {
            return Err(sign_in_first(parts).into());
        }
        let person = PEOPLE.iter().find(|person| person.email == sign_in.email);
        let person = person.ok_or(StatusCode::FORBIDDEN)?;
        // For the layout, which shows the user.
        parts.extensions.insert(sign_in);
        let ceiling: Result<AbilitySet, _> =
            person.ceiling.iter().copied().map(Ability::try_from).collect();
        let (Ok(tenant), Ok(ceiling)) = (person.tenant.parse(), ceiling) else {
            return Err(StatusCode::INTERNAL_SERVER_ERROR.into());
        };
        Ok(Owner::of_tenant(tenant, ceiling, person.email))
    }
}

fn sign_in_first(parts: &Parts) -> Redirect {
    let original = parts.extensions.get::<axum::extract::OriginalUri>();
    let path = original.map_or(parts.uri.path(), |original| original.path());
    Redirect::to(&format!("/sign-in?next={}", utf8_percent_encode(path, NON_ALPHANUMERIC)))
}

pub(crate) fn layer() -> SessionManagerLayer<MemoryStore> {
    SessionManagerLayer::new(MemoryStore::default())
        .with_same_site(SameSite::Lax)
        // Only for this machine, which has no TLS. Leave it out elsewhere.
        .with_secure(false)
}

pub(crate) fn routes() -> Router {
    Router::new().route("/sign-in", get(ask).post(sign_in)).route("/sign-out", post(sign_out))
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
}

async fn ask(Query(asked): Query<Asked>) -> Html<String> {
    Html(layout::sign_in(&asked.next, ""))
}

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
    #[serde(default)]
    next: String,
}

async fn sign_in(session: Session, Form(typed): Form<Credentials>) -> Response {
    let known = PEOPLE.iter().any(|person| person.email == typed.email);
    if !known || typed.password != PASSWORD {
        let page = layout::sign_in(&typed.next, "The email address or the password is wrong.");
        return (StatusCode::UNPROCESSABLE_ENTITY, Html(page)).into_response();
    }
    let sign_in = SignIn { email: typed.email, at: now() };
    // With a new id, because an attacker may have planted the old one.
    let kept = session.cycle_id().await.and(session.insert("sign-in", sign_in).await);
    // Only a path on this site, and nothing that browsers read as another site.
    let is_path = typed.next.starts_with('/') && !typed.next[1..].starts_with(['/', '\\']);
    match kept {
        Ok(()) => Redirect::to(if is_path { &typed.next } else { "/" }).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn sign_out(session: Session) -> Result<Redirect, StatusCode> {
    session.flush().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Redirect::to("/sign-in"))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
