//! A key's text and a request's query appear nowhere, whatever is limited, restricted or only
//! tried.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Empty;
use tower::util::MapResponseLayer;
use tower::{Layer as _, Service as _, service_fn};
use tower_api_key::extract::{FirstOf, Query};
use tower_api_key::guard::{Guard, Report};
use tower_api_key::limit::{LimitDecision, LimitStatus, LimiterError};
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    ApiKeyLayer, FailureThrottle, KeyKind, MemoryRateLimiter, MemoryStore, NewKey, PeerAddress,
    RateLimit, RateLimiter, Rejection, RejectionKind, RequireAbility, TrustedProxies,
};

use crate::common::MemoryKeys as _;
use crate::common::canary::{assert_error_hidden, assert_hidden, forms, gives_away};
use crate::common::request::{RawRequest, request};
use crate::common::{issue, send_raw, serve_known};
use crate::log::{logged, start_log};

const QUERY: &str = "a-query-that-nobody-may-see-4711";

/// A report as it is shown, and all that it tells.
fn show(report: &Report<'_>) -> String {
    let (method, path, rule) = (report.method(), report.path(), report.rule());
    let key = report.key_id();
    format!("{report:?} {report:#?} {method} {path:?} {rule:?} {key:?} {}", report.rejection())
}

/// A policy that lets everything pass, and keeps what it reports.
fn tried(shown: &Arc<Mutex<String>>) -> AccessPolicy {
    let shown = Arc::clone(shown);
    AccessPolicy::builder()
        .allow("GET /reported/{id}", Requirement::ability("x:y"))
        .on_report(move |report| shown.lock().unwrap().push_str(&show(report)))
        .build()
        .unwrap()
        .report_only()
}

/// A key that is restricted in every way, and limited.
fn restricted() -> NewKey {
    NewKey::named("canary")
        .tenant("acme")
        .limit("1 per hour")
        .limit("shared: 9 per day, shared by tenant")
        .addresses(["192.0.2.0/24", "2001:db8::/32"])
        .origins(["https://*.shop.example"])
        .referrers(["https://app.shop.example/*"])
        .endpoints(["GET /reported/*"])
}

#[tokio::test]
async fn no_debug_of_limits_restrictions_and_policies_shows_a_secret_or_a_query() {
    let (keys, shown) = (MemoryStore::new(), Arc::new(Mutex::new(String::new())));
    let issued = keys.issue(restricted()).unwrap();
    let (key, record) = (issued.secret.reveal(), &*issued.record);
    let secrets = [key, QUERY];
    let (limiter, throttle) = (MemoryRateLimiter::new(), FailureThrottle::new("9 per hour"));
    let (policy, proxies) = (tried(&shown), TrustedProxies::networks(["127.0.0.0/8"]));
    let guard = RequireAbility::new("x:y").report_only();
    let decision = limiter.peek(record).await.unwrap();
    let custom = LimitDecision::new([LimitStatus::within(1, Duration::ZERO)]);
    assert_hidden(&(record.limits(), RateLimit::per_hour(1), &decision, custom), &secrets);
    assert_hidden(&(record.restrictions(), &limiter, &throttle, &guard), &secrets);
    assert_hidden(&(&proxies, proxies.clone().forwarded_header()), &secrets);
    assert_hidden(&(TrustedProxies::hops(2), &policy, policy.rules()), &secrets);
    assert_hidden(&policy.explain(Some(record), &Method::GET, "/reported/1"), &secrets);
    assert_hidden(&AccessPolicy::builder().public("GET /x", "a test"), &secrets);
    assert_error_hidden(&LimiterError::new("connection reset"), &secrets);
    let layer = ApiKeyLayer::new(keys.clone())
        .extractor(FirstOf::default().or(Query::new("token")))
        .rate_limiter(limiter.clone())
        .failure_throttle(throttle.clone())
        .trusted_proxies(proxies)
        .policy(policy)
        .guard(guard);
    let mut kinds = Vec::new();
    for (carried, client, page) in [
        (key, "192.0.2.1", "https://app.shop.example"),
        (key, "192.0.2.1", "https://app.shop.example"),
        (key, "192.0.2.1", "https://evil.example"),
        (key, "198.51.100.7", "https://app.shop.example"),
        (&*format!("{key}x"), "192.0.2.1", "https://app.shop.example"),
    ] {
        let request = Request::get(format!("/reported/1?token={carried}&{QUERY}"))
            .header("x-forwarded-for", client)
            .header("origin", page)
            .header("referer", format!("{page}/?{key}&{QUERY}"));
        let mut request = request.body(Empty::new()).unwrap();
        request.extensions_mut().insert(PeerAddress("127.0.0.1:50000".parse().unwrap()));
        let inner = async |_: Request<Empty<Bytes>>| Ok::<_, Infallible>(http::Response::new(()));
        let mut service = layer.layer(service_fn(inner));
        let response = service.call(request).await.unwrap();
        assert_hidden(&(&service, &response, &limiter, &throttle), &secrets);
        let rejection = response.extensions().get::<Rejection>();
        rejection.inspect(|rejection| assert_error_hidden(*rejection, &secrets));
        kinds.push(rejection.map(Rejection::kind));
    }
    let refused = [RejectionKind::RateLimited, RejectionKind::NotAllowed];
    let [limited, not_allowed] = refused.map(Some);
    let unknown = Some(RejectionKind::Unknown);
    assert_eq!(kinds, [None, limited, not_allowed, not_allowed, unknown]);
    let shown = shown.lock().unwrap();
    assert!(shown.contains("Missing ability: x:y") && shown.contains(record.id().as_str()));
    assert_hidden(&*shown, &secrets);
    assert!(!shown.contains(QUERY));
}

/// Makes a request that carries a key.
type Carries = fn(&str) -> RawRequest;

#[tokio::test]
async fn no_log_of_what_is_limited_restricted_or_only_tried_shows_a_secret_or_a_query() {
    start_log();
    let (keys, shown) = (MemoryStore::new(), Arc::new(Mutex::new(String::new())));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let layer = || {
        let layer = ApiKeyLayer::new(keys.clone()).x_rate_limit_headers();
        layer.extractor(FirstOf::default().or(Query::new("token")))
    };
    let reported = layer().guard(tried(&shown)).guard(RequireAbility::new("x:y").report_only());
    let throttled = layer().failure_throttle(FailureThrottle::new("1 per hour"));
    let start = async |layer| {
        let keep = Arc::clone(&seen);
        let keep = MapResponseLayer::new(move |response: Response| {
            keep.lock().unwrap().extend(response.extensions().get::<Rejection>().cloned());
            response
        });
        let app = Router::new().fallback(any(async || "in")).layer(layer).layer(keep);
        serve_known("127.0.0.1", app).await.unwrap()
    };
    let (reported, throttled) = (start(reported).await, start(throttled).await);
    let mut sent = Vec::new();
    let named = || NewKey::named("canary");
    let all: [(SocketAddr, [u16; 2], NewKey, Carries); 12] = [
        (reported, [200, 429], named().limit("1 per hour"), |key| {
            request(format!("GET /limited?token={key}&{QUERY}"))
        }),
        (reported, [200, 429], named().limit("1 per hour"), |key| {
            request(format!("GET /limited?{QUERY}")).key(key)
        }),
        (reported, [403, 403], named().addresses(["10.0.0.0/8"]), |key| {
            request(format!("GET /addresses?token={key}&{QUERY}"))
                .line(format!("x-forwarded-for: {key}"))
        }),
        (reported, [403, 403], named().origins(["https://a.example"]), |key| {
            request(format!("GET /origins?token={key}&{QUERY}"))
                .line(format!("origin: https://{key}.example"))
        }),
        (reported, [200, 200], named().referrers(["https://a.example/*"]), |key| {
            request(format!("GET /referrers?{QUERY}"))
                .key(key)
                .line(format!("referer: https://a.example/?{key}&{QUERY}"))
        }),
        (reported, [403, 403], named().referrers(["https://a.example/*"]), |key| {
            request(format!("GET /referrers?{QUERY}"))
                .key(key)
                .line(format!("referer: https://b.example/?{key}&{QUERY}"))
        }),
        (reported, [403, 403], named().endpoints(["GET /other"]), |key| {
            request(format!("GET /endpoints?token={key}&{QUERY}"))
        }),
        (
            reported,
            [403, 403],
            named().kind(KeyKind::Public).origins(["https://a.example"]),
            |key| {
                request(format!("GET /public?{QUERY}")).key(key).line("origin: https://a.example")
            },
        ),
        (reported, [200, 200], named(), |key| {
            request(format!("GET /reported/1?token={key}&{QUERY}"))
                .line(format!("referer: https://a.example/?{key}&{QUERY}"))
        }),
        (reported, [200, 200], named(), |key| {
            request(format!("GET /unlisted?{QUERY}")).line(format!("authorization: Bearer {key}"))
        }),
        (throttled, [401, 429], named(), |key| {
            request(format!("GET /throttled?token={key}x&{QUERY}"))
                .line(format!("x-forwarded-for: {key}"))
        }),
        (throttled, [429, 429], named(), |key| request(format!("GET /throttled?{QUERY}")).key(key)),
    ];
    for (address, statuses, new, request) in all {
        let key = issue(&keys, new);
        let request = request(&key);
        for status in statuses {
            let response = send_raw(address, &request).await;
            assert_eq!(response.status, status, "{request}");
            let answer = format!("{:?} {}", response.headers, response.text());
            assert!(!gives_away(&answer, &key) && !answer.contains(QUERY), "{answer}");
        }
        sent.push((request, key));
    }
    let shown = shown.lock().unwrap();
    for (request, key) in &sent {
        for form in forms(key) {
            assert_eq!(logged(&form), [""; 0], "{request}");
        }
        assert!(!gives_away(&shown, key), "{request}");
        for rejection in &*seen.lock().unwrap() {
            assert_error_hidden(rejection, &[key, QUERY]);
        }
    }
    assert_eq!(logged(QUERY), [""; 0]);
    assert!(!shown.contains(QUERY));
    // All of it was logged and reported.
    let kinds: HashSet<_> = seen.lock().unwrap().iter().map(Rejection::kind).collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    for part in ["kind=\"rate_limited\"", "kind=\"not_allowed\"", "kind=\"missing_ability\""] {
        assert!(logged(part).len() > 1, "{part}");
    }
    assert!(logged("would be refused").iter().any(|line| line.contains("path=\"/reported/1\"")));
    assert!(shown.contains("/unlisted") && shown.contains("Missing ability: x:y"));
}
