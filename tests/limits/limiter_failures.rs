//! Limiters that misbehave, and applications that could gain by what is given back.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;
use tower_api_key::Immediate;
use tower_api_key::limit::{LimitDecision, LimitStatus, LimiterError};
use tower_api_key::{
    ApiKeyLayer, GuardLayer, KeyRecord, MemoryRateLimiter, MemoryStore, NewKey, RateLimiter,
    Rejection, RejectionKind, RequestHead, RequireAbility, VerifiedKey,
};

use crate::common::{RawResponse, get_raw, in_time, issue, logged, serve, start_log};

fn limited(limit: &str) -> NewKey {
    NewKey::named("limited").limit(limit)
}

async fn start(layer: ApiKeyLayer) -> SocketAddr {
    serve(Router::new().route("/", get(|| async { "in" })).layer(layer)).await
}

async fn ask(address: SocketAddr, path: &str, key: &str) -> RawResponse {
    in_time(get_raw(address, path, &[&format!("x-api-key: {key}")])).await
}

/// Does what its name says.
#[derive(Clone, Copy, Debug)]
enum Faulty {
    Fails,
    Hangs,
    Panics,
    PanicsAtOnce,
    SaysNothing,
}

#[async_trait]
impl RateLimiter for Faulty {
    async fn reserve(&self, _: &KeyRecord, _: u32) -> Result<LimitDecision, LimiterError> {
        match self {
            Self::Fails => Err(LimiterError::new("connection reset")),
            Self::Hangs => std::future::pending().await,
            Self::SaysNothing => Ok(LimitDecision::new([])),
            Self::Panics | Self::PanicsAtOnce => panic!("the limiter's own fault"),
        }
    }

    async fn refund(
        &self,
        key: &KeyRecord,
        cost: u32,
        _: &LimitDecision,
    ) -> Result<LimitDecision, LimiterError> {
        self.reserve(key, cost).await
    }

    fn reserve_now(&self, _: &KeyRecord, _: u32) -> Immediate<LimitDecision> {
        match self {
            Self::PanicsAtOnce => panic!("the limiter's own fault"),
            _ => Immediate::Ask,
        }
    }
}

#[tokio::test]
async fn a_limiter_that_fails_hangs_or_panics_is_answered_with_503() {
    start_log();
    let keys = MemoryStore::new();
    let key = issue(&keys, limited("1 per hour"));
    let free = issue(&keys, NewKey::named("free"));
    let faults = [Faulty::Fails, Faulty::Hangs, Faulty::Panics, Faulty::PanicsAtOnce];
    for faulty in faults.into_iter().chain([Faulty::SaysNothing]) {
        let layer = ApiKeyLayer::new(keys.clone())
            .rate_limiter(faulty)
            .lookup_timeout(Duration::from_millis(50));
        let address = start(layer.clone()).await;
        let refused = ask(address, "/", &key).await;
        assert_eq!(refused.status, 503, "{faulty:?}");
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert!(!refused.text().contains("connection reset"), "{}", refused.text());
        assert_eq!(ask(address, "/", &free).await.status, 200, "who has no limit is not counted");
        let weak = layer.clone().guard(RequireAbility::new("bots:read"));
        assert_eq!(ask(start(weak).await, "/", &key).await.status, 403, "{faulty:?}");
        let allowing = layer.allow_when_limiter_fails();
        let weak = start(allowing.clone().guard(RequireAbility::new("bots:read"))).await;
        assert_eq!(ask(weak, "/", &key).await.status, 403, "{faulty:?}");
        let open = start(allowing).await;
        let passed = ask(open, "/", &key).await;
        assert_eq!((passed.status, passed.header("ratelimit")), (200, None), "{faulty:?}");
    }
    assert!(!logged("connection reset").is_empty());
}

/// Panics before it returns a future.
struct Rough;

impl RateLimiter for Rough {
    fn reserve<'a, 'b, 'c>(
        &'a self,
        _: &'b KeyRecord,
        _: u32,
    ) -> BoxFuture<'c, Result<LimitDecision, LimiterError>>
    where
        'a: 'c,
        'b: 'c,
    {
        panic!("before there is a future")
    }

    fn refund<'a, 'b, 'c, 'd>(
        &'a self,
        _: &'b KeyRecord,
        _: u32,
        _: &'c LimitDecision,
    ) -> BoxFuture<'d, Result<LimitDecision, LimiterError>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
    {
        panic!("before there is a future")
    }
}

#[tokio::test]
async fn a_limiter_that_panics_before_it_waits_fails_one_request() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited("1 per hour"));
    let address = start(ApiKeyLayer::new(keys).rate_limiter(Rough)).await;
    assert_eq!(ask(address, "/", &key).await.status, 503);
}

/// Grants everything, and fails to give anything back.
struct Stingy;

#[async_trait]
impl RateLimiter for Stingy {
    async fn reserve(&self, _: &KeyRecord, _: u32) -> Result<LimitDecision, LimiterError> {
        Ok(LimitDecision::new([LimitStatus::within(7, Duration::MAX)]))
    }

    async fn refund(
        &self,
        _: &KeyRecord,
        _: u32,
        _: &LimitDecision,
    ) -> Result<LimitDecision, LimiterError> {
        Err(LimiterError::new("nothing is given back"))
    }
}

#[tokio::test]
async fn a_refund_that_fails_changes_no_answer_and_is_logged() {
    start_log();
    let keys = MemoryStore::new();
    let key = issue(&keys, limited("9 per hour"));
    let guarded = get(|| async {}).layer(RequireAbility::new("bots:read"));
    let layer = ApiKeyLayer::new(keys).rate_limiter(Stingy);
    let address = serve(Router::new().route("/", guarded).layer(layer)).await;
    let refused = ask(address, "/", &key).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("ratelimit"), Some(r#""hourly";r=7;t=18446744073709551615"#));
    assert_eq!(logged("nothing is given back").len(), 1);
}

#[tokio::test]
async fn all_that_a_refused_request_cost_is_given_back() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited("9 per hour"));
    let guarded = get(|| async {}).layer(RequireAbility::new("bots:read"));
    let layer = ApiKeyLayer::new(keys).request_cost(|_, _| 7);
    let address = serve(Router::new().route("/", guarded).layer(layer)).await;
    for _ in 0..3 {
        let refused = ask(address, "/", &key).await;
        assert_eq!(
            (refused.status, refused.header("ratelimit")),
            (403, Some(r#""hourly";r=9;t=0"#))
        );
    }
}

#[tokio::test]
async fn what_an_application_answers_costs_though_it_holds_a_rejection() {
    async fn of_another_service() -> Response {
        let mut response = "work was done".into_response();
        response.extensions_mut().insert(Rejection::new(RejectionKind::NotAllowed));
        response
    }
    let keys = MemoryStore::new();
    let key = issue(&keys, limited("1 per hour"));
    let app = Router::new().route("/", get(of_another_service)).layer(ApiKeyLayer::new(keys));
    let address = serve(app).await;
    assert_eq!(ask(address, "/", &key).await.status, 200);
    assert_eq!(ask(address, "/", &key).await.status, 429);
}

#[tokio::test]
async fn limits_of_the_application_itself_are_told_as_well() {
    let own = [("ratelimit", r#""ip";r=1;t=1"#), ("ratelimit-policy", r#""ip";q=2;w=1"#)];
    let keys = MemoryStore::new();
    let key = issue(&keys, limited("9 per hour"));
    let app = Router::new().route("/", get(move || async move { (own, "in") }));
    let response = ask(serve(app.layer(ApiKeyLayer::new(keys))).await, "/", &key).await;
    for (name, own) in own {
        let fields = response.headers.iter().filter(|(field, _)| field == name);
        let fields: Vec<_> = fields.map(|(_, value)| value.as_str()).collect();
        assert_eq!(fields.len(), 2, "{fields:?}");
        assert!(fields.contains(&own) && fields.iter().any(|field| field.contains("hourly")));
    }
}

#[tokio::test]
async fn a_guard_that_says_a_key_is_not_valid_tells_nothing_of_its_limits() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited("9 per hour"));
    let revoked = |_: &VerifiedKey, _: &RequestHead<'_>| Err(RejectionKind::Revoked.into());
    let layer = ApiKeyLayer::new(keys);
    let on_route = Router::new().route("/", get(|| async {}).layer(GuardLayer::new(revoked)));
    let on_route = serve(on_route.layer(layer.clone())).await;
    for address in [start(layer.guard(revoked)).await, on_route] {
        assert_eq!(ask(address, "/", &key).await, ask(address, "/", "ak_unknown").await);
    }
}

#[tokio::test]
async fn a_clock_of_the_layer_does_not_replace_a_limiter_that_was_set() {
    let keys = MemoryStore::new();
    let key = issue(&keys, limited("1 per hour"));
    let limiter = MemoryRateLimiter::new();
    let layer = || ApiKeyLayer::new(keys.clone()).rate_limiter(limiter.clone());
    let with_clock = layer().clock(tower_api_key::SystemClock);
    assert_eq!(ask(start(layer()).await, "/", &key).await.status, 200);
    assert_eq!(ask(start(with_clock).await, "/", &key).await.status, 429);
}

#[tokio::test]
async fn the_longest_wait_is_no_panic() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("free"));
    let forever = |_: &VerifiedKey, _: &RequestHead<'_>| {
        Err(Rejection::new(RejectionKind::RateLimited).with_retry_after(Duration::MAX))
    };
    let response = ask(start(ApiKeyLayer::new(keys).guard(forever)).await, "/", &key).await;
    assert_eq!(response.header("retry-after"), Some("18446744073709551615"));
}
