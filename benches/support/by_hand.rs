//! What people write by hand for axum.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use sha2::{Digest as _, Sha256};

#[derive(Clone)]
struct Record {
    _tenant: String,
    revoked: bool,
}

type Records = Arc<RwLock<HashMap<String, Record>>>;

async fn hand_rolled(State(records): State<Records>, mut request: Request, next: Next) -> Response {
    let key = request.headers().get("x-api-key").and_then(|value| value.to_str().ok());
    let Some(key) = key else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let digest = hex::encode(Sha256::digest(key));
    let record = records.read().unwrap().get(&digest).cloned();
    match record {
        Some(record) if !record.revoked => {
            request.extensions_mut().insert(record);
            next.run(request).await
        }
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// Puts the middleware, which knows one key, in front of a router.
pub fn protect(router: Router, key: &str) -> Router {
    let record = Record { _tenant: "acme".to_owned(), revoked: false };
    let digest = hex::encode(Sha256::digest(key));
    let records: Records = Arc::new(RwLock::new(HashMap::from([(digest, record)])));
    router.layer(middleware::from_fn_with_state(records, hand_rolled))
}
