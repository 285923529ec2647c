//! Wherever a request carries its key, no event, no report and no `Debug` shows it.

use std::collections::HashSet;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::SystemTime;

use async_trait::async_trait;
use axum::Router;
use axum::response::Response;
use axum::routing::any;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use http::header::COOKIE;
use percent_encoding::percent_decode;
use tower::util::MapResponseLayer;
use tower_api_key::extract::{
    AuthorizationScheme, Basic, Cookie, Credential, Extract, FirstOf, Query, Subprotocol,
};
use tower_api_key::guard::{Guard as _, Report};
use tower_api_key::limit::{LimitDecision, LimiterError};
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    ApiKeyLayer, FailureThrottle, GuardLayer, KeyRecord, MemoryRateLimiter, MemoryStore, NewKey,
    RateLimiter, Rejection, RequestHead, RequireAbility, Respond as _, Responder, StoreError,
    VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::canary::{forms, gives_away};
use crate::common::{OddStore, send_raw, serve_known};
use crate::log::{logged, start_log};

type Found<'a> = Result<Option<Credential<'a>>, Rejection>;

/// A place for a key: how a request line and a header carry it, and what finds it there.
struct Place {
    name: &'static str,
    target: &'static str,
    line: &'static str,
    encode: fn(&str) -> String,
    extractor: Arc<dyn Extract>,
}

/// Returns the segment that may be a key.
fn segment<'a>(head: &RequestHead<'a>) -> Option<&'a str> {
    head.original_uri().path().strip_prefix("/hooks/")?.split('/').next()
}

fn in_path<'a>(head: &RequestHead<'a>) -> Found<'a> {
    Ok(segment(head).map(|key| Credential::elsewhere(key.as_bytes())))
}

fn in_path_encoded<'a>(head: &RequestHead<'a>) -> Found<'a> {
    let decoded = segment(head).map(|key| percent_decode(key.as_bytes()).collect::<Vec<_>>());
    Ok(decoded.map(Credential::elsewhere))
}

fn in_path_base64<'a>(head: &RequestHead<'a>) -> Found<'a> {
    let decoded = segment(head).and_then(|key| BASE64_URL_SAFE.decode(key).ok());
    Ok(decoded.map(Credential::elsewhere))
}

fn as_user<'a>(head: &RequestHead<'a>) -> Found<'a> {
    let user = head.uri().authority().and_then(|host| host.as_str().split_once('@'));
    Ok(user.map(|(user, _)| Credential::elsewhere(user.as_bytes())))
}

fn in_cookie<'a>(head: &RequestHead<'a>) -> Found<'a> {
    let cookies = head.headers().get(COOKIE).map(|value| value.as_bytes());
    let key = cookies.and_then(|cookies| cookies.strip_prefix(b"key="));
    Ok(key.map(|key| Credential::in_header(COOKIE, key)))
}

fn percent(key: &str) -> String {
    key.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn places() -> Vec<Place> {
    let place = |name, target, line, encode, extractor: Arc<dyn Extract>| Place {
        name,
        target,
        line,
        encode,
        extractor,
    };
    let (plain, all, other) = (str::to_owned as fn(&str) -> String, "/hooks/$", "/hooks/1");
    vec![
        place("header", other, "x-api-key: $", plain, Arc::new(FirstOf::default())),
        place("bearer", other, "authorization: Bearer $", plain, Arc::new(FirstOf::default())),
        place("scheme", other, "authorization: Token $", plain, {
            Arc::new(AuthorizationScheme::new("Token"))
        }),
        place("basic", other, "authorization: Basic $", basic, Arc::new(Basic)),
        place("query", "/hooks/1?key=$", "a: b", plain, Arc::new(Query::new("key"))),
        place("encoded query", "/hooks/1?key=$", "a: b", percent, Arc::new(Query::new("key"))),
        place("cookie", other, "cookie: a=b; key=$", plain, Arc::new(Cookie::new("key"))),
        place("all cookies", other, "cookie: key=$", plain, Arc::new(in_cookie)),
        place("subprotocol", other, "sec-websocket-protocol: realtime, key.$", plain, {
            Arc::new(Subprotocol::default())
        }),
        place("user", "http://$@localhost/hooks/1", "a: b", plain, Arc::new(as_user)),
        place("path", all, "a: b", plain, Arc::new(in_path)),
        place("encoded path", all, "a: b", percent, Arc::new(in_path_encoded)),
        place("base64 path", all, "a: b", base64, Arc::new(in_path_base64)),
        place("one of two", all, "a: b", plain, Arc::new(FirstOf::new(Basic, in_path))),
    ]
}

fn basic(key: &str) -> String {
    BASE64_STANDARD.encode(format!("{key}:"))
}

fn base64(key: &str) -> String {
    BASE64_URL_SAFE.encode(key)
}

/// Looks where it is told.
struct Shared(Arc<dyn Extract>);

impl Extract for Shared {
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Found<'a> {
        self.0.extract(head)
    }

    fn reads_path(&self) -> bool {
        self.0.reads_path()
    }
}

/// A limiter that fails when it is asked, or when it should take back.
struct Broken {
    reserves: bool,
}

#[async_trait]
impl RateLimiter for Broken {
    async fn reserve(&self, key: &KeyRecord, cost: u32) -> Result<LimitDecision, LimiterError> {
        match self.reserves {
            true => MemoryRateLimiter::new().reserve(key, cost).await,
            false => Err(LimiterError::new("down")),
        }
    }

    async fn refund(
        &self,
        _: &KeyRecord,
        _: u32,
        _: &LimitDecision,
    ) -> Result<LimitDecision, LimiterError> {
        Err(LimiterError::new("down"))
    }
}

/// What callbacks show of what they are given, and the rejections of all responses.
#[derive(Clone, Default)]
struct Seen {
    shown: Arc<Mutex<String>>,
    rejections: Arc<Mutex<Vec<Rejection>>>,
}

impl Seen {
    fn show(&self, head: &RequestHead<'_>) {
        self.shown.lock().unwrap().push_str(&format!("{head:?} {head:#?}\n"));
    }

    fn report(&self) -> impl Fn(&Report<'_>) + Send + Sync + 'static {
        let shown = Arc::clone(&self.shown);
        move |report| {
            let (method, path, rule) = (report.method(), report.path(), report.rule());
            let text = format!("{report:?} {report:#?} {method} {path:?} {rule:?}\n");
            shown.lock().unwrap().push_str(&text);
        }
    }

    /// Shows every head that is handed to a callback.
    fn watch(&self, layer: ApiKeyLayer) -> ApiKeyLayer {
        let [guarded, used, costs, refused] = [(); 4].map(|()| self.clone());
        let responder = Responder::problem_json();
        layer
            .guard(move |_: &VerifiedKey, head: &RequestHead<'_>| {
                guarded.show(head);
                Ok(())
            })
            .observer(move |_: &VerifiedKey, head: &RequestHead<'_>| used.show(head))
            .request_cost(move |_, head| {
                costs.show(head);
                1
            })
            .responder(move |rejection: &Rejection, head: &RequestHead<'_>| {
                refused.show(head);
                responder.respond(rejection, head)
            })
    }

    fn policy(&self) -> AccessPolicy {
        AccessPolicy::builder()
            .allow("GET /hooks/{key}", Requirement::ability("x:y"))
            .on_report(self.report())
            .build()
            .unwrap()
            .report_only()
    }

    async fn serve(&self, app: Router) -> SocketAddr {
        let rejections = Arc::clone(&self.rejections);
        let keep = MapResponseLayer::new(move |response: Response| {
            rejections.lock().unwrap().extend(response.extensions().get::<Rejection>().cloned());
            response
        });
        serve_known("127.0.0.1", app.layer(keep)).await.unwrap()
    }
}

fn app() -> Router {
    Router::new().route("/hooks/{key}", any(async || "in"))
}

#[tokio::test]
async fn no_place_of_a_key_is_shown_whatever_becomes_of_the_request() {
    start_log();
    let (seen, keys) = (Seen::default(), MemoryStore::new());
    let mut sent = Vec::new();
    for place in places() {
        let extractor = || Shared(Arc::clone(&place.extractor));
        let layer = || seen.watch(ApiKeyLayer::new(keys.clone()).extractor(extractor()));
        let needs = || RequireAbility::new("x:y");
        let report = || needs().report_only().on_report(seen.report());
        let within = |guard: GuardLayer| {
            Router::new().route("/hooks/{key}", any(async || "in").layer(guard))
        };
        let down =
            OddStore { answer: || Poll::Ready(Err(StoreError::new("down"))), at_once: false };
        let down = seen.watch(ApiKeyLayer::new(down).extractor(extractor()));
        let failing = |reserves| layer().rate_limiter(Broken { reserves });
        let throttle = FailureThrottle::new("1 per hour");
        for (case, statuses, app) in [
            ("accepted", [200, 200], app().layer(layer())),
            ("kept", [200, 200], app().layer(layer().keep_credential())),
            ("unknown", [401, 401], app().layer(layer())),
            ("malformed", [401, 401], app().layer(layer())),
            ("too long", [401, 401], app().layer(layer())),
            ("revoked", [401, 401], app().layer(layer())),
            ("expired", [401, 401], app().layer(layer())),
            ("limited", [200, 429], app().layer(layer())),
            ("unknown throttled", [401, 429], app().layer(layer().failure_throttle(throttle))),
            ("unavailable", [503, 503], app().layer(down)),
            ("limited unlimited", [503, 503], app().layer(failing(false))),
            ("limited uncounted", [200, 200], {
                app().layer(failing(false).allow_when_limiter_fails())
            }),
            ("limited not refunded", [403, 403], {
                within(GuardLayer::new(needs())).layer(failing(true))
            }),
            ("guard", [403, 403], app().layer(layer().guard(needs()))),
            ("guard on trial", [200, 200], app().layer(layer().guard(report()))),
            ("policy on trial", [200, 200], app().layer(layer().policy(seen.policy()))),
            ("nobody on trial", [200, 200], {
                let nobody = ApiKeyLayer::new(keys.clone()).extractor(extractor());
                app().layer(seen.watch(nobody).optional().policy(seen.policy()))
            }),
            ("guard on a route", [403, 403], within(GuardLayer::new(needs())).layer(layer())),
            ("trial on a route", [200, 200], within(GuardLayer::new(report())).layer(layer())),
            ("another layer within", [401, 401], {
                app().layer(ApiKeyLayer::new(MemoryStore::new())).layer(layer())
            }),
            ("nested", [403, 403], {
                let inner = Router::new().route("/{key}", any(async || "in"));
                Router::new().nest("/hooks", inner.layer(layer().guard(needs())))
            }),
            ("no layer", [500, 500], within(GuardLayer::new(needs()))),
        ] {
            let new = NewKey::named("canary");
            let new = match case {
                "expired" => new.expires_at(SystemTime::now()),
                _ if case.starts_with("limited") => new.limit("1 per hour"),
                _ => new,
            };
            let issued = keys.issue(new).unwrap();
            assert!(case != "revoked" || keys.revoke(issued.record.id()));
            let key = issued.secret.reveal();
            let presented = match case {
                // A key has no such character, and a target may.
                "malformed" if place.name == "subprotocol" => format!("{key}="),
                "malformed" => format!("{key},"),
                "too long" => key.repeat(12),
                _ if case.starts_with("unknown") => format!("{key}x"),
                _ => key.to_owned(),
            };
            let presented = (place.encode)(&presented);
            let target = place.target.replace('$', &presented);
            let text = format!("GET {target} HTTP/1.1\r\n{}", place.line.replace('$', &presented));
            let address = seen.serve(app).await;
            for status in statuses {
                let response = send_raw(address, &text).await;
                let told = (place.name, case);
                assert_eq!(response.status, status, "{told:?}");
                let answer = format!("{:?} {}", response.headers, response.text());
                assert!(!gives_away(&answer, key), "{told:?} {answer}");
            }
            sent.push((place.name, case, presented, issued.secret));
        }
    }
    let (shown, rejections) = (seen.shown.lock().unwrap(), seen.rejections.lock().unwrap());
    let mut all = logged("").concat() + &shown;
    for rejection in &*rejections {
        let mut error: Option<&dyn Error> = Some(rejection);
        while let Some(inner) = error {
            all.push_str(&format!("{inner} {inner:?}"));
            error = inner.source();
        }
    }
    // `{:#?}` breaks lists into lines.
    let all: String = all.split_whitespace().collect();
    for (place, case, presented, key) in &sent {
        for form in forms(key.reveal()).iter().chain([presented]) {
            assert!(!all.contains(form), "{place}, {case}");
        }
    }
    // All of it was logged and shown.
    let kinds: HashSet<_> = rejections.iter().map(Rejection::kind).collect();
    assert!(kinds.len() >= 9, "{kinds:?}");
    for part in [
        "a guard or a handler saw no verified key",
        "API keys cannot be verified",
        "requests pass uncounted",
        "refused requests stay counted",
        "request would be refused",
        "kind=\"rate_limited\"",
        "path=\"/hooks/1\"",
    ] {
        assert!(!logged(part).is_empty(), "{part}");
    }
    assert!(shown.contains("Some(\"/hooks/1\")") && shown.contains("RequestHead"));
}
