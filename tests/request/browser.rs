//! What pages in a real browser can do with a key, and what they can read of the answers.
//!
//! `tests/all` finds or installs Chromium and its driver, and runs these tests. Without it:
//!
//! ```sh
//! CHROMIUM=$(which chromium) CHROMEDRIVER=$(which chromedriver) \
//!     tests/all --test request browser::
//! ```

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::response::Html;
use axum::routing::{get, post};
use http::Method;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};
use tower_api_key::key::OriginPattern;
use tower_api_key::{
    ApiKeyLayer, KeyKind, MemoryStore, NewKey, RefuseCrossOrigin, RequireKind, VerifiedKey,
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::common::browser::Setup;
use crate::common::{CountingStore, issue, serve};

const PAGE: &str = "<!doctype html><title>A page</title>";

/// Makes calls, and returns what the page could read.
const CALL: &str = r"
    const results = [];
    for (const [url, key] of argument) {
        try {
            const response = await fetch(url, { method: 'POST', headers: { 'x-api-key': key } });
            const headers = Object.fromEntries(response.headers);
            results.push({ status: response.status, headers, body: await response.text() });
        } catch (error) {
            results.push({ error: error.name });
        }
    }
    return results;
";

/// A page that a browser opens. The browser finds servers of this machine only.
struct Page {
    /// Host and port.
    authority: String,
    /// What the browser treats as if it came over `https`.
    secure: Vec<String>,
}

/// The server of the pages of every site.
struct Sites {
    address: SocketAddr,
}

impl Sites {
    async fn serve() -> Self {
        Self { address: serve(Router::new().route("/", get(Html(PAGE)))).await }
    }

    fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }

    fn page(&self, host: &str) -> Page {
        Page { authority: format!("{host}:{}", self.address.port()), secure: Vec::new() }
    }
}

impl Page {
    /// Opens the page, lets it call each URL with its key, and returns what it could read.
    async fn calls(&self, calls: &[(&str, &str)]) -> Vec<Value> {
        let browser = Setup::default().secure_origins(&self.secure).start().await;
        browser.open(format!("http://{}/", self.authority)).await;
        serde_json::from_value(browser.run(CALL, &json!(calls)).await).unwrap()
    }
}

/// An API that remembers how it was called.
#[derive(Default)]
struct Api {
    keys: CountingStore,
    /// `Sec-Fetch-Site` of each call.
    sites: Arc<Mutex<Vec<Option<String>>>>,
}

impl Api {
    fn layer(&self) -> ApiKeyLayer {
        ApiKeyLayer::new(self.keys.clone())
    }

    fn keys(&self) -> &MemoryStore {
        &self.keys.keys
    }

    /// Serves it, with a page on its own origin, and returns its port.
    async fn serve(&self, api: Router) -> u16 {
        let sites = Arc::clone(&self.sites);
        let api = api.layer(axum::middleware::map_request(move |request: Request| {
            if request.method() == Method::POST {
                let site = request.headers().get("sec-fetch-site");
                let site = site.map(|site| site.to_str().unwrap().to_owned());
                sites.lock().unwrap().push(site);
            }
            std::future::ready(request)
        }));
        serve(api.route("/", get(Html(PAGE)))).await.port()
    }

    /// Serves a widget for the pages that `cors` allows, and returns the URL of its chat.
    async fn serve_widget(&self, cors: CorsLayer) -> String {
        let layer = self.layer().accept_public_keys();
        let port = self.serve(widget().layer(layer).layer(cors)).await;
        format!("http://api.example:{port}/widget/v1/chat")
    }
}

fn widget() -> Router {
    let chat = post(async |key: VerifiedKey| format!("hello {}", key.name()));
    Router::new().route("/widget/v1/chat", chat.layer(RequireKind::new(KeyKind::Public)))
}

fn public(name: &str, origin: &str) -> NewKey {
    NewKey::named(name).kind(KeyKind::Public).origins([origin])
}

/// Lets pages of these sites call, and read the answers and when to come back.
fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<OriginPattern> = origins.iter().map(|it| it.parse().unwrap()).collect();
    let allowed = move |origin: &HeaderValue, _: &http::request::Parts| {
        origin.to_str().is_ok_and(|origin| origins.iter().any(|it| it.matches(origin)))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::POST])
        .allow_headers([HeaderName::from_static("x-api-key")])
        .expose_headers([RETRY_AFTER, HeaderName::from_static("ratelimit")])
}

/// What a page reads of a refusal: its status, and the message in its body.
fn refusal(result: &Value) -> (u64, String) {
    let body: Value = serde_json::from_str(result["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["status"], result["status"], "{result}");
    (result["status"].as_u64().unwrap(), body["detail"].as_str().unwrap().to_owned())
}

/// What a page reads of a success.
fn success(result: &Value) -> (u64, &str) {
    (result["status"].as_u64().unwrap(), result["body"].as_str().unwrap())
}

/// What `fetch` throws where the browser keeps the answer from the page.
fn unreadable() -> Value {
    json!({ "error": "TypeError" })
}

const WRONG_SITE: &str = "The API key does not work on this site";

#[tokio::test]
#[ignore = "needs Chromium: `tests/all` installs it and runs this too"]
async fn a_page_of_the_shop_is_served_and_reads_why_it_is_refused() {
    let (sites, api) = (Sites::serve().await, Api::default());
    let shop = sites.origin("shop.example");
    let chat = &*api.serve_widget(cors(std::slice::from_ref(&shop))).await;
    let key = &issue(api.keys(), public("the shop", &shop).limit("1 per hour"));
    let other = &issue(api.keys(), public("other", &sites.origin("other.example")));
    let calls = [(chat, &**key), (chat, "nobody"), (chat, other), (chat, key)];
    let results = sites.page("shop.example").calls(&calls).await;
    let [served, wrong, foreign, limited] = &*results else { panic!("{results:?}") };

    assert_eq!(success(served), (200, "hello the shop"));
    assert_eq!(served["headers"]["ratelimit"], r#""hourly";r=0;t=3600"#);
    assert_eq!(refusal(wrong), (401, "The API key is not valid".to_owned()));
    assert_eq!(wrong["headers"]["content-type"], "application/problem+json");
    assert_eq!(wrong["headers"]["www-authenticate"], Value::Null, "it is not exposed");
    assert_eq!(refusal(foreign), (403, WRONG_SITE.to_owned()));
    assert_eq!(limited["status"], 429);
    let wait: u64 = limited["headers"]["retry-after"].as_str().unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    let body: Value = serde_json::from_str(limited["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["violated-policies"], json!(["hourly"]));
}

#[tokio::test]
#[ignore = "needs Chromium: `tests/all` installs it and runs this too"]
async fn a_wildcard_is_for_the_pages_below_a_host() {
    let (sites, api) = (Sites::serve().await, Api::default());
    let origins = ["shop.example", "*.shop.example"].map(|host| sites.origin(host));
    let chat = &*api.serve_widget(cors(&origins)).await;
    let key = &issue(api.keys(), public("shops", &origins[1]));
    let results = sites.page("new.berlin.shop.example").calls(&[(chat, key)]).await;
    assert_eq!(success(&results[0]), (200, "hello shops"));
    let results = sites.page("shop.example").calls(&[(chat, key)]).await;
    assert_eq!(refusal(&results[0]), (403, WRONG_SITE.to_owned()));
}

#[tokio::test]
#[ignore = "needs Chromium: `tests/all` installs it and runs this too"]
async fn a_page_of_another_site_cannot_use_the_key_of_the_shop() {
    let (sites, strict, lax) = (Sites::serve().await, Api::default(), Api::default());
    let shop = sites.origin("shop.example");
    let strict_chat = &*strict.serve_widget(cors(std::slice::from_ref(&shop))).await;
    let lax_chat = &*lax.serve_widget(CorsLayer::very_permissive()).await;
    let strict_key = &issue(strict.keys(), public("the shop", &shop));
    let lax_key = &issue(lax.keys(), public("the shop", &shop));
    let calls = [(strict_chat, &**strict_key), (lax_chat, lax_key)];

    let results = sites.page("evil.example").calls(&calls).await;
    assert_eq!(results[0], unreadable());
    assert_eq!(strict.keys.asked(), 0, "the preflight failed, so no call was made");
    assert_eq!(refusal(&results[1]), (403, WRONG_SITE.to_owned()));
    let results = sites.page("shop.example").calls(&calls).await;
    assert_eq!(results.iter().map(success).collect::<Vec<_>>(), [(200, "hello the shop"); 2]);
}

#[tokio::test]
#[ignore = "needs Chromium: `tests/all` installs it and runs this too"]
async fn a_cors_layer_inside_lets_pages_call_but_not_read_refusals() {
    let (sites, api) = (Sites::serve().await, Api::default());
    let shop = sites.origin("shop.example");
    let cors = || cors(std::slice::from_ref(&shop));
    let layer = api.layer().accept_public_keys();
    let forwarding = widget().layer(cors()).layer(layer.clone().forward_preflight());
    let plain = widget().layer(cors()).layer(layer);
    let url = |port| format!("http://api.example:{port}/widget/v1/chat");
    let forwarding = &*url(api.serve(forwarding).await);
    let plain = &*url(api.serve(plain).await);
    let key = &*issue(api.keys(), public("the shop", &shop));
    let calls = [(forwarding, key), (forwarding, "nobody"), (plain, key)];
    let results = sites.page("shop.example").calls(&calls).await;
    assert_eq!(success(&results[0]), (200, "hello the shop"));
    assert_eq!(results[1..], [unreadable(), unreadable()]);
    assert_eq!(api.sites.lock().unwrap().len(), 2, "without its preflight the last was not made");
}

#[tokio::test]
#[ignore = "needs Chromium: `tests/all` installs it and runs this too"]
async fn a_secret_key_works_on_the_pages_of_the_api_only() {
    const MESSAGE: &str = "Secret API keys do not work in cross-origin calls";
    let api = Api::default();
    let bots = Router::new().route("/bots", post(async || "created"));
    let layer = api.layer().guard(RefuseCrossOrigin::new());
    let port = api.serve(bots.layer(layer).layer(CorsLayer::very_permissive())).await;
    let key = &*issue(api.keys(), NewKey::named("server"));
    let origins = ["api.example", "www.api.example", "other.example"]
        .map(|host| format!("http://{host}:{port}"));
    let urls = origins.clone().map(|origin| format!("{origin}/bots"));
    let calls = urls.each_ref().map(|url| (&**url, key));

    // The page is on the first; to it the second is another origin of the same site.
    let authority = format!("api.example:{port}");
    let told = ["same-origin", "same-site", "cross-site"].map(|site| Some(site.to_owned()));
    for (secure, told) in [(origins.to_vec(), told), (Vec::new(), [const { None }; 3])] {
        api.sites.lock().unwrap().clear();
        let results = Page { authority: authority.clone(), secure }.calls(&calls).await;
        assert_eq!(success(&results[0]), (200, "created"));
        assert_eq!(refusal(&results[1]), (403, MESSAGE.to_owned()));
        assert_eq!(refusal(&results[2]), (403, MESSAGE.to_owned()));
        assert_eq!(*api.sites.lock().unwrap(), told);
    }
}
