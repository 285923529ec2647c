//! The facts of happily.txt, against `examples/stages.rs`.

use crate::example::Example;
use serde_json::json;

#[tokio::test]
async fn a_key_shows_the_data_of_its_company_and_stage_only() {
    let stages = Example::start("stages");
    let of = async |label: &str, path: &str| {
        let response = stages.get_as(label, path).await;
        assert_eq!(response.status, 200, "{label} {path}");
        response.json()
    };
    let acme_prod = of("acme-prod", "/prod/1/questions").await;
    assert_eq!((&acme_prod["company"], &acme_prod["stage"]), (&json!("acme"), &json!("prod")));
    let acme_dev = of("acme-dev", "/dev/1/questions").await;
    assert_eq!((&acme_dev["company"], &acme_dev["stage"]), (&json!("acme"), &json!("dev")));
    let globex = of("globex-prod", "/prod/1/questions").await;
    assert_eq!((&globex["company"], &globex["stage"]), (&json!("globex"), &json!("prod")));
    let mut seen = std::collections::HashSet::new();
    for answer in [&acme_prod, &acme_dev, &globex] {
        let questions = answer["questions"].as_array().unwrap();
        assert!(!questions.is_empty());
        for question in questions {
            assert!(seen.insert(question.to_string()), "{question} is shown to two keys");
        }
    }
}

#[tokio::test]
async fn refusals_are_documented_word_for_word() {
    let stages = Example::start("stages");
    let refused = async |lines: &[&str], path: &str, message: &str| {
        let response = stages.get(path, lines).await;
        assert_eq!(response.status, 403, "{lines:?} {path}");
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.json(), json!({ "message": message }));
    };
    let key = |label: &str| format!("x-api-key: {}", stages.key(label));
    let (prod, dev) = ("/prod/1/questions", "/dev/1/questions");
    refused(&[], prod, "Forbidden").await;
    refused(&["x-api-key: nobody-knows-me"], prod, "Invalid API Key").await;
    refused(&["x-api-key:"], prod, "Invalid API Key").await;
    refused(&[&key("acme-retired")], prod, "Invalid API Key").await;
    refused(&[&key("acme-prod")], dev, "Invalid API Key by stage").await;
    refused(&[&key("acme-dev")], prod, "Invalid API Key by stage").await;
    refused(&[&key("globex-prod")], dev, "Invalid API Key by stage").await;
}

#[tokio::test]
async fn a_key_in_another_place_is_a_missing_key() {
    let stages = Example::start("stages");
    let bearer = format!("authorization: Bearer {}", stages.key("acme-prod"));
    let response = stages.get("/prod/1/questions", &[&bearer]).await;
    assert_eq!((response.status, response.json()), (403, json!({ "message": "Forbidden" })));
    let query = format!("/prod/1/questions?x-api-key={}", stages.key("acme-prod"));
    let response = stages.get(&query, &[]).await;
    assert_eq!((response.status, response.json()), (403, json!({ "message": "Forbidden" })));
}

#[tokio::test]
async fn a_path_that_hides_its_stage_is_refused() {
    let stages = Example::start("stages");
    for path in [
        "//prod/1/questions",
        "/PROD/1/questions",
        "/pr%6Fd/1/questions",
        "/prod/../dev/1/questions",
        "/dev/%2e%2e/prod/1/questions",
        "/prod;x=1/1/questions",
        "/prod%2F1/1/questions",
    ] {
        let response = stages.get_as("acme-prod", path).await;
        assert!(matches!(response.status, 403 | 404), "{path}: {}", response.status);
    }
}
