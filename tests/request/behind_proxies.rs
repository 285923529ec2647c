//! What proxies do to keys, refusals and addresses: the tables of the guide's page `proxies`.
//!
//! `tests/all` installs the programs.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use http::{HeaderMap, Uri};
use tower_api_key::{
    ApiKeyLayer, KeyDigest, KeyRecord, KeyStore, MemoryStore, NewKey, Protocol, RequireAbility,
    StoreError,
};

use crate::caches::{Program, SharedCache};
use crate::common::{RawResponse, in_time, issue, send_raw, serve};
use crate::proxies::ProxyProgram;

/// A store that cannot be reached.
struct Unreachable;

#[async_trait]
impl KeyStore for Unreachable {
    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        Err(StoreError::new("unreachable"))
    }
}

/// Two nodes, and keys for them.
struct World {
    nodes: [SocketAddr; 2],
    plain: String,
    limited: String,
}

/// Says what arrived.
async fn seen(uri: Uri, headers: HeaderMap) -> String {
    let [key, authorization, forwarded_for, forwarded] =
        ["x-api-key", "authorization", "x-forwarded-for", "forwarded"].map(|name| {
            let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap());
            values.collect::<Vec<_>>().join(" | ")
        });
    format!("{} [{key}] [{authorization}] [{forwarded_for}] [{forwarded}]", uri.path())
}

async fn serve_nodes() -> World {
    let keys = MemoryStore::new();
    let plain = issue(&keys, NewKey::named("plain"));
    let limited = issue(&keys, NewKey::named("limited").limit("1 per day"));
    let layer = ApiKeyLayer::new(keys).protocol(Protocol::Http);
    let node = |name: &'static str| {
        let answer = get(move || async move { name });
        let guarded = Router::new()
            .route("/in", answer.clone())
            .route("/guarded", answer.clone().layer(RequireAbility::new("bots:read")))
            .layer(layer.clone())
            .merge(Router::new().route("/down", answer).layer(ApiKeyLayer::new(Unreachable)));
        Router::new()
            .route("/ready", get(async || "ready"))
            .nest("/judged", guarded.clone())
            .merge(guarded)
            .fallback(seen)
    };
    let world =
        World { nodes: [serve(node("node 1")).await, serve(node("node 2")).await], plain, limited };
    // From here on, this key is over its limit.
    assert_eq!(world.ask(world.nodes[0], "/in", &world.limited).await.status, 200);
    world
}

const REFUSALS: [u16; 4] = [401, 403, 429, 503];

impl World {
    fn start(&self, configuration: &str, command: &[&str]) -> ProxyProgram {
        ProxyProgram::start(&format!("behind/{configuration}"), command, self.nodes)
    }

    async fn ask(&self, address: SocketAddr, path: &str, key: &str) -> RawResponse {
        in_time(send_raw(address, format!("GET {path} HTTP/1.1\r\nx-api-key: {key}"))).await
    }

    /// Sends what is refused with this status.
    async fn refused(&self, address: SocketAddr, prefix: &str, status: u16) -> RawResponse {
        let (path, key) = match status {
            401 => ("/in", "wrong"),
            403 => ("/guarded", &*self.plain),
            429 => ("/in", &*self.limited),
            _ => ("/down", &*self.plain),
        };
        self.ask(address, &format!("{prefix}{path}"), key).await
    }

    /// Returns who answers to some valid requests, or with which status they do not.
    async fn answering(&self, address: SocketAddr, prefix: &str) -> Vec<String> {
        let mut answering = Vec::new();
        for _ in 0..8 {
            let answer = self.ask(address, &format!("{prefix}/in"), &self.plain).await;
            answering.push(match answer.status {
                200 => answer.text().to_owned(),
                status => status.to_string(),
            });
        }
        answering.sort();
        answering.dedup();
        answering
    }
}

/// What the guide says of a proxy with its defaults.
struct Defaults {
    /// Whether `Authorization` passes.
    authorization: bool,
    /// How a request with two keys is refused.
    two_keys: u16,
    /// What arrives of `X-Forwarded-For: 203.0.113.9` from 127.0.0.1.
    forwarded_for: &'static str,
    /// What arrives of `/a//b`, `/a/../b`, `/a/%2e%2e/b` and `/a%2Fb`.
    paths: [&'static str; 4],
}

const PATHS: [&str; 4] = ["/a//b", "/a/../b", "/a/%2e%2e/b", "/a%2Fb"];
const APPENDED: &str = "203.0.113.9, 127.0.0.1";
const AS_SENT: &str = "203.0.113.9";

const PLAIN: Defaults =
    Defaults { authorization: true, two_keys: 400, forwarded_for: APPENDED, paths: PATHS };

async fn check(world: &World, address: SocketAddr, defaults: Defaults) {
    let seen = async |path: &str, lines: &str| {
        let request = format!("GET {path} HTTP/1.1{lines}");
        in_time(send_raw(address, request)).await.text().to_owned()
    };

    let lines = "\r\nx-api-key: ak_1\r\nx-forwarded-for: 203.0.113.9\r\nforwarded: for=203.0.113.9";
    assert_eq!(
        seen("/seen/1", lines).await,
        format!("/seen/1 [ak_1] [] [{}] [for=203.0.113.9]", defaults.forwarded_for)
    );
    let bearer = seen("/seen/2", "\r\nauthorization: Bearer ak_1").await;
    assert_eq!(bearer.contains(" [] [Bearer ak_1] "), defaults.authorization, "{bearer}");

    let two = format!("GET /in HTTP/1.1\r\nx-api-key: {0}\r\nx-api-key: {0}", world.plain);
    assert_eq!(in_time(send_raw(address, two)).await.status, defaults.two_keys);

    for (path, arrives) in PATHS.iter().zip(defaults.paths) {
        let seen = seen(path, "").await;
        assert_eq!(seen.split(' ').next(), Some(arrives), "{path}: {seen}");
    }

    for status in REFUSALS {
        let direct = world.refused(world.nodes[0], "", status).await;
        let refused = world.refused(address, "", status).await;
        assert_eq!(direct.status, status);
        assert_eq!(refused.status, status);
        assert_eq!(refused.body, direct.body);
        for name in ["content-type", "www-authenticate", "cache-control", "ratelimit-policy"] {
            assert_eq!(refused.header(name), direct.header(name), "{status} {name}");
        }
        // Time goes on between the two.
        for name in ["retry-after", "ratelimit"] {
            assert_eq!(refused.header(name).is_some(), direct.header(name).is_some());
        }
        assert_eq!(direct.header("retry-after").is_some(), matches!(status, 429 | 503));
    }
    // None of them is held against a node.
    let answering = world.answering(address, "").await;
    assert!(answering.iter().all(|node| node.starts_with("node ")), "{answering:?}");
}

const BOTH: [&str; 2] = ["node 1", "node 2"];

#[tokio::test]
#[ignore = "needs nginx: run tests/all"]
async fn nginx() {
    let world = serve_nodes().await;
    let nginx = world.start("nginx.conf", &["nginx", "-c"]);
    check(&world, nginx.address, Defaults { forwarded_for: AS_SENT, ..PLAIN }).await;

    let lines = "GET /set/seen HTTP/1.1\r\nx-forwarded-for: 203.0.113.9";
    let told = in_time(send_raw(nginx.address, lines)).await;
    assert_eq!(told.text(), format!("/seen [] [] [{APPENDED}] []"));
    let two = "GET /in HTTP/1.1\r\nauthorization: Bearer ak_1\r\nauthorization: Bearer ak_1";
    let two = in_time(send_raw(nginx.address, two)).await;
    assert_eq!((two.status, two.header("www-authenticate")), (400, None));
    let underscores = "GET /seen HTTP/1.1\r\nx_api_key: ak_1";
    assert_eq!(in_time(send_raw(nginx.address, underscores)).await.text(), "/seen [] [] [] []");
}

#[tokio::test]
#[ignore = "needs nginx: run tests/all"]
async fn nginx_makes_500_of_what_a_judge_limits() {
    let world = serve_nodes().await;
    let nginx = world.start("nginx.conf", &["nginx", "-c"]);
    for (status, becomes) in [(401, 401), (403, 403), (429, 500), (503, 500)] {
        let refused = world.refused(nginx.address, "/judged", status).await;
        assert_eq!(refused.status, becomes);
        assert_eq!(refused.header("content-type"), Some("text/html"));
        assert_eq!(refused.header("www-authenticate").is_some(), status == 401);
        assert_eq!(refused.header("retry-after"), None);
    }
    assert_eq!(world.ask(nginx.address, "/judged/in", &world.plain).await.status, 200);
}

#[tokio::test]
#[ignore = "needs nginx: run tests/all"]
async fn nginx_takes_nodes_out_for_what_it_tries_elsewhere() {
    for status in [429, 503] {
        let world = serve_nodes().await;
        let nginx = world.start("nginx.conf", &["nginx", "-c"]);
        assert_eq!(world.answering(nginx.address, "/next").await, BOTH);
        for _ in 0..2 {
            world.refused(nginx.address, "/next", status).await;
        }
        assert_eq!(world.answering(nginx.address, "/next").await, ["502"], "{status}");
        assert_eq!(world.answering(nginx.address, "").await, BOTH);
    }
}

#[tokio::test]
#[ignore = "needs HAProxy: run tests/all"]
async fn haproxy() {
    let world = serve_nodes().await;
    let haproxy = world.start("haproxy.cfg", &["haproxy", "-db", "-f"]);
    check(&world, haproxy.address, Defaults { forwarded_for: AS_SENT, ..PLAIN }).await;

    let lines = "GET /set/seen HTTP/1.1\r\nx-forwarded-for: 203.0.113.9";
    let told = in_time(send_raw(haproxy.address, lines)).await;
    assert_eq!(told.text(), "/seen [] [] [203.0.113.9 | 127.0.0.1] []");

    for status in [401, 403, 429] {
        for _ in 0..2 {
            world.refused(haproxy.address, "/observed", status).await;
        }
        assert_eq!(world.answering(haproxy.address, "/observed").await, BOTH, "{status}");
    }
    for _ in 0..2 {
        world.refused(haproxy.address, "/observed", 503).await;
    }
    assert_eq!(world.answering(haproxy.address, "/observed").await, ["503"]);
}

#[tokio::test]
#[ignore = "needs Apache: run tests/all"]
async fn apache() {
    let world = serve_nodes().await;
    let apache = world.start("apache.conf", &["apache2", "-DFOREGROUND", "-f"]);
    // It answers 404 to an encoded slash.
    let paths = ["/a/b", "/b", "/b", "<!DOCTYPE"];
    check(&world, apache.address, Defaults { two_keys: 401, paths, ..PLAIN }).await;

    assert_eq!(world.answering(apache.address, "/counted").await, BOTH);
    world.refused(apache.address, "/counted", 429).await;
    assert_eq!(world.answering(apache.address, "/counted").await.len(), 1);
}

#[tokio::test]
#[ignore = "needs Squid: run tests/all"]
async fn squid() {
    let world = serve_nodes().await;
    let command = ["squid", "-N", "-n", "behind{port}", "-f"];
    let squid = world.start("squid.conf", &command);
    check(&world, squid.address, Defaults { authorization: false, ..PLAIN }).await;
    let squid = world.start("squid-passthru.conf", &command);
    check(&world, squid.address, PLAIN).await;
}

#[tokio::test]
#[ignore = "needs Varnish: run tests/all"]
async fn varnish() {
    let world = serve_nodes().await;
    let command = "varnishd -F -j none -n {directory}/work -a {address} -s malloc,16m -f";
    let varnish = world.start("varnish.vcl", &command.split(' ').collect::<Vec<_>>());
    check(&world, varnish.address, PLAIN).await;
}

#[tokio::test]
#[ignore = "needs Traffic Server: run tests/all"]
async fn traffic_server() {
    let world = serve_nodes().await;
    let server = SharedCache::start(Program::TrafficServer, world.nodes[0]).await;
    check(&world, server.address(), PLAIN).await;
}

#[tokio::test]
#[ignore = "needs Caddy: run tests/all"]
async fn caddy() {
    let world = serve_nodes().await;
    let command = "env XDG_CONFIG_HOME={directory} XDG_DATA_HOME={directory} \
                   caddy run --adapter caddyfile --config";
    let caddy = world.start("Caddyfile", &command.split(' ').collect::<Vec<_>>());
    check(&world, caddy.address, Defaults { forwarded_for: "127.0.0.1", ..PLAIN }).await;

    for status in REFUSALS {
        let direct = world.refused(world.nodes[0], "", status).await;
        let refused = world.refused(caddy.address, "/judged", status).await;
        assert_eq!((refused.status, refused.body), (status, direct.body));
    }
    assert_eq!(world.ask(caddy.address, "/judged/in", &world.plain).await.status, 200);

    assert_eq!(world.answering(caddy.address, "/counted").await, BOTH);
    // It chooses nodes by chance.
    for _ in 0..60 {
        world.refused(caddy.address, "/counted", 429).await;
    }
    assert_eq!(world.answering(caddy.address, "/counted").await, ["503"]);
}

#[tokio::test]
#[ignore = "needs lighttpd: run tests/all"]
async fn lighttpd() {
    let world = serve_nodes().await;
    let lighttpd = world.start("lighttpd.conf", &["lighttpd", "-D", "-f"]);
    let paths = ["/a/b", "/b", "/b", "/a/b"];
    check(&world, lighttpd.address, Defaults { two_keys: 401, paths, ..PLAIN }).await;
}
