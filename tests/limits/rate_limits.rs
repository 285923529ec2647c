//! How often a key may be used: over sockets, by HTTP and gRPC, with limiters that misbehave.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use serde_json::json;
use tonic::Code;
use tonic::transport::Server;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::extract::Header;
use tower_api_key::key::RateLimits;
use tower_api_key::limit::{LimitDecision, LimiterError};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    ApiKeyLayer, Clock as _, GuardLayer, KeyManager, KeyRecord, KeyUpdate, MemoryRateLimiter,
    MemoryStore, NewKey, RateLimiter, Rejection, RejectionKind, RequestHead, RequireAbility,
    Responder, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::{
    RawResponse, get_raw, health, http2_client, in_time, issue, serve, serve_tonic,
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

fn limited(limits: &[&str]) -> NewKey {
    limits.iter().fold(NewKey::named("limited"), |key, limit| key.limit(*limit))
}

async fn start(layer: ApiKeyLayer) -> SocketAddr {
    let guarded = get(|| async { "in" }).layer(RequireAbility::new("bots:read"));
    let app = Router::new().route("/", get(|| async { "in" })).route("/guarded", guarded);
    serve(app.layer(layer)).await
}

async fn ask(address: SocketAddr, path: &str, key: &str) -> RawResponse {
    in_time(get_raw(address, path, &[&format!("x-api-key: {key}")])).await
}

/// Returns the status, what `RateLimit` says, and `Retry-After`.
async fn told(address: SocketAddr, path: &str, key: &str) -> (u16, String, Option<u64>) {
    let response = ask(address, path, key).await;
    let wait = response.header("retry-after").map(|wait| wait.parse().unwrap());
    (response.status, response.header("ratelimit").unwrap_or_default().to_owned(), wait)
}

/// A limiter that is asked in a future, as one behind a network is.
struct Remote(MemoryRateLimiter);

#[async_trait]
impl RateLimiter for Remote {
    async fn reserve(&self, key: &KeyRecord, cost: u32) -> Result<LimitDecision, LimiterError> {
        tokio::task::yield_now().await;
        self.0.reserve(key, cost).await
    }

    async fn refund(
        &self,
        key: &KeyRecord,
        cost: u32,
        granted: &LimitDecision,
    ) -> Result<LimitDecision, LimiterError> {
        tokio::task::yield_now().await;
        self.0.refund(key, cost, granted).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_200_requests_at_once_against_100_exactly_100_pass() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited(&["100 per hour"]));
    let layer = ApiKeyLayer::new(keys.clone());
    for layer in [layer.clone(), layer.rate_limiter(Remote(MemoryRateLimiter::new()))] {
        let url = format!("http://{}/", start(layer).await);
        let clients = [reqwest::Client::new(), http2_client()];
        let requests = (0..200).map(|number| {
            let request = clients[number % 2].get(&url).header("x-api-key", &key).send();
            tokio::spawn(async move { request.await.unwrap().status() })
        });
        let statuses = in_time(futures_util::future::join_all(requests)).await;
        let count = |status| statuses.iter().filter(|it| *it.as_ref().unwrap() == status).count();
        assert_eq!(count(StatusCode::OK), 100);
        assert_eq!(count(StatusCode::TOO_MANY_REQUESTS), 100);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_request_goes_to_one_of_many() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited(&["1 per hour"]));
    let address = start(ApiKeyLayer::new(keys)).await;
    let asked = (0..20).map(|_| ask(address, "/", &key));
    let responses = futures_util::future::join_all(asked).await;
    assert_eq!(responses.iter().filter(|response| response.status == 200).count(), 1);
}

#[tokio::test]
async fn every_response_tells_how_the_limits_of_its_key_stand() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited(&["3 per hour", "burst: 10 per minute"]));
    let clock = FakeClock::new();
    let address = start(ApiKeyLayer::new(keys.clone()).clock(clock.clone())).await;
    let first = ask(address, "/", &key).await;
    assert_eq!(first.header("ratelimit-policy"), Some(r#""hourly";q=3;w=3600, "burst";q=10;w=60"#));
    assert_eq!(first.header("ratelimit"), Some(r#""hourly";r=2;t=1200, "burst";r=9;t=6"#));
    assert_eq!(first.header("x-ratelimit-limit"), None);
    // What the application answers is told as well as what it serves.
    let (status, state, _) = told(address, "/nowhere", &key).await;
    assert_eq!((status, &*state), (404, r#""hourly";r=1;t=1200, "burst";r=8;t=6"#));
    clock.advance(Duration::from_secs(599));
    let (_, state, _) = told(address, "/", &key).await;
    assert_eq!(state, r#""hourly";r=0;t=601, "burst";r=9;t=6"#);
    let (status, state, wait) = told(address, "/", &key).await;
    assert_eq!(status, 429);
    assert_eq!(state, r#""hourly";r=0;t=601, "burst";r=9;t=6"#, "nothing more is spent");
    assert_eq!(wait, Some(601));
    let unlimited = ask(address, "/", &issue(&keys, NewKey::named("free"))).await;
    assert_eq!((unlimited.status, unlimited.header("ratelimit-policy")), (200, None));
}

#[tokio::test]
async fn who_waits_as_long_as_told_is_let_through_and_not_a_moment_before() {
    let keys = MemoryStore::new();
    let clock = FakeClock::new();
    let address = start(ApiKeyLayer::new(keys.clone()).clock(clock.clone())).await;
    for limit in ["7 per minute", "3 per hour, burst 1", "2 per second", "1 per 5 seconds"] {
        let key = issue(&keys, limited(&[limit]));
        let wait = loop {
            if let (429, _, wait) = told(address, "/", &key).await {
                break Duration::from_secs(wait.unwrap());
            }
        };
        let early = wait.saturating_sub(Duration::from_secs(1));
        clock.advance(early);
        assert_eq!(told(address, "/", &key).await.0, 429, "{limit}, a second early");
        clock.advance(wait - early);
        assert_eq!(told(address, "/", &key).await.0, 200, "{limit}");
    }
}

#[tokio::test]
async fn too_many_requests_are_a_problem_that_names_the_limit() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited(&["1 per hour", "9 per day"]));
    let address = start(ApiKeyLayer::new(keys.clone())).await;
    ask(address, "/", &key).await;
    let refused = ask(address, "/", &key).await;
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    assert_eq!(
        refused.json(),
        json!({
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Request cannot be satisfied as assigned quota has been exceeded",
            "status": 429,
            "detail": "The API key was used too often",
            "violated-policies": ["hourly"],
        })
    );
    let own = Responder::json().answer(
        RejectionKind::RateLimited,
        StatusCode::TOO_MANY_REQUESTS,
        "Slow down",
    );
    let address = start(ApiKeyLayer::new(keys).responder(own)).await;
    ask(address, "/", &key).await;
    let refused = ask(address, "/", &key).await;
    assert_eq!(refused.json(), json!({ "message": "Slow down" }));
    assert!(refused.header("retry-after").is_some() && refused.header("ratelimit").is_some());
}

#[tokio::test]
async fn a_request_that_a_guard_refuses_spends_nothing() {
    let keys = MemoryStore::new();
    let [weak, strong] = [&[][..], &["bots:read"]]
        .map(|abilities| issue(&keys, limited(&["2 per hour"]).abilities(abilities.to_vec())));
    let layer = ApiKeyLayer::new(keys.clone());
    let remote = layer.clone().rate_limiter(Remote(MemoryRateLimiter::new()));
    let on_layer = ApiKeyLayer::new(keys).guard(RequireAbility::new("bots:read"));
    for (layer, path) in [(layer, "/guarded"), (remote, "/guarded"), (on_layer, "/")] {
        let address = start(layer).await;
        for _ in 0..5 {
            let (status, state, _) = told(address, path, &weak).await;
            assert_eq!((status, &*state), (403, r#""hourly";r=2;t=0"#), "{path}");
        }
        let statuses = [
            told(address, path, &strong).await.0,
            told(address, path, &strong).await.0,
            told(address, path, &strong).await.0,
        ];
        assert_eq!(statuses, [200, 200, 429]);
    }
}

#[tokio::test]
async fn a_key_that_is_not_valid_is_told_nothing_of_limits() {
    let keys = MemoryStore::new();
    let issued = keys.issue(limited(&["2 per hour"])).unwrap();
    let key = issued.secret.reveal();
    let address = start(ApiKeyLayer::new(keys.clone())).await;
    ask(address, "/", key).await;
    assert!(keys.revoke(issued.record.id()));
    let (revoked, unknown) = (ask(address, "/", key).await, ask(address, "/", "ak_unknown").await);
    assert_eq!(revoked, unknown);
    assert_eq!(revoked.header("ratelimit"), None);
}

#[tokio::test]
async fn the_older_fields_are_sent_where_they_are_asked_for() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited(&["9 per day", "3 per hour"]));
    let address = start(ApiKeyLayer::new(keys).x_rate_limit_headers()).await;
    for (status, remaining) in [(200, "2"), (200, "1"), (200, "0"), (429, "0")] {
        let response = ask(address, "/", &key).await;
        assert_eq!(response.status, status);
        assert_eq!(response.header("x-ratelimit-limit"), Some("3"));
        assert_eq!(response.header("x-ratelimit-remaining"), Some(remaining));
        let reset: u64 = response.header("x-ratelimit-reset").unwrap().parse().unwrap();
        assert!((1100..=1200).contains(&reset), "{reset}");
    }
}

/// A response without any headers gets them in another way than one with room for some.
#[tokio::test]
async fn the_fields_of_a_response_are_the_same_however_its_handler_made_it() {
    let keys = MemoryStore::new();
    let layer = || ApiKeyLayer::new(keys.clone()).clock(FakeClock::default());
    let two = &["9 per day", "3 per hour"][..];
    let both = "\"daily\";q=9;w=86400, \"hourly\";q=3;w=3600";
    let left = "\"daily\";r=8;t=9600, \"hourly\";r=2;t=1200";
    let acme = || Header::new("x-acme-key");
    for (name, layer, limits, expected) in [
        ("x-api-key", layer(), two, vec![("cache-control", "private"), ("ratelimit", left)]),
        ("x-api-key", layer().x_rate_limit_headers(), two, vec![("x-ratelimit-remaining", "2")]),
        ("x-api-key", layer().without_cache_headers(), two, vec![("ratelimit-policy", both)]),
        ("x-acme-key", layer().extractor(acme()), two, vec![("vary", "x-acme-key")]),
        ("x-api-key", layer(), &[][..], vec![("vary", "x-api-key, authorization")]),
    ] {
        let mut all = Vec::new();
        for handler in [
            |_: &mut HeaderMap| (),
            |headers: &mut HeaderMap| headers.reserve(9),
            |headers: &mut HeaderMap| {
                headers.insert("x-own", HeaderValue::from_static("own"));
                headers.remove("x-own");
            },
            |headers: &mut HeaderMap| {
                headers.insert("ratelimit", HeaderValue::from_static("\"own\";r=1"));
            },
        ] {
            let inner = service_fn(move |_: Request<Body>| async move {
                let mut response = Response::new(Body::empty());
                handler(response.headers_mut());
                Ok::<_, Infallible>(response)
            });
            let request = Request::get("/").header(name, issue(&keys, limited(limits)));
            let answer =
                layer.layer(inner).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let mut headers = answer.into_parts().0.headers;
            let own = "\"own\";r=1";
            let others = headers.get_all("ratelimit").iter().filter(|value| *value != own);
            let others: Vec<_> = others.cloned().collect();
            assert!(others.len() == usize::from(!limits.is_empty()), "{others:?}");
            headers.remove("ratelimit");
            headers.extend(others.into_iter().map(|value| (RATE_LIMIT, value)));
            all.push(headers);
        }
        assert!(all.iter().all(|headers| *headers == all[0]), "{all:#?}");
        for (name, value) in expected {
            assert_eq!(all[0].get(name).unwrap(), value, "{name}: {all:#?}");
        }
        assert!(all[0].values().all(|value| !value.is_empty()), "{all:#?}");
    }
}

#[tokio::test]
async fn a_request_costs_what_the_application_says() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited(&["10 per hour"]));
    let cost = |_: &VerifiedKey, head: &RequestHead<'_>| {
        head.uri().query().map_or(1, |cost| cost.parse().unwrap())
    };
    let address = start(ApiKeyLayer::new(keys).request_cost(cost)).await;
    for (query, status, left) in [
        ("?0", 200, 10),
        ("?7", 200, 3),
        ("", 200, 2),
        ("?3", 429, 2),
        ("?2", 200, 0),
        ("?0", 200, 0),
    ] {
        let (told, state, _) = told(address, &format!("/{query}"), &key).await;
        assert_eq!(told, status, "{query}");
        assert!(state.starts_with(&format!(r#""hourly";r={left};"#)), "{query}: {state}");
    }
    let never = ask(address, "/?11", &key).await;
    assert_eq!((never.status, never.header("retry-after")), (403, None));
    assert!(never.text().contains("costs more"), "{}", never.text());
}

#[tokio::test]
async fn the_limit_is_that_of_the_record_at_this_moment() {
    let keys = MemoryStore::new();
    let issued = keys.issue(limited(&["1 per hour"])).unwrap();
    let key = issued.secret.reveal();
    let address = start(ApiKeyLayer::new(keys.clone())).await;
    assert_eq!(told(address, "/", key).await.0, 200);
    assert_eq!(told(address, "/", key).await.0, 429);
    keys.update(issued.record.id(), |record| record.set_limits(Default::default())).unwrap();
    assert_eq!(told(address, "/", key).await, (200, String::new(), None));
}

#[tokio::test]
async fn layers_count_together_if_they_share_a_limiter() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited(&["2 per hour"]));
    let limiter = MemoryRateLimiter::new();
    let layer = || ApiKeyLayer::new(keys.clone()).rate_limiter(limiter.clone());
    let (one, other) = (start(layer()).await, start(layer().realm("other")).await);
    assert_eq!(told(one, "/", &key).await.0, 200);
    assert_eq!(told(other, "/", &key).await.0, 200);
    assert_eq!(told(one, "/", &key).await.0, 429);
    let apart = start(ApiKeyLayer::new(keys.clone())).await;
    assert_eq!(told(apart, "/", &key).await.0, 200);
}

#[tokio::test]
async fn grpc_clients_get_resource_exhausted_and_the_same_fields() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited(&["1 per hour"]));
    let (_, service) = tonic_health::server::health_reporter();
    let layer = ApiKeyLayer::new(keys);
    let service = layer.layer(service);
    let address = serve_tonic(Server::builder().add_service(service)).await;
    health(address, &key).await.unwrap();
    let status = health(address, &key).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "The API key was used too often");
    let field = |name: &str| status.metadata().get(name).unwrap().to_str().unwrap();
    assert_eq!(field("ratelimit-policy"), r#""hourly";q=1;w=3600"#);
    assert_eq!(field("ratelimit"), r#""hourly";r=0;t=3600"#);
    assert_eq!(field("retry-after"), "3600");
    // Not within this call.
    assert_eq!(field("grpc-retry-pushback-ms"), "-1");
}

#[tokio::test]
async fn a_guard_may_refuse_for_a_limit_of_its_own() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("free"));
    let asked = Arc::new(AtomicUsize::new(0));
    let guard =
        move |_: &VerifiedKey, _: &RequestHead<'_>| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(()),
            _ => Err(Rejection::new(RejectionKind::RateLimited)
                .with_retry_after(Duration::from_millis(1500))),
        };
    let app = Router::new().route("/", get(|| async {}).layer(GuardLayer::new(guard)));
    let address = serve(app.layer(ApiKeyLayer::new(keys))).await;
    assert_eq!(told(address, "/", &key).await, (200, String::new(), None));
    assert_eq!(told(address, "/", &key).await, (429, String::new(), Some(2)));
}

#[tokio::test]
async fn an_application_can_tell_how_the_limits_of_a_key_stand() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited(&["3 per hour"]));
    let limiter = MemoryRateLimiter::new();
    let own = limiter.clone();
    let usage = move |key: VerifiedKey| async move {
        let decision = own.peek(key.record()).await.unwrap();
        decision.statuses()[0].remaining().to_string()
    };
    let free = |_: &VerifiedKey, head: &RequestHead<'_>| u32::from(head.uri().path() != "/usage");
    let layer = ApiKeyLayer::new(keys).rate_limiter(limiter).request_cost(free);
    let app = Router::new().route("/usage", get(usage)).route("/", get(|| async {}));
    let address = serve(app.layer(layer)).await;
    for left in ["3", "3"] {
        assert_eq!(ask(address, "/usage", &key).await.text(), left);
    }
    ask(address, "/", &key).await;
    assert_eq!(ask(address, "/usage", &key).await.text(), "2");
}

#[tokio::test]
async fn a_low_shared_limit_of_one_key_does_not_lock_out_the_tenant() {
    let keys = MemoryStore::new();
    let clock = FakeClock::new();
    let address = start(ApiKeyLayer::new(keys.clone()).clock(clock.clone())).await;
    let of_acme = |limit: &str| issue(&keys, limited(&[limit]).tenant("acme"));
    let production = of_acme("daily: 10000 per day, shared by tenant");
    for low in ["2 per 366 days", "2 per day", "10000 per 366 days", "10000 per day, burst 2"] {
        let low = of_acme(&format!("daily: {low}, shared by tenant"));
        for _ in 0..3 {
            told(address, "/", &low).await;
        }
    }
    let (status, state, _) = told(address, "/", &production).await;
    assert_eq!((status, &*state), (200, r#""daily";r=9999;t=9"#));
    // The same limit is one, for all of the tenant's keys that have it.
    let same = of_acme("daily: 10000 per day, shared by tenant");
    assert_eq!(told(address, "/", &same).await.1, r#""daily";r=9998;t=9"#);
}

#[tokio::test]
async fn no_wait_is_longer_than_a_limit_takes_to_be_whole_again_whatever_the_clock_does() {
    let keys = MemoryStore::new();
    let clock = FakeClock::new();
    let address = start(ApiKeyLayer::new(keys.clone()).clock(clock.clone())).await;
    for limit in ["60 per minute", "60 per minute, shared by tenant"] {
        let key = issue(&keys, limited(&[limit]).tenant("acme"));
        assert_eq!(told(address, "/", &key).await.0, 200);
        clock.set(clock.now() - Duration::from_secs(3600));
        let (status, _, wait) = told(address, "/", &key).await;
        if status == 429 {
            let wait = Duration::from_secs(wait.unwrap());
            assert!(wait <= Duration::from_secs(60), "{limit}: {wait:?}");
            clock.advance(wait);
        }
        assert_eq!(told(address, "/", &key).await.0, 200, "{limit}");
    }
}

#[tokio::test]
async fn a_successor_takes_over_what_was_used_and_both_count_together() {
    let store = MemoryStore::new();
    let manager = KeyManager::new(store.clone());
    let limits = ["3 per hour", "pool: 5 per day, shared by tenant"];
    let first = manager.issue(limited(&limits).tenant("acme")).await.unwrap();
    let address = start(ApiKeyLayer::new(store)).await;
    assert_eq!(told(address, "/", first.secret.reveal()).await.0, 200);
    let grace = Duration::from_secs(3600);
    let second = manager.rotate(first.record.id(), grace).await.unwrap();
    assert_eq!(told(address, "/", second.secret.reveal()).await.0, 200);
    let third = manager.rotate(second.record.id(), grace).await.unwrap();
    let (status, state, _) = told(address, "/", third.secret.reveal()).await;
    assert_eq!(status, 200);
    assert!(state.starts_with(r#""hourly";r=0;"#) && state.contains(r#""pool";r=2;"#), "{state}");
    for key in [&first.secret, &second.secret, &third.secret] {
        assert_eq!(told(address, "/", key.reveal()).await.0, 429);
    }
}

#[tokio::test]
async fn keys_that_count_together_with_other_numbers_do_not_make_each_other_whole() {
    let store = MemoryStore::new();
    let manager = KeyManager::new(store.clone());
    let clock = FakeClock::new();
    let address = start(ApiKeyLayer::new(store.clone()).clock(clock.clone())).await;
    let old = manager.issue(limited(&["100 per hour"])).await.unwrap();
    let new = manager.rotate(old.record.id(), Duration::from_secs(86_400)).await.unwrap();
    let even = RateLimits::new(["100 per hour, burst 1".parse().unwrap()]).unwrap();
    manager.update(new.record.id(), &KeyUpdate::new().limits(even)).await.unwrap();
    for _ in 0..100 {
        assert_eq!(told(address, "/", old.secret.reveal()).await.0, 200);
    }
    // The new key waits no longer than it has to by its own limit…
    let (status, _, wait) = told(address, "/", new.secret.reveal()).await;
    assert_eq!((status, wait), (429, Some(36)));
    // … which gives nothing back to the old one.
    let (status, _, wait) = told(address, "/", old.secret.reveal()).await;
    assert_eq!((status, wait), (429, Some(36)));
    clock.advance(Duration::from_secs(36));
    assert_eq!(told(address, "/", new.secret.reveal()).await.0, 200);
    assert_eq!(told(address, "/", old.secret.reveal()).await.0, 429, "that one was for both");
}

#[tokio::test]
async fn a_limit_that_is_lowered_and_raised_again_does_not_start_anew() {
    let store = MemoryStore::new();
    let manager = KeyManager::new(store.clone());
    let address = start(ApiKeyLayer::new(store.clone()).clock(FakeClock::new())).await;
    let key = manager.issue(limited(&["5 per hour"])).await.unwrap();
    for _ in 0..5 {
        assert_eq!(told(address, "/", key.secret.reveal()).await.0, 200);
    }
    for limit in ["5 per hour, burst 1", "1 per hour", "5 per hour, burst 2", "5 per hour"] {
        let limits = RateLimits::new([limit.parse().unwrap()]).unwrap();
        manager.update(key.record.id(), &KeyUpdate::new().limits(limits)).await.unwrap();
        assert_eq!(told(address, "/", key.secret.reveal()).await.0, 429, "{limit}");
    }
}
