//! What holds wherever the layer is mounted.
//!
//! An application has the route `/bots`: `GET` lists the bots of the key's tenant and needs
//! `bots:read`, `POST` needs `bots:write`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::routing::get;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Value, json};
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{ApiKeyLayer, KeyScheme, MemoryStore, NewKey, RequireAbility, VerifiedKey};

/// The keys of an application.
#[derive(Clone)]
pub struct Keys {
    pub store: MemoryStore,
    /// It may list, and nothing else.
    pub reader: String,
    revoked: String,
}

impl Keys {
    pub fn new() -> Self {
        let issue = |name: &str| {
            let key = NewKey::named(name).tenant("acme").abilities(["bots:read"]);
            key.generate(&KeyScheme::default()).unwrap()
        };
        let (reader, mut revoked) = (issue("reader"), issue("revoked"));
        Arc::make_mut(&mut revoked.record).set_revoked_at(Some(SystemTime::now()));
        let records = [&reader, &revoked].map(|issued| Arc::clone(&issued.record));
        let store = MemoryStore::from_records(records).unwrap();
        let text = |secret: &tower_api_key::Secret| secret.reveal().to_owned();
        Self { reader: text(&reader.secret), revoked: text(&revoked.secret), store }
    }

    pub fn layer(&self) -> ApiKeyLayer {
        ApiKeyLayer::new(self.store.clone())
    }
}

/// The access of the application, for frameworks that have no guards of tower.
pub fn policy() -> AccessPolicy {
    AccessPolicy::builder()
        .allow("GET /bots", Requirement::ability("bots:read"))
        .allow("POST /bots", Requirement::ability("bots:write"))
        .build()
        .unwrap()
}

/// Returns what `GET /bots` answers; the credential must be gone by then.
pub fn list(key: &VerifiedKey, headers: &HeaderMap) -> String {
    let tenant = key.tenant().unwrap();
    let has_credential = ["x-api-key", "authorization"].map(|name| headers.contains_key(name));
    format!("the bots of {tenant} {has_credential:?}")
}

/// The application for axum, without the layer.
pub fn axum_app() -> axum::Router {
    let list = async |key: VerifiedKey, headers: HeaderMap| list(&key, &headers);
    let list = get(list).layer(RequireAbility::new("bots:read"));
    let create = axum::routing::post(async || StatusCode::CREATED);
    axum::Router::new().route("/bots", list.merge(create.layer(RequireAbility::new("bots:write"))))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} comes more than once: {self:?}");
        value
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// Asks a server over a socket.
pub async fn ask(address: SocketAddr, request: Request<()>) -> Answer {
    let (parts, ()) = request.into_parts();
    let url = format!("http://{address}{}", parts.uri);
    let request = reqwest::Client::new().request(parts.method, url).headers(parts.headers);
    let response = request.send().await.unwrap();
    let (status, mut headers) = (response.status(), response.headers().clone());
    headers.remove(header::DATE);
    Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
}

/// Serves an application of axum until the test ends.
pub async fn serve(app: axum::Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Asserts the contract over a socket.
pub async fn check_served(address: SocketAddr, keys: &Keys) {
    check(async |request| ask(address, request).await, keys).await;
}

/// Asserts the contract.
pub async fn check(ask: impl AsyncFn(Request<()>) -> Answer, keys: &Keys) {
    let request = |method: &str, name: &str, value: &str| {
        let request = Request::builder().method(method).uri("/bots");
        request.header(name, value).body(()).unwrap()
    };
    let bearer = |key: &str| request("GET", "authorization", &format!("Bearer {key}"));

    for accepted in [request("GET", "x-api-key", &keys.reader), bearer(&keys.reader)] {
        let answer = ask(accepted).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.text(), "the bots of acme [false, false]");
        assert_eq!(answer.header("cache-control"), Some("private"));
        assert_names_the_places(&answer);
        assert_eq!(answer.header("www-authenticate"), None);
    }

    let missing = ask(Request::get("/bots").body(()).unwrap()).await;
    assert_is_refusal(&missing, StatusCode::UNAUTHORIZED, "An API key is required");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"api\""));

    // What tells each request from all others is of no matter here.
    let ask = async |request| {
        let mut answer: Answer = ask(request).await;
        answer.headers.remove("x-request-id");
        answer
    };
    let revoked = ask(request("GET", "x-api-key", &keys.revoked)).await;
    assert_is_refusal(&revoked, StatusCode::UNAUTHORIZED, "The API key is not valid");
    let challenge = "Bearer realm=\"api\", error=\"invalid_token\"";
    assert_eq!(revoked.header("www-authenticate"), Some(challenge));
    // An unknown key is answered alike, wherever it is.
    for unknown in [request("GET", "x-api-key", "unknown"), bearer("unknown")] {
        assert_eq!(ask(unknown).await, revoked);
    }

    let mut ambiguous = bearer(&keys.reader);
    ambiguous.headers_mut().insert("x-api-key", keys.reader.parse().unwrap());
    let ambiguous = ask(ambiguous).await;
    assert_eq!(ambiguous.status, StatusCode::BAD_REQUEST, "{ambiguous:?}");
    assert_eq!(ambiguous.header("cache-control"), Some("no-store"));

    let lacking = ask(request("POST", "x-api-key", &keys.reader)).await;
    assert_is_refusal(&lacking, StatusCode::FORBIDDEN, "Missing ability: bots:write");
    let challenge = "Bearer realm=\"api\", error=\"insufficient_scope\", scope=\"bots:write\"";
    assert_eq!(lacking.header("www-authenticate"), Some(challenge));
}

fn assert_is_refusal(answer: &Answer, status: StatusCode, detail: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let title = status.canonical_reason();
    let problem = json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail,
    });
    assert_eq!(answer.json(), problem);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_names_the_places(answer);
}

/// Asserts that caches are told on which headers the answer depends.
fn assert_names_the_places(answer: &Answer) {
    let vary = answer.header("vary").unwrap().to_ascii_lowercase();
    let names: Vec<_> = vary.split(',').map(str::trim).collect();
    assert!(["x-api-key", "authorization"].iter().all(|name| names.contains(name)), "{vary}");
}
