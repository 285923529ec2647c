//! aide, whose documents are types of its own: what the layer adds goes through JSON.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use aide::openapi::OpenApi;
use axum::http::HeaderMap;
use http::StatusCode;
use serde_json::{Value, json};
use tower_api_key::{ApiKeyLayer, VerifiedKey};

use crate::contract::{Keys, check_served, list, policy, serve};

fn routes() -> ApiRouter {
    // aide asks of extractors what they are in a document, and leaves those out that axum has made a
    // part of the request before.
    let list = async |request: axum::extract::Request| {
        list(request.extensions().get::<VerifiedKey>().unwrap(), request.headers())
    };
    // utoipa wants that an operation has responses.
    let list =
        get_with(list, |operation| operation.summary("Lists the bots").response::<200, String>());
    let create = async |_: HeaderMap| StatusCode::CREATED;
    let bots = list.post_with(create, |operation| operation.response::<201, ()>());
    ApiRouter::new().api_route("/bots", bots)
}

/// Adds what the layer does to a document of aide.
fn describe(layer: &ApiKeyLayer, document: &OpenApi) -> Value {
    let document = serde_json::to_value(document).unwrap();
    let mut document: utoipa::openapi::OpenApi = serde_json::from_value(document).unwrap();
    layer.security_schemes().with_responses().add_to(&mut document);
    serde_json::to_value(document).unwrap()
}

#[tokio::test]
async fn a_document_of_aide_says_what_the_layer_does() {
    let keys = Keys::new();
    let layer = keys.layer().policy(policy());
    let mut document = OpenApi::default();
    let app = routes().finish_api(&mut document).layer(layer.clone());
    check_served(serve(app).await, &keys).await;

    let before = serde_json::to_value(&document).unwrap();
    let after = describe(&layer, &document);
    let list = &after["paths"]["/bots"]["get"];
    assert_eq!(list["summary"], before["paths"]["/bots"]["get"]["summary"]);
    let security = json!([
        { "header.x-api-key": ["bots:read"] },
        { "authorization.bearer": ["bots:read"] },
    ]);
    assert_eq!(list["security"], security);
    assert_eq!(list["responses"]["401"]["$ref"], "#/components/responses/ApiKeyUnauthorized");
    assert!(after["components"]["securitySchemes"]["header.x-api-key"].is_object());
}
