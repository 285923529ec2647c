//! Who the client is: on servers of every kind, over IPv4 and IPv6, and behind proxies.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::Router;
use axum::extract::connect_info::MockConnectInfo;
use axum::routing::get;
use tonic::Code;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::server::health_reporter;
use tower::{Layer as _, ServiceBuilder, service_fn};
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, PeerAddress, Responder, TrustedProxies};

use crate::common::{
    health, http2_client, in_time, issue, send_raw_from, serve, serve_each, serve_hyper,
    serve_known, serve_tonic,
};

/// Keys, and the networks from which they work.
const KEYS: [(&str, &[&str]); 7] = [
    ("loopback", &["127.0.0.0/8"]),
    ("second", &["127.0.0.2"]),
    ("mapped", &["::ffff:127.0.0.0/104"]),
    ("ipv6", &["::1"]),
    ("ten", &["10.0.0.0/8"]),
    ("office", &["198.51.100.0/24", "2001:db8::/32"]),
    ("nowhere", &[]),
];

/// The keys that work for a client: none of those that are bound to addresses,
const NOBODY: &[&str] = &[];
/// those of this machine,
const LOOPBACK: &[&str] = &["loopback", "mapped"];
/// those of another address of it,
const SECOND: &[&str] = &["loopback", "second", "mapped"];
const IPV6: &[&str] = &["ipv6"];
/// and those of clients elsewhere.
const TEN: &[&str] = &["ten"];
const OFFICE: &[&str] = &["office"];

const REFUSED: &str = "403 The API key does not work from this address";

/// What builds with debug assertions answer where the address is not known.
const UNKNOWN: &str =
    "403 The API key does not work from this address, which the server does not know";

fn is_refused(answer: &str) -> bool {
    answer == REFUSED || cfg!(debug_assertions) && answer.starts_with(UNKNOWN)
}

struct Keys {
    layer: ApiKeyLayer,
    texts: Vec<(&'static str, String)>,
    free: String,
}

impl Keys {
    fn new() -> Self {
        let keys = MemoryStore::new();
        let texts = KEYS
            .map(|(name, networks)| (name, issue(&keys, NewKey::named(name).addresses(networks))));
        let free = issue(&keys, NewKey::named("free"));
        let layer = ApiKeyLayer::new(keys).responder(Responder::text());
        Self { layer, texts: texts.into(), free }
    }

    /// Returns the keys that work for a client at `source` with these header lines.
    async fn working(&self, address: SocketAddr, source: &str, lines: &str) -> Vec<&'static str> {
        let ask = async |key: &str| {
            let request = format!("GET / HTTP/1.1\r\nx-api-key: {key}\r\n{lines}");
            let response = in_time(send_raw_from(source, address, &request)).await;
            format!("{} {}", response.status, response.text())
        };
        assert_eq!(ask(&self.free).await, "200 in", "{lines}");
        let mut working = Vec::new();
        for (name, key) in &self.texts {
            let answer = ask(key).await;
            assert!(answer == "200 in" || is_refused(&answer), "{name}: {lines}: {answer}");
            working.extend((answer == "200 in").then_some(*name));
        }
        working
    }

    /// Serves behind proxies on this machine, and checks who the client is by the header lines.
    async fn expect(&self, proxies: TrustedProxies, all: &[(&str, &[&str])]) {
        let app = app(self.layer.clone().trusted_proxies(proxies.clone()));
        let address = serve_known("127.0.0.1", app).await.unwrap();
        for (lines, working) in all {
            let found = self.working(address, "127.0.0.1", lines).await;
            assert_eq!(found, *working, "{proxies:?}: {lines}");
        }
    }
}

fn app(layer: ApiKeyLayer) -> Router {
    Router::new().route("/", get(async || "in")).layer(layer)
}

async fn inner<B>(_: http::Request<B>) -> Result<http::Response<String>, Infallible> {
    Ok(http::Response::new("in".to_owned()))
}

/// What clients write who want to be somebody else.
const CLAIMS: [&str; 5] = [
    "accept: */*",
    "x-forwarded-for: 10.0.0.1",
    "x-real-ip: 10.0.0.1\r\ntrue-client-ip: 10.0.0.1\r\ncf-connecting-ip: 10.0.0.1",
    "forwarded: for=10.0.0.1",
    "x-forwarded-for: 10.0.0.1\r\nx-forwarded-for: 198.51.100.7\r\nvia: 1.1 10.0.0.1",
];

#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "other systems have no 127.0.0.2 at once")]
async fn the_client_is_the_peer_of_the_socket_whatever_headers_claim() {
    let keys = Keys::new();
    let guarded = keys.layer.layer(service_fn(inner));
    let each = move |peer| {
        let insert = move |mut request: http::Request<_>| {
            request.extensions_mut().insert(PeerAddress(peer));
            request
        };
        ServiceBuilder::new().map_request(insert).service(guarded.clone())
    };
    let of_axum = serve_known("127.0.0.1", app(keys.layer.clone())).await.unwrap();
    for address in [of_axum, serve_each(each).await] {
        for lines in CLAIMS {
            let working = keys.working(address, "127.0.0.1", lines).await;
            assert_eq!(working, LOOPBACK, "{lines}");
            let working = keys.working(address, "127.0.0.2", lines).await;
            assert_eq!(working, SECOND, "{lines}");
        }
        let client = http2_client();
        for (name, key) in &keys.texts {
            let request = client.get(format!("http://{address}/")).header("x-api-key", key);
            let works = ["loopback", "mapped"].contains(name);
            assert_eq!(request.send().await.unwrap().status() == 200, works, "{name}");
        }
    }
}

#[tokio::test]
async fn a_client_over_ipv6_is_known_as_well_and_over_both_it_is_known_by_its_ipv4() {
    let keys = Keys::new();
    // Not every machine has IPv6.
    let Ok(address) = serve_known("::1", app(keys.layer.clone())).await else { return };
    for lines in CLAIMS {
        assert_eq!(keys.working(address, "::1", lines).await, IPV6, "{lines}");
    }
    let both = serve_known("::", app(keys.layer.clone())).await.unwrap();
    let ipv6 = (Ipv6Addr::LOCALHOST, both.port()).into();
    assert_eq!(keys.working(ipv6, "::1", "a: b").await, IPV6);
    if cfg!(target_os = "linux") {
        // The socket calls it `::ffff:127.0.0.1`.
        let ipv4 = (Ipv4Addr::LOCALHOST, both.port()).into();
        assert_eq!(keys.working(ipv4, "127.0.0.1", "a: b").await, LOOPBACK);
    }
}

#[tokio::test]
async fn in_tests_the_client_is_who_the_application_mocks() {
    let keys = Keys::new();
    for (client, working) in [
        ("10.1.2.3:50000", TEN),
        ("[2001:db8::7]:50000", OFFICE),
        ("[::ffff:198.51.100.7]:50000", OFFICE),
    ] {
        let client: SocketAddr = client.parse().unwrap();
        let app = app(keys.layer.clone()).layer(MockConnectInfo(client));
        assert_eq!(keys.working(serve(app.clone()).await, "127.0.0.1", "a: b").await, working);
        // What is real counts.
        let known = serve_known("127.0.0.1", app).await.unwrap();
        assert_eq!(keys.working(known, "127.0.0.1", "a: b").await, LOOPBACK);
    }
}

#[tokio::test]
async fn tonic_tells_who_the_client_is() {
    let (Keys { layer, texts, .. }, (_, service)) = (Keys::new(), health_reporter());
    let on_server = Server::builder().layer(layer.clone()).add_service(service.clone());
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let mut addresses = vec![incoming.local_addr().unwrap()];
    tokio::spawn(on_server.serve_with_incoming(incoming));
    let hops = layer.clone().trusted_proxies(TrustedProxies::hops(1)).layer(service.clone());
    for service in [layer.layer(service), hops] {
        addresses.push(serve_tonic(Server::builder().add_service(service)).await);
    }
    let behind_proxies = addresses[2];
    for address in addresses {
        for (name, key) in &texts {
            let answer = in_time(health(address, key)).await;
            if address != behind_proxies && ["loopback", "mapped"].contains(name) {
                answer.unwrap();
            } else {
                let status = answer.unwrap_err();
                assert_eq!(status.code(), Code::PermissionDenied, "{name}");
                assert!(is_refused(&format!("403 {}", status.message())), "{status:?}");
            }
        }
    }
}

#[tokio::test]
async fn where_the_client_is_not_known_a_restricted_key_is_refused() {
    let keys = Keys::new();
    for proxies in [
        TrustedProxies::none(),
        TrustedProxies::networks(["0.0.0.0/0", "::/0"]),
        TrustedProxies::networks(["0.0.0.0/0", "::/0"]).may_be_clients(),
        TrustedProxies::hops(1),
        TrustedProxies::hops(1).may_be_clients(),
        TrustedProxies::hops(1).forwarded_header(),
    ] {
        let layer = keys.layer.clone().trusted_proxies(proxies);
        let of_hyper = serve_hyper(layer.layer(service_fn(inner))).await;
        for address in [serve(app(layer)).await, of_hyper] {
            for lines in CLAIMS {
                assert_eq!(keys.working(address, "127.0.0.1", lines).await, NOBODY, "{lines}");
            }
        }
    }
}

#[tokio::test]
async fn where_the_client_is_not_known_a_build_for_debugging_says_what_to_do() {
    let keys = Keys::new();
    let address = serve(app(keys.layer.clone())).await;
    let request = format!("GET / HTTP/1.1\r\nx-api-key: {}\r\n", keys.texts[0].1);
    let response = in_time(send_raw_from("127.0.0.1", address, &request)).await;
    let says = response.text();
    assert_eq!(
        says.contains("into_make_service_with_connect_info"),
        cfg!(debug_assertions),
        "{says}"
    );
}

#[tokio::test]
async fn trusted_networks_are_believed_as_far_as_they_reach() {
    let proxies = TrustedProxies::networks(["127.0.0.1", "192.0.2.0/24", "2001:db8:ffff::/48"]);
    let all = [
        ("x-forwarded-for: 10.1.2.3", TEN),
        ("x-forwarded-for: 198.51.100.7, 10.1.2.3", TEN),
        ("x-forwarded-for: 198.51.100.7, 10.1.2.3, 192.0.2.9, 2001:db8:ffff::1", TEN),
        ("x-forwarded-for: garbage, 10.1.2.3:4711", TEN),
        ("x-forwarded-for: [2001:db8::7]:443", OFFICE),
        ("x-forwarded-for: ::ffff:10.1.2.3", TEN),
        ("x-forwarded-for: ::1", IPV6),
        // Two lines are one list, in their order.
        ("x-forwarded-for: 198.51.100.7\r\nx-forwarded-for: 10.1.2.3", TEN),
        ("x-forwarded-for: 10.1.2.3\r\nx-forwarded-for: 198.51.100.7", OFFICE),
        ("x-forwarded-for: 10.1.2.3\r\nx-forwarded-for: 192.0.2.9", TEN),
        // What cannot be read hides the client, and what lies behind it is not looked at.
        ("x-forwarded-for:", NOBODY),
        ("x-forwarded-for: 10.1.2.3, garbage", NOBODY),
        ("x-forwarded-for: 10.1.2.3, 010.0.0.1, 192.0.2.9", NOBODY),
        ("x-forwarded-for: 10.1.2.3,", NOBODY),
    ];
    Keys::new().expect(proxies, &all).await;
}

#[tokio::test]
async fn a_trusted_proxy_that_does_not_say_for_whom_it_asks_is_not_the_client() {
    let keys = Keys::new();
    let proxies = || TrustedProxies::networks(["127.0.0.1", "10.0.0.0/8", "192.0.2.0/24"]);
    for (lines, as_client) in [
        ("accept: */*", LOOPBACK),
        ("x-forwarded-for: 10.1.2.3", TEN),
        ("x-forwarded-for: 10.1.2.3, 127.0.0.1, 192.0.2.9", TEN),
        ("x-forwarded-for: 10.1.2.3\r\nx-forwarded-for: 192.0.2.9", TEN),
        ("x-real-ip: 10.1.2.3\r\nforwarded: for=10.1.2.3", LOOPBACK),
        // It says something, and it cannot be read.
        ("x-forwarded-for:", NOBODY),
        ("x-forwarded-for: unknown", NOBODY),
        ("x-forwarded-for: , 10.1.2.3", NOBODY),
    ] {
        keys.expect(proxies(), &[(lines, NOBODY)]).await;
        keys.expect(proxies().may_be_clients(), &[(lines, as_client)]).await;
    }
    for (lines, as_client) in [
        ("accept: */*", LOOPBACK),
        ("forwarded: for=10.1.2.3, for=192.0.2.9", TEN),
        ("x-forwarded-for: 10.1.2.3", LOOPBACK),
        ("forwarded:", NOBODY),
        ("forwarded: proto=https", NOBODY),
    ] {
        let proxies = || proxies().forwarded_header();
        keys.expect(proxies(), &[(lines, NOBODY)]).await;
        keys.expect(proxies().may_be_clients(), &[(lines, as_client)]).await;
    }
    let hops = |count| TrustedProxies::hops(count).may_be_clients();
    keys.expect(hops(1), &[("accept: */*", LOOPBACK), ("x-forwarded-for:", NOBODY)]).await;
    keys.expect(hops(2), &[("accept: */*", LOOPBACK)]).await;
    keys.expect(hops(2), &[("x-forwarded-for: 10.1.2.3", NOBODY)]).await;
}

#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "other systems have no 127.0.0.2 at once")]
async fn who_is_no_trusted_proxy_is_not_believed() {
    let keys = Keys::new();
    for networks in [["127.0.0.1", "10.0.0.0/8"], ["::1", "::/96"]] {
        let proxies = TrustedProxies::networks(networks);
        for proxies in [proxies.clone(), proxies.forwarded_header()] {
            let app = app(keys.layer.clone().trusted_proxies(proxies));
            let address = serve_known("127.0.0.1", app).await.unwrap();
            for lines in CLAIMS {
                let working = keys.working(address, "127.0.0.2", lines).await;
                assert_eq!(working, SECOND, "{lines}");
            }
        }
    }
}

#[tokio::test]
async fn as_many_hops_are_believed_as_there_are_proxies() {
    let keys = Keys::new();
    let one = [
        ("x-forwarded-for: 10.1.2.3", TEN),
        ("x-forwarded-for: 10.1.2.3, 198.51.100.7", OFFICE),
        ("x-forwarded-for: 10.1.2.3\r\nx-forwarded-for: 198.51.100.7", OFFICE),
        ("accept: */*", NOBODY),
    ];
    keys.expect(TrustedProxies::hops(1), &one).await;
    let two = [
        ("x-forwarded-for: 10.1.2.3, 198.51.100.7", TEN),
        ("x-forwarded-for: 198.51.100.7, 10.1.2.3, 192.0.2.1", TEN),
        ("x-forwarded-for: 10.1.2.3, unknown", NOBODY),
        ("x-forwarded-for: 198.51.100.7\r\nx-forwarded-for: 10.1.2.3\r\nx-forwarded-for: ::1", TEN),
        // Who comes past a proxy is nobody.
        ("x-forwarded-for: 10.1.2.3", NOBODY),
    ];
    keys.expect(TrustedProxies::hops(2), &two).await;
    keys.expect(TrustedProxies::hops(0), &[(CLAIMS[1], LOOPBACK)]).await;
}

#[tokio::test]
async fn forwarded_is_read_instead_where_it_is_asked_for() {
    let proxies = TrustedProxies::networks(["127.0.0.1", "192.0.2.0/24"]).forwarded_header();
    let all = [
        ("accept: */*", NOBODY),
        ("forwarded: for=10.1.2.3", TEN),
        ("forwarded: proto=https;For=\"10.1.2.3:4711\";by=192.0.2.1", TEN),
        ("forwarded: for=\"[2001:db8::7]:443\"", OFFICE),
        ("forwarded: for=198.51.100.7, for=10.1.2.3, for=192.0.2.9", TEN),
        ("forwarded: for=198.51.100.7\r\nforwarded: for=10.1.2.3", TEN),
        ("forwarded: for=10.1.2.3\r\nforwarded: for=198.51.100.7", OFFICE),
        ("forwarded: for=_hidden, for=10.1.2.3", TEN),
        ("forwarded: for=10.1.2.3, for=_hidden", NOBODY),
        ("forwarded: proto=https", NOBODY),
        // A quote that is open may hide a comma, so nothing of the list counts.
        ("forwarded: for=\"198.51.100.7, for=10.1.2.3", NOBODY),
        ("forwarded: for=10.1.2.3;for=198.51.100.7", NOBODY),
        ("forwarded: for=2001:db8::7", NOBODY),
        ("x-forwarded-for: 10.1.2.3\r\nforwarded: for=198.51.100.7", OFFICE),
    ];
    Keys::new().expect(proxies, &all).await;
    let one = [("forwarded: for=10.1.2.3, for=198.51.100.7", OFFICE), ("accept: */*", NOBODY)];
    Keys::new().expect(TrustedProxies::hops(1).forwarded_header(), &one).await;
}
