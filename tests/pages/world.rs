//! A product with the pages, whose people have sessions.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Path;
use axum::response::{Html, IntoResponse as _, Redirect};
use axum::routing::get;
use http::StatusCode;
use http::header::SET_COOKIE;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use tower_api_key::key::AbilityCatalogue;
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{KeyAction, KeyRoute, Refused};
use tower_api_key::manage::pages::KeyPages;
use tower_api_key::store::{
    KeyUsage, UsageBatch, UsageCounts, UsageKind, UsageRetention, UsageStore,
};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    Ability, Clock as _, IssuedKey, KeyFormat, KeyKind, KeyManager, KeyScheme, MemoryStore, NewKey,
};
use tower_http::compression::CompressionLayer;

use crate::common::{RawResponse, send_raw, send_raw_with_body, serve};

/// Where the pages are.
pub const BASE: &str = "/settings/api-keys";

/// The moment at which the tests begin: 29 November 2026, noon.
pub const NOON: u64 = 1_795_953_600;

/// What every browser says of a form that it sends to where its page came from.
pub const SAME_ORIGIN: &str = "sec-fetch-site: same-origin";

pub struct World {
    pub store: MemoryStore,
    pub keys: KeyManager,
    pub clock: FakeClock,
    pub sessions: Sessions,
    pub address: SocketAddr,
}

/// Who may do what at the moment.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<State>>);

#[derive(Clone, Copy, Default)]
struct State {
    has_ended: bool,
    must_confirm: bool,
    may_read_only: bool,
}

impl Sessions {
    pub fn end(&self) {
        self.0.lock().unwrap().has_ended = true;
    }

    /// Asks for a password before what is grave.
    pub fn must_confirm(&self, must: bool) {
        self.0.lock().unwrap().must_confirm = must;
    }

    pub fn may_read_only(&self) {
        self.0.lock().unwrap().may_read_only = true;
    }

    /// Reads whose session it is. The cookie has the tenant; those of `acme` may grant everything that there
    /// is, and others may grant chat.
    fn owner(&self, parts: &Parts, action: &KeyAction) -> Result<Owner, Refused> {
        let state = *self.0.lock().unwrap();
        let cookie = parts.headers.get("cookie").and_then(|cookie| cookie.to_str().ok());
        let tenant = cookie.and_then(|cookie| cookie.strip_prefix("session="));
        let Some(tenant) = tenant.filter(|_| !state.has_ended) else {
            return Err(Redirect::to("/sign-in/acme").into());
        };
        let is_grave =
            matches!(action.route(), KeyRoute::Create | KeyRoute::Rotate | KeyRoute::Revoke);
        if state.must_confirm && is_grave {
            return Err(Redirect::to("/confirm").into());
        }
        if state.may_read_only && action.changes_keys() {
            return Err(StatusCode::FORBIDDEN.into());
        }
        let ceiling: &[_] = if tenant == "acme" { &["bots:*", "chat:*"] } else { &["chat:*"] };
        let ceiling = ceiling.iter().map(|ability| ability.parse::<Ability>().unwrap()).collect();
        let actor = format!("alice@{tenant}.example");
        Ok(Owner::of_tenant(tenant.parse().unwrap(), ceiling, actor))
    }
}

pub fn catalogue() -> AbilityCatalogue {
    AbilityCatalogue::new()
        .resource("bots", "Bots")
        .ability("bots:read", "List and read bots")
        .ability("bots:write", "Create and change bots")
        .ability("bots:delete", "Delete bots")
        .resource("chat", "Chat")
        .ability("chat:send", "Send messages")
        .ability("admin:all", "Everything of the provider")
        .preset("Chat only", "For widgets", ["chat:send"])
        .preset("The provider", "", ["admin:all"])
}

pub fn scheme() -> KeyScheme {
    KeyScheme::new([
        KeyFormat::new("sk_live_").stage("live").kind(KeyKind::Secret),
        KeyFormat::new("sk_test_").stage("test").kind(KeyKind::Secret),
        KeyFormat::new("pk_").kind(KeyKind::Public),
    ])
}

/// Keeps 10 requests of a key in each of the 720 hours that end now, and in each fourth one that was refused.
pub async fn use_hourly(store: &impl UsageStore, key: &IssuedKey, now: SystemTime) {
    const HOUR: Duration = Duration::from_secs(3600);
    let (id, tenant) = (key.record.id(), key.record.tenant());
    let hours = (0..720).map(|hour| {
        let mut counts = UsageCounts::default();
        counts.add(UsageKind::Accepted, 10);
        counts.add(UsageKind::RateLimited, u64::from(hour % 4 == 0));
        KeyUsage::new(id.clone(), tenant.cloned(), now - hour * HOUR, counts)
    });
    let batch = UsageBatch::new(id.as_str(), 1, UsageRetention::default(), hours);
    store.add_usage(&batch).await.unwrap();
}

impl World {
    pub async fn new() -> Self {
        Self::with(|pages| pages).await
    }

    pub async fn with(set: impl FnOnce(KeyPages) -> KeyPages) -> Self {
        let store = MemoryStore::new();
        let clock = FakeClock::at(UNIX_EPOCH + Duration::from_secs(NOON));
        let keys = KeyManager::new(store.clone()).scheme(scheme()).clock(clock.clone());
        let sessions = Sessions::default();
        let identified = sessions.clone();
        let session = move |parts: &mut Parts, action: &KeyAction| identified.owner(parts, action);
        let pages = KeyPages::new(keys.clone(), session)
            .catalogue(catalogue())
            .api_url("https://api.shop.example/v1/bots")
            .variable("SHOP_API_KEY");
        let app = Router::new()
            .nest(BASE, set(pages).into_router())
            .layer(CompressionLayer::new())
            .route("/sign-in/{tenant}", get(sign_in).with_state(sessions.clone()))
            .route("/confirm", get(confirm).with_state(sessions.clone()));
        Self { store, keys, clock, sessions, address: serve(app).await }
    }

    pub async fn issue(&self, key: NewKey) -> IssuedKey {
        self.keys.issue(key).await.unwrap()
    }

    /// Issues a live key for `acme`.
    pub async fn live(&self, name: &str) -> IssuedKey {
        self.issue(live(name)).await
    }

    /// Issues a live key for `acme` that has been used for 30 days.
    pub async fn used(&self, name: &str) -> IssuedKey {
        let key = self.live(name).await;
        use_hourly(&self.store, &key, self.clock.now()).await;
        key
    }

    pub async fn get(&self, path: &str) -> RawResponse {
        self.get_as("acme", path).await
    }

    pub async fn get_as(&self, tenant: &str, path: &str) -> RawResponse {
        let request = format!("GET {BASE}{path} HTTP/1.1\r\ncookie: session={tenant}");
        send_raw(self.address, request).await
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> RawResponse {
        self.post_with(path, &["cookie: session=acme", SAME_ORIGIN], fields).await
    }

    pub async fn post_with(
        &self,
        path: &str,
        lines: &[&str],
        fields: &[(&str, &str)],
    ) -> RawResponse {
        post_to(self.address, path, lines, fields).await
    }

    /// Opens the form for a new key, and returns its token.
    pub async fn token(&self) -> String {
        let form = self.get("/new").await;
        hidden(form.text(), "token").to_owned()
    }
}

/// Sends a form to pages at an address.
pub async fn post_to(
    address: SocketAddr,
    path: &str,
    lines: &[&str],
    fields: &[(&str, &str)],
) -> RawResponse {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    let (body, lines) = (form.finish(), lines.join("\r\n"));
    let request = format!(
        "POST {BASE}{path} HTTP/1.1\r\n{lines}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}",
        body.len()
    );
    send_raw_with_body(address, request, &body).await
}

async fn sign_in(
    Path(tenant): Path<String>,
    axum::extract::State(sessions): axum::extract::State<Sessions>,
) -> impl axum::response::IntoResponse {
    sessions.0.lock().unwrap().has_ended = false;
    (
        [(SET_COOKIE, format!("session={tenant}; Path=/; HttpOnly; SameSite=Lax"))],
        Redirect::to(BASE),
    )
}

async fn confirm(
    axum::extract::State(sessions): axum::extract::State<Sessions>,
) -> axum::response::Response {
    sessions.must_confirm(false);
    Html("<!doctype html><title>Confirmed</title>").into_response()
}

pub fn live(name: &str) -> NewKey {
    NewKey::named(name).tenant("acme").stage("live").kind(KeyKind::Secret)
}

/// Returns the value of a hidden field.
pub fn hidden<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split_once('"').unwrap().0
}

/// Returns the secret that a page shows, if it shows one.
pub fn secret(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("<code id=\"secret\" data-ak-secret>")?;
    rest.split_once('<').map(|(secret, _)| secret)
}

/// Returns the texts of the errors that stand beside fields, by the ids of the fields.
pub fn mistakes(page: &str) -> Vec<(String, String)> {
    let shown = regex::Regex::new(r#"<p class="ak-mistake" id="(\w+)-error">(.*?)</p>"#).unwrap();
    let tags = regex::Regex::new("<[^>]*>").unwrap();
    let text = |html: &str| {
        percent_decode_str(&tags.replace_all(html, "")).decode_utf8_lossy().into_owned()
    };
    shown.captures_iter(page).map(|found| (found[1].to_owned(), text(&found[2]))).collect()
}
