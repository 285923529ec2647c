//! Keys bound to a company and a stage, where the stage is the first segment of the path
//! (happily.txt).
//!
//! ```sh
//! cargo run --example stages
//! ```
//!
//! It prints four keys; `$ACME_PROD` and so on stand for them:
//!
//! ```sh
//! curl -H "x-api-key: $ACME_PROD" http://127.0.0.1:3000/prod/1/questions  # 200, acme's questions
//! curl -H "x-api-key: $ACME_DEV" http://127.0.0.1:3000/dev/1/questions    # 200, others
//! curl -H "x-api-key: $ACME_PROD" http://127.0.0.1:3000/dev/1/questions   # 403 Invalid API Key by stage
//! curl -H "x-api-key: $ACME_RETIRED" http://127.0.0.1:3000/prod/1/questions  # 403 Invalid API Key
//! curl http://127.0.0.1:3000/prod/1/questions                             # 403 Forbidden
//! ```

#[path = "support/mod.rs"]
mod support;

use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use tower_api_key::extract::Header;
use tower_api_key::{
    ApiKeyLayer, MemoryStore, NewKey, RejectionKind, RequireStage, Responder, VerifiedKey,
};

/// Company, stage and text of every question.
const QUESTIONS: [(&str, &str, &str); 4] = [
    ("acme", "prod", "How happy are you at work today?"),
    ("acme", "prod", "Do you have what you need?"),
    ("acme", "dev", "Is this a test?"),
    ("globex", "prod", "Would you recommend us?"),
];

fn app(keys: MemoryStore) -> Router {
    let answers = Responder::json()
        .answer(RejectionKind::Missing, StatusCode::FORBIDDEN, "Forbidden")
        .answer_invalid(StatusCode::FORBIDDEN, "Invalid API Key")
        .answer(RejectionKind::Ambiguous, StatusCode::FORBIDDEN, "Invalid API Key")
        .answer(RejectionKind::WrongStage, StatusCode::FORBIDDEN, "Invalid API Key by stage");
    Router::new().route("/{stage}/1/questions", get(questions)).layer(
        ApiKeyLayer::new(keys)
            .extractor(Header::x_api_key())
            .guard(RequireStage::in_path_segment(0))
            .responder(answers),
    )
}

/// Shows the questions of the key's company and stage. The layer has checked the stage in the path.
async fn questions(key: VerifiedKey) -> Json<Value> {
    let company = key.tenant().map_or("", |tenant| tenant.as_str());
    let stage = key.stage().map_or("", |stage| stage.as_str());
    let own = QUESTIONS.iter().filter(|(of, at, _)| *of == company && *at == stage);
    let questions: Vec<_> = own.map(|(_, _, text)| text).collect();
    Json(json!({ "company": company, "stage": stage, "questions": questions }))
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let keys = MemoryStore::new();
    for (label, company, stage) in [
        ("acme-prod", "acme", "prod"),
        ("acme-dev", "acme", "dev"),
        ("globex-prod", "globex", "prod"),
        ("acme-retired", "acme", "prod"),
    ] {
        let issued = keys.issue(NewKey::named(label).tenant(company).stage(stage))?;
        if label == "acme-retired" {
            // Rotated: its successor is `acme-prod`, and both were valid during the grace period.
            assert!(keys.revoke(issued.record.id()));
        }
        support::print_key(label, &issued);
    }
    support::serve(app(keys)).await
}
