//! tower-http's layers around the layer and within it, in every order.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderName, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_api_key::JoinVary;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::{DefaultMakeSpan, DefaultOnRequest, DefaultOnResponse, TraceLayer};
use tracing_subscriber::fmt::MakeWriter;

use crate::contract::{Answer, Keys, axum_app, check, check_served, serve};

const ID: HeaderName = HeaderName::from_static("x-request-id");
const ORIGIN: &str = "https://app.acme.example";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Each {
    Keys,
    Cors,
    Trace,
    Compression,
    Timeout,
    CatchPanic,
}

use Each::{CatchPanic, Compression, Cors, Timeout, Trace};

const ALL: [Each; 6] = [Each::Keys, Cors, Trace, Compression, Timeout, CatchPanic];

impl Each {
    fn mount(self, app: Router, keys: &Keys) -> Router {
        match self {
            Self::Keys => app.layer(keys.layer()),
            Cors => app.layer(
                CorsLayer::new()
                    .allow_origin([ORIGIN.parse().unwrap()])
                    .allow_methods([Method::GET])
                    .allow_headers([HeaderName::from_static("x-api-key")]),
            ),
            Trace => app.layer(
                TraceLayer::new_for_http()
                    .make_span_with(DefaultMakeSpan::new().include_headers(true))
                    .on_request(DefaultOnRequest::new())
                    .on_response(DefaultOnResponse::new().include_headers(true)),
            ),
            Compression => app.layer(CompressionLayer::new()),
            Timeout => app.layer(TimeoutLayer::with_status_code(
                StatusCode::GATEWAY_TIMEOUT,
                Duration::from_secs(5),
            )),
            CatchPanic => app.layer(CatchPanicLayer::custom(|_: Box<dyn Any + Send>| {
                let mut response = http::Response::new(Body::from("it panicked"));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            })),
        }
    }
}

/// Returns every order of the layers.
fn orders(of: &[Each]) -> Vec<Vec<Each>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, first) in of.iter().enumerate() {
        let rest = [&of[..index], &of[index + 1..]].concat();
        all.extend(orders(&rest).into_iter().map(|rest| [&[*first], &*rest].concat()));
    }
    all
}

/// Makes the application with these layers, from the innermost to the outermost, and outside of them
/// those that belong there.
fn stack(order: &[Each], keys: &Keys) -> Router {
    let app = axum_app()
        .route("/large", get(async || "x".repeat(10_000)))
        .route("/slow", get(std::future::pending::<()>))
        .route("/panic", get(async || -> &'static str { panic!("as asked for") }));
    let app = order.iter().fold(app, |app, each| each.mount(app, keys));
    app.layer(SetSensitiveRequestHeadersLayer::new([
        HeaderName::from_static("x-api-key"),
        header::AUTHORIZATION,
    ]))
    .layer(PropagateRequestIdLayer::new(ID))
    .layer(SetRequestIdLayer::new(ID, MakeRequestUuid))
    .layer(JoinVary)
}

async fn ask(app: &Router, request: Request<()>) -> Answer {
    let response = app.clone().oneshot(request.map(|()| Body::empty())).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn get_as(keys: &Keys, path: &str) -> http::request::Builder {
    Request::get(path).header("x-api-key", &keys.reader)
}

#[tokio::test(start_paused = true)]
async fn the_contract_holds_in_every_order() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"as asked for") {
            tell(panic);
        }
    }));
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(log.clone())
        .finish();
    tracing_subscriber::util::SubscriberInitExt::init(subscriber);

    let keys = Keys::new();
    let orders = orders(&ALL);
    assert_eq!(orders.len(), 720);
    for order in &orders {
        let app = stack(order, &keys);
        let is_outside = |of: Each| {
            let place = |each| order.iter().position(|found| *found == each).unwrap();
            place(of) > place(Each::Keys)
        };
        let asked = async |request: http::request::Builder| {
            let answer = ask(&app, request.body(()).unwrap()).await;
            assert!(answer.header("x-request-id").is_some(), "{order:?}");
            answer
        };

        check(async |request| ask(&app, request).await, &keys).await;

        let large = get_as(&keys, "/large").header("accept-encoding", "gzip");
        let large = asked(large).await;
        assert_eq!(large.header("content-encoding"), Some("gzip"), "{order:?}");
        assert_eq!(large.header("cache-control"), Some("private"));
        assert!(large.header("vary").unwrap().contains("accept-encoding"), "{large:?}");

        // What ends within the layer is for its key alone, what ends outside of it has nothing of it.
        for (path, by, status) in [("/slow", Timeout, 504), ("/panic", CatchPanic, 500)] {
            let ended = asked(get_as(&keys, path)).await;
            assert_eq!(ended.status, status, "{path} {order:?}");
            let private = (!is_outside(by)).then_some("private");
            assert_eq!(ended.header("cache-control"), private, "{path} {order:?}");
            let refused = asked(Request::get(path)).await;
            assert_eq!(refused.status, 401, "{path} {order:?}");
        }

        // Pages read refusals, and browsers ask before they send keys, only if CORS is outside.
        let refused = asked(Request::get("/bots").header("origin", ORIGIN)).await;
        let allows = refused.header("access-control-allow-origin");
        assert_eq!(allows, is_outside(Cors).then_some(ORIGIN), "{order:?}");
        let preflight = Request::options("/bots")
            .header("origin", ORIGIN)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "x-api-key");
        let preflight = asked(preflight).await;
        assert_eq!(preflight.status, if is_outside(Cors) { 200 } else { 401 }, "{order:?}");
    }

    let log = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
    // The trace layer tells of all headers.
    assert!(log.contains("\"x-api-key\": Sensitive") && log.contains("x-request-id"));
    assert!(!log.contains(&keys.reader), "a key is in the log");
}

#[tokio::test]
async fn the_contract_holds_over_sockets_in_the_order_that_is_advised() {
    let keys = Keys::new();
    let order = [Timeout, CatchPanic, Each::Keys, Compression, Cors, Trace];
    check_served(serve(stack(&order, &keys)).await, &keys).await;
}
