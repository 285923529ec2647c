//! utoipa-axum, which makes the document and the router of one list of handlers.

use axum::Json;
use axum::routing::get;
use http::{HeaderMap, Request, StatusCode};
use serde_json::json;
use tower_api_key::VerifiedKey;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::contract::{Keys, ask, check_served, list, policy, serve};

/// Lists the bots.
#[utoipa::path(get, path = "/bots", responses((status = 200, description = "All bots", body = String)))]
async fn list_bots(key: VerifiedKey, headers: HeaderMap) -> String {
    list(&key, &headers)
}

/// Makes a bot.
#[utoipa::path(post, path = "/bots", responses((status = 201, description = "It is there")))]
async fn create_bot() -> StatusCode {
    StatusCode::CREATED
}

#[tokio::test]
async fn the_document_of_the_routes_says_what_the_layer_does() {
    let keys = Keys::new();
    let layer = keys.layer().policy(policy());
    let routes = OpenApiRouter::new().routes(routes!(list_bots, create_bot)).layer(layer.clone());
    let (app, mut document) = routes.split_for_parts();
    layer.security_schemes().with_responses().add_to(&mut document);
    // A document is for everybody: this route is outside of the layer.
    let app = app.route("/openapi.json", get(async move || Json(document)));
    let address = serve(app).await;
    check_served(address, &keys).await;

    let document = Request::get("/openapi.json").body(()).unwrap();
    let document = ask(address, document).await.json();
    let create = &document["paths"]["/bots"]["post"];
    let security = json!([
        { "header.x-api-key": ["bots:write"] },
        { "authorization.bearer": ["bots:write"] },
    ]);
    assert_eq!(create["security"], security);
    let statuses: Vec<_> = create["responses"].as_object().unwrap().keys().collect();
    assert_eq!(statuses, ["201", "401", "403", "429", "503"]);
}
