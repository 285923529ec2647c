//! Events that come again and again: the first is written, and then how many there were.

use std::net::{IpAddr, Ipv4Addr};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use tokio::time::{advance, sleep};
use tower::ServiceExt as _;
use tower_api_key::guard::Guard as _;
use tower_api_key::{
    ApiKeyLayer, KeyFormat, KeyScheme, MemoryStore, NewKey, PeerAddress, RequireAbility,
    StoreError, TenantId, TrustedProxies,
};

use crate::common::{OddStore, logged, start_log};

/// How often counts are written.
const PERIOD: Duration = Duration::from_secs(10);

fn app(layer: ApiKeyLayer) -> Router {
    Router::new().route("/bots/{id}", get(async || "in")).layer(layer)
}

/// Asks once, from an address.
async fn ask(app: &Router, from: &str, key: &str) -> StatusCode {
    ask_for(app, "/bots/1", from, key).await
}

async fn ask_for(app: &Router, path: &str, from: &str, key: &str) -> StatusCode {
    let from: IpAddr = from.parse().unwrap();
    let request = Request::get(path).header("x-api-key", key);
    let request = request.extension(PeerAddress((from, 50_000).into())).body(Body::empty());
    app.clone().oneshot(request.unwrap()).await.unwrap().status()
}

/// Lets a period pass, and returns what was logged until then.
async fn after_a_period(marker: &str) -> Vec<String> {
    sleep(PERIOD + Duration::from_secs(2)).await;
    logged(marker)
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refusals_is_one_line_and_then_a_count() {
    start_log();
    let app = app(ApiKeyLayer::new(MemoryStore::new()));
    for _ in 0..5000 {
        assert_eq!(ask(&app, "192.0.2.1", "of-nobody").await, 401);
    }
    let [first] = &logged("tower_api_key")[..] else { panic!("{:?}", logged("")) };
    for part in [
        " INFO ",
        "request refused",
        "kind=\"unknown\"",
        "client=192.0.2.1",
        "route=\"/bots/{id}\"",
    ] {
        assert!(first.contains(part), "{first}");
    }
    let [_, count] = &after_a_period("tower_api_key").await[..] else { panic!("{:?}", logged("")) };
    for part in [" INFO ", "request refused: 4999 more in 10 s", "kind=\"unknown\"", "192.0.2.1"] {
        assert!(count.contains(part), "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn counts_go_on_while_the_flood_does_and_after_a_pause_the_first_is_written_again() {
    start_log();
    let app = app(ApiKeyLayer::new(MemoryStore::new()));
    for _ in 0..25 {
        ask(&app, "192.0.2.1", "of-nobody").await;
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    let lines = after_a_period("request refused").await;
    let more: Vec<u32> = lines[1..]
        .iter()
        .map(|line| {
            let (_, more) = line.split_once("refused: ").unwrap();
            more.split_once(' ').unwrap().0.parse().unwrap()
        })
        .collect();
    assert_eq!(more.iter().sum::<u32>(), 24, "{lines:?}");
    assert!((2..=4).contains(&more.len()), "{lines:?}");
    sleep(PERIOD * 2).await;
    ask(&app, "192.0.2.1", "of-nobody").await;
    let [.., last] = &logged("request refused")[..] else { unreachable!() };
    assert!(!last.contains("more in"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn kinds_keys_and_clients_are_told_apart() {
    start_log();
    let keys = MemoryStore::new();
    let [one, two] = ["one", "two"].map(|name| {
        keys.issue(NewKey::named(name).tenant("acme".parse::<TenantId>().unwrap())).unwrap()
    });
    let app = app(ApiKeyLayer::new(keys).guard(RequireAbility::new("bots:read")));
    for _ in 0..3 {
        ask(&app, "192.0.2.1", "of-nobody").await;
        ask(&app, "192.0.2.2", "of-nobody").await;
        ask(&app, "192.0.2.1", "not a key").await;
        ask(&app, "192.0.2.1", one.secret.reveal()).await;
        ask(&app, "192.0.2.1", two.secret.reveal()).await;
    }
    let firsts = logged("request refused");
    assert_eq!(firsts.len(), 5, "{firsts:?}");
    let of_one: Vec<_> =
        firsts.iter().filter(|line| line.contains(one.record.id().as_str())).collect();
    assert_eq!(of_one.len(), 1);
    assert!(of_one[0].contains("tenant=\"acme\""), "{of_one:?}");
    let all = after_a_period("request refused").await;
    assert_eq!(all.iter().filter(|line| line.contains(": 2 more in 10 s")).count(), 5, "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn addresses_of_one_network_of_ipv6_are_one_client() {
    start_log();
    let app = app(ApiKeyLayer::new(MemoryStore::new()));
    for number in 1..=300 {
        ask(&app, &format!("2001:db8:1:2::{number:x}"), "of-nobody").await;
    }
    assert_eq!(logged("request refused").len(), 1);
    let lines = after_a_period("299 more in 10 s").await;
    assert!(lines[0].contains("client=2001:db8:1:2::/64"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_clients_write_no_more_lines_than_are_told_apart() {
    start_log();
    let app = app(ApiKeyLayer::new(MemoryStore::new()));
    for number in 0..10_000 {
        let from = Ipv4Addr::from(0x0a00_0000 + number).to_string();
        ask(&app, &from, "of-nobody").await;
    }
    assert_eq!(logged("request refused").len(), 201, "200 clients, and all others");
    let counts = after_a_period("more in").await;
    assert_eq!(counts.len(), 1);
    assert!(counts[0].contains("request refused: 9799 more in 10 s"), "{counts:?}");
    assert!(!counts[0].contains("client="), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_is_written_when_the_layer_goes() {
    start_log();
    let app = app(ApiKeyLayer::new(MemoryStore::new()));
    for _ in 0..3 {
        ask(&app, "192.0.2.1", "of-nobody").await;
    }
    drop(app);
    assert_eq!(logged("request refused: 2 more in 0 s").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn layers_count_for_themselves_and_clones_together() {
    start_log();
    let layer = ApiKeyLayer::new(MemoryStore::new());
    let [app_1, app_2] = [layer.clone(), layer].map(app);
    let other = app(ApiKeyLayer::new(MemoryStore::new()));
    for app in [&app_1, &app_2, &other] {
        ask(app, "192.0.2.1", "of-nobody").await;
    }
    assert_eq!(logged("request refused").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_is_one_line_whoever_asks_and_says_what_to_do() {
    start_log();
    let store = OddStore {
        answer: || Poll::Ready(Err(StoreError::new("the database is away"))),
        at_once: false,
    };
    let app = app(ApiKeyLayer::new(store));
    for number in 0..1000 {
        let from = Ipv4Addr::from(0x0a00_0000 + number).to_string();
        assert_eq!(ask(&app, &from, "of-somebody").await, 503);
    }
    let [line] = &logged(" ERROR ")[..] else { panic!("{:?}", logged("")) };
    assert!(line.contains("the database is away"), "{line}");
    assert!(line.contains("check that the key store and the limiter can be reached"), "{line}");
    let lines = after_a_period("999 more in 10 s").await;
    assert!(lines[0].contains(" ERROR ") && lines[0].contains("the database is away"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rule_on_trial_is_one_line_for_each_key() {
    start_log();
    let keys = MemoryStore::new();
    let issued = ["one", "two"].map(|name| keys.issue(NewKey::named(name)).unwrap());
    let guard = RequireAbility::new("bots:read").report_only();
    let app = app(ApiKeyLayer::new(keys).guard(guard));
    for key in &issued {
        for _ in 0..50 {
            assert_eq!(ask(&app, "192.0.2.1", key.secret.reveal()).await, 200);
        }
    }
    assert_eq!(logged("would be refused").len(), 2);
    let counts = after_a_period("would be refused: report only: 49 more").await;
    assert_eq!(counts.len(), 2, "{counts:?}");
}

#[tokio::test]
async fn the_client_is_who_the_trusted_proxies_say() {
    start_log();
    let proxies = TrustedProxies::networks(["10.0.0.1"]);
    let app = app(ApiKeyLayer::new(MemoryStore::new()).trusted_proxies(proxies));
    let request = Request::get("/bots/1").header("x-forwarded-for", "198.51.100.7");
    let from = PeerAddress("10.0.0.1:50000".parse().unwrap());
    let request = request.extension(from).body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), 401);
    assert_eq!(logged("client=198.51.100.7").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_hides_clients_writes_none_of_their_addresses() {
    start_log();
    let app = app(ApiKeyLayer::new(MemoryStore::new()).hide_client_addresses());
    for from in ["192.0.2.1", "192.0.2.2", "192.0.2.1"] {
        ask(&app, from, "of-nobody").await;
    }
    assert_eq!(logged("request refused").len(), 1);
    let counts = after_a_period("request refused: 2 more").await;
    assert_eq!(counts.len(), 1);
    assert!(logged("192.0.2.").is_empty(), "{:?}", logged("192.0.2."));
}

#[tokio::test]
async fn a_path_that_holds_a_key_by_mistake_is_not_shown() {
    start_log();
    let keys = MemoryStore::new();
    let scheme = KeyScheme::new(KeyFormat::new("sk_"));
    let layer = ApiKeyLayer::new(keys).scheme(scheme.clone());
    let app = Router::new().fallback(async || "in").layer(layer);
    let key = scheme.formats().iter().next().unwrap().generate().unwrap();
    for path in [format!("/x/{}", key.reveal()), format!("/y/{}", key.reveal().replace('_', "%5F"))]
    {
        assert_eq!(ask_for(&app, &path, "192.0.2.1", "sk_wrong").await, 401);
    }
    ask_for(&app, "/z/sk_short", "192.0.2.2", "sk_wrong").await;
    assert_eq!(logged("request refused").len(), 2);
    assert_eq!(logged(&key.reveal()[3..]), [""; 0]);
    assert_eq!(logged("path=\"/z/sk_short\"").len(), 1, "{:?}", logged(""));
}
