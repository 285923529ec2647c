//! Spans: the id of the key in the span of a request, as the page on what is seen documents it.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tower::ServiceExt as _;
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, RequestHead, VerifiedKey};
use tower_http::trace::TraceLayer;
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::common::MemoryKeys as _;

/// What a span was exported with.
fn attribute(exporter: &InMemorySpanExporter, name: &str) -> Option<String> {
    let spans = exporter.get_finished_spans().unwrap();
    let [span] = &*spans else { panic!("{spans:?}") };
    assert_eq!(span.name, "request");
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| attribute.value.to_string())
}

#[tokio::test]
async fn the_id_of_the_key_is_an_attribute_of_the_span_of_the_request() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let traced = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = std::sync::Arc::new(tracing_subscriber::registry().with(traced));

    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("robot")).unwrap();
    let span = |_: &Request<_>| tracing::info_span!("request", api_key.id = tracing::field::Empty);
    let app = Router::new()
        .route("/", get(async || "in"))
        .layer(ApiKeyLayer::new(keys).observer(|key: &VerifiedKey, _: &RequestHead<'_>| {
            tracing::Span::current().record("api_key.id", key.id().as_str());
        }))
        .layer(TraceLayer::new_for_http().make_span_with(span));

    for (key, id) in
        [(issued.secret.reveal(), Some(issued.record.id().to_string())), ("ak_1", None)]
    {
        exporter.reset();
        let request = Request::get("/").header("x-api-key", key).body(Body::empty()).unwrap();
        let answer = app.clone().oneshot(request).with_subscriber(subscriber.clone()).await;
        // The span ends with the body.
        drop(answer.unwrap());
        assert_eq!(attribute(&exporter, "api_key.id"), id);
        let spans = format!("{:?}", exporter.get_finished_spans().unwrap());
        assert!(!spans.contains(key));
    }
}
