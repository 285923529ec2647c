//! Keys of WebSockets, which browsers open without headers of their own: among the subprotocols and in
//! a cookie. With the clients of Chromium and Node, and the handshake of axum.

use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::{AppendHeaders, Html, Response};
use axum::routing::{any, get};
use http::HeaderMap;
use http::header::SET_COOKIE;
use serde_json::{Value, json};
use tower_api_key::extract::{Cookie, Extract, FirstOf, Subprotocol};
use tower_api_key::{
    Alphabet, ApiKeyLayer, KeyFormat, KeyScheme, MemoryStore, NewKey, RefuseCrossOrigin,
    VerifiedKey,
};

use crate::common::browser::Browser;
use crate::common::{CountingStore, echo, get_raw, issue, serve};

/// Opens sockets one after the other, in a page as in Node, and says what became of each.
const OPEN: &str = r"
const opened = ([url, protocols]) => new Promise(resolve => {
    try {
        const socket = new WebSocket(url, protocols);
        let message = null;
        socket.onmessage = event => { message = event.data; socket.close(); };
        socket.onerror = () => resolve({ error: 'failed' });
        socket.onclose = () => resolve({ message, protocol: socket.protocol });
    } catch (error) {
        resolve({ error: error.name });
    }
});
const all = async calls => {
    const results = [];
    for (const call of calls) results.push(await opened(call));
    return JSON.stringify(results);
};
";

/// Opens sockets in a page, after it has visited a page that may set a cookie.
const IN_PAGE: &str = r"
const [visit, calls] = argument;
if (visit) await fetch(visit, { mode: 'no-cors', credentials: 'include' });
return JSON.parse(await all(calls));
";

const IN_NODE: &str = "all(JSON.parse(process.argv[1])).then(console.log);";

/// Says who calls and what is left of the headers, over a socket that speaks `realtime`.
async fn socket(key: VerifiedKey, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let all = |name| headers.get_all(name).into_iter().map(|line| line.to_str().unwrap());
    let left = json!({
        "name": key.name(),
        "offered": all("sec-websocket-protocol").collect::<Vec<_>>(),
        "cookies": all("cookie").collect::<Vec<_>>(),
    });
    upgrade.protocols(["realtime"]).on_upgrade(async move |mut socket| {
        let _ = socket.send(Message::text(left.to_string())).await;
        while let Some(Ok(_)) = socket.recv().await {}
    })
}

fn app(layer: ApiKeyLayer) -> Router {
    // Not for the icon of the page, for which a browser asks, too.
    Router::new().route("/socket", any(socket)).route_layer(layer)
}

/// A server with a page that opens sockets.
struct Pages {
    port: u16,
}

impl Pages {
    /// Serves the page at `/`, which sets these cookies, beside `app`.
    async fn serve(app: Router, cookies: Vec<String>) -> Self {
        let page = format!("<!doctype html><script>{OPEN}</script>");
        let set = move || {
            let cookies = cookies.clone().into_iter().map(|cookie| (SET_COOKIE, cookie));
            std::future::ready((AppendHeaders(cookies.collect::<Vec<_>>()), Html(page.clone())))
        };
        Self { port: serve(app.route("/", get(set))).await.port() }
    }

    /// Opens the page by this name of its host, and returns what became of each call.
    async fn open(&self, host: &str, visit: &str, calls: &Value) -> Vec<Value> {
        let browser = Browser::start().await;
        browser.open(format!("http://{host}:{}/", self.port)).await;
        let results = browser.run(IN_PAGE, &json!([visit, calls])).await;
        serde_json::from_value(results).unwrap()
    }
}

async fn in_node(calls: &Value) -> Vec<Value> {
    let node = tokio::process::Command::new("node")
        // From Node 22 on, it needs no flag.
        .args(["--experimental-websocket", "--eval", &format!("{OPEN}{IN_NODE}")])
        .arg(calls.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), node).await.expect("it hangs");
    let output = output.expect("node cannot be run");
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// What a handler saw that was called over a socket.
fn seen(result: &Value) -> Value {
    assert_eq!(result["protocol"], "realtime", "{result}");
    serde_json::from_str(result["message"].as_str().unwrap_or_else(|| panic!("{result}"))).unwrap()
}

/// What a client tells of a handshake that was refused, or that it did not accept.
fn failed() -> Value {
    json!({ "error": "failed" })
}

async fn opens_with_a_subprotocol(results: impl AsyncFnOnce(&Value) -> Vec<Value>) {
    let keys = MemoryStore::new();
    let key = &*issue(&keys, NewKey::named("the page"));
    let extractor = FirstOf::default().or(Subprotocol::default());
    let address = serve(app(ApiKeyLayer::new(keys).extractor(extractor))).await;
    let url = format!("ws://{address}/socket");
    let item = |key: &str| format!("key.{key}");
    let calls = json!([
        [url, ["realtime", item(key)]],
        [url, [item(key), "other", "realtime"]],
        [url, [item(key), "other"]],
        [url, [item(key)]],
        [url, ["realtime", item("nobody")]],
        [url, ["realtime"]],
        [url, ["realtime", item("a=b")]],
    ]);
    let results = results(&calls).await;
    let [first, second, unspoken, alone, wrong, missing, no_token] = &*results else {
        panic!("{results:?}")
    };
    let expected = json!({ "name": "the page", "offered": ["realtime"], "cookies": [] });
    assert_eq!(seen(first), expected);
    assert_eq!(seen(second)["offered"], json!(["other, realtime"]));
    // The server speaks none of those that are left, so the client fails the handshake.
    assert_eq!([unspoken, alone], [&failed(); 2]);
    assert_eq!([wrong, missing], [&failed(); 2]);
    assert_eq!(*no_token, json!({ "error": "SyntaxError" }), "no client sends such an item");
}

#[tokio::test]
#[ignore = "needs Chromium: `tests/all` installs it and runs this too"]
async fn a_page_opens_a_socket_with_its_key_among_the_subprotocols() {
    let pages = Pages::serve(Router::new(), vec![]).await;
    opens_with_a_subprotocol(async |calls: &Value| pages.open("shop.example", "", calls).await)
        .await;
}

#[tokio::test]
#[ignore = "needs Node: `tests/all` installs it and runs this too"]
async fn node_opens_a_socket_with_its_key_among_the_subprotocols() {
    opens_with_a_subprotocol(async |calls: &Value| in_node(calls).await).await;
}

#[tokio::test]
#[ignore = "needs Chromium: `tests/all` installs it and runs this too"]
async fn a_page_opens_a_socket_with_its_key_in_a_cookie_and_another_origin_does_not() {
    let store = CountingStore::default();
    let key = issue(&store.keys, NewKey::named("the page"));
    let layer = ApiKeyLayer::new(store.clone()).extractor(Cookie::new("api_key"));
    let cookie = |pair: &str| format!("{pair}; Path=/; HttpOnly; SameSite=Strict");
    let cookies = vec![cookie(&format!("api_key={key}")), cookie("theme=dark")];
    let app = app(layer.guard(RefuseCrossOrigin::new()));
    let own = Pages::serve(app, cookies).await;
    let other = Pages::serve(Router::new(), vec![]).await;
    let home = format!("http://api.example:{}/", own.port);
    let calls = json!([[format!("ws://api.example:{}/socket", own.port), ["realtime"]]]);

    let results = own.open("api.example", "", &calls).await;
    let expected =
        json!({ "name": "the page", "offered": ["realtime"], "cookies": ["theme=dark"] });
    assert_eq!(seen(&results[0]), expected);
    assert_eq!(store.asked(), 1);
    // Another origin of the same site: the browser sends the cookie, and the guard refuses it.
    assert_eq!(other.open("www.api.example", &home, &calls).await, [failed()]);
    assert_eq!(store.asked(), 2, "the key was sent");
    // Of another site, the browser sends none.
    assert_eq!(other.open("evil.example", &home, &calls).await, [failed()]);
    assert_eq!(store.asked(), 2, "no key was sent");
}

/// Returns the status of a request with these header lines, and what was left of them.
async fn left_of(layer: &ApiKeyLayer, lines: &[&str]) -> (u16, String) {
    async fn lines_of(request: Request) -> String {
        let headers = request.headers().iter();
        let named = headers.filter(|(name, _)| *name != "host" && *name != "connection");
        let line = |(name, value): (_, &http::HeaderValue)| {
            format!(
                "{name}: {}{}",
                value.to_str().unwrap(),
                if value.is_sensitive() { "!" } else { "" }
            )
        };
        named.map(line).collect::<Vec<_>>().join("\n")
    }
    let app = Router::new().route("/", get(lines_of)).layer(layer.clone());
    let response = get_raw(serve(app).await, "/", lines).await;
    let left = if response.status == 200 { response.text() } else { "" };
    (response.status, left.to_owned())
}

#[tokio::test]
async fn one_item_is_removed_and_the_others_stay() {
    let keys = MemoryStore::new();
    let key = &*issue(&keys, NewKey::named("x"));
    let sockets = FirstOf::new(Subprotocol::default(), Cookie::new("k"));
    let layer = ApiKeyLayer::new(keys).extractor(sockets);
    for (lines, left) in [
        (&["sec-websocket-protocol: realtime, key.$"][..], "sec-websocket-protocol: realtime"),
        (&["sec-websocket-protocol: key.$"], ""),
        (
            &["sec-websocket-protocol: a,b", "sec-websocket-protocol: c,key.$ ,d"],
            "sec-websocket-protocol: a,b\nsec-websocket-protocol: c, d",
        ),
        (&["cookie: a=b; k=$; c=d"], "cookie: a=b; c=d"),
        (&["cookie: a=b", "cookie: k=$", "cookie: c=d"], "cookie: a=b\ncookie: c=d"),
        (&["cookie: k=$", "sec-websocket-protocol: realtime"], "sec-websocket-protocol: realtime"),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| line.replace('$', key)).collect();
        let lines: Vec<_> = lines.iter().map(|line| &**line).collect();
        assert_eq!(left_of(&layer, &lines).await, (200, left.to_owned()), "{lines:?}");
        let (status, kept) = left_of(&layer.clone().keep_credential(), &lines).await;
        assert!(status == 200 && kept.contains(key), "{kept}");
        for line in kept.lines().filter(|line| line.contains(key)) {
            assert!(line.ends_with('!'), "not sensitive: {line}");
        }
    }
    for (lines, status) in [
        (&[][..], 401),
        (&["sec-websocket-protocol: realtime"], 401),
        (&["sec-websocket-protocol: key.$, key.$"], 400),
        (&["sec-websocket-protocol: key.$", "sec-websocket-protocol: key.other"], 400),
        (&["sec-websocket-protocol: key.$", "cookie: k=$"], 400),
        (&["sec-websocket-protocol: key.$="], 401),
        (&["sec-websocket-protocol: KEY.$"], 401),
        (&["cookie: k=$; k=$"], 400),
        (&["cookie: k=$", "cookie: k=other"], 400),
        (&["cookie: k=\"$\""], 401),
        (&["cookie: K=$"], 401),
        (&["cookie: k=other"], 401),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| line.replace('$', key)).collect();
        let lines: Vec<_> = lines.iter().map(|line| &**line).collect();
        assert_eq!(left_of(&layer, &lines).await.0, status, "{lines:?}");
    }
}

#[tokio::test]
async fn responses_vary_by_where_the_key_is() {
    let sockets = FirstOf::new(Subprotocol::default(), Cookie::new("k"));
    let layer = ApiKeyLayer::new(MemoryStore::new()).extractor(sockets);
    let address = serve(Router::new().route("/", get(echo)).layer(layer)).await;
    let response = get_raw(address, "/", &[]).await;
    assert_eq!(response.header("vary"), Some("sec-websocket-protocol, cookie"));
    assert_eq!(response.header("www-authenticate"), Some("ApiKey realm=\"api\""));
}

/// Finds keys where there is no case.
struct CaseFree;

impl Extract for CaseFree {
    fn extract<'a>(
        &self,
        head: &tower_api_key::RequestHead<'a>,
    ) -> Result<Option<tower_api_key::extract::Credential<'a>>, tower_api_key::Rejection> {
        Subprotocol::default().extract(head)
    }

    fn can_carry(&self, format: &KeyFormat) -> bool {
        !format.characters().any(|byte| byte.is_ascii_uppercase())
    }
}

#[test]
fn a_format_that_the_extractor_cannot_carry_is_refused_in_either_order() {
    let layer = || ApiKeyLayer::new(MemoryStore::new());
    let scheme = |alphabet| KeyScheme::new([KeyFormat::new("k_").body(alphabet, 40)]);
    let refused = |build: &dyn Fn() -> ApiKeyLayer| {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(build)).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(
            message.starts_with("the extractor cannot carry keys of the format `k_`"),
            "{message}"
        );
    };
    let _ = layer().extractor(CaseFree).scheme(scheme(Alphabet::Hex));
    let _ = layer().scheme(scheme(Alphabet::Hex)).extractor(CaseFree);
    refused(&|| layer().extractor(CaseFree).scheme(scheme(Alphabet::Base62)));
    refused(&|| layer().scheme(scheme(Alphabet::Base62)).extractor(CaseFree));
    let one_of_two = || FirstOf::default().or(CaseFree);
    refused(&|| layer().extractor(one_of_two()).scheme(scheme(Alphabet::Base62)));
    // Keys of all formats are tokens.
    for alphabet in [Alphabet::Hex, Alphabet::CrockfordBase32, Alphabet::Base58, Alphabet::Base62] {
        let _ = layer().scheme(scheme(alphabet)).extractor(Subprotocol::default());
        let _ = layer().scheme(scheme(alphabet)).extractor(Cookie::new("k"));
    }
}
