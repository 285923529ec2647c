//! Events: their target, which filters name.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use regex::Regex;
use tower::ServiceExt as _;
use tower_api_key::{ApiKeyLayer, MemoryStore};

use crate::common::{logged, start_log};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => found.push(path),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn every_event_has_a_target_that_a_filter_can_name() {
    let macros = Regex::new(r"tracing::[$\w]+!\(").unwrap();
    let target = Regex::new(r#"^\s*target: (TARGET|"tower_api_key(::\w+)*"),"#).unwrap();
    // By the name of the crate alone, so that the search above finds them all.
    let imported =
        r"use tracing::(\{[^}]*)?\b(trace|debug|info|warn|error|event|enabled)\b|#\[.*instrument";
    let imported = Regex::new(imported).unwrap();
    let (mut events, mut constants) = (0, Vec::new());
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src")) {
        let source = std::fs::read_to_string(&path).unwrap();
        // Examples have the events of applications.
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let source = source.lines().filter(is_code).collect::<Vec<_>>().join("\n");
        assert!(!imported.is_match(&source), "{} imports from tracing", path.display());
        for event in macros.find_iter(&source) {
            events += 1;
            let arguments = &source[event.end()..];
            assert!(target.is_match(arguments), "an event of {} has no target", path.display());
        }
        constants
            .extend(source.lines().filter(|line| line.contains("const TARGET")).map(str::to_owned));
    }
    assert!(events > 10, "{events} events");
    assert_eq!(constants.len(), 1);
    assert!(constants[0].ends_with(r#"const TARGET: &str = "tower_api_key";"#));
}

#[tokio::test]
async fn a_refusal_is_logged_with_the_target() {
    start_log();
    let app: Router = Router::new()
        .route("/of-the-test-of-targets", get(|| async {}))
        .layer(ApiKeyLayer::new(MemoryStore::new()));
    let request = Request::get("/of-the-test-of-targets").body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), 401);
    let lines = logged("/of-the-test-of-targets");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(" INFO tower_api_key: request refused"), "{lines:?}");
}
