//! Policies, rules and guards that are only tried: what they report, and what they do not open.

use std::sync::mpsc::{self, Receiver, Sender};

use axum::Router;
use tower_api_key::guard::{Guard, Report};
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    ApiKeyLayer, MemoryStore, NewKey, Rejection, RequestHead, RequireAbility, VerifiedKey,
};

use crate::app::{OF_SHOP, app, expect, gets, on_layer, policy, public, serve_mounted, start};
use crate::common::MemoryKeys as _;
use crate::common::request::request;
use crate::common::{issue, logged, start_log};

type Reports = (Sender<String>, Receiver<String>);

fn tell(sender: &Sender<String>) -> impl Fn(&Report<'_>) + Send + Sync + 'static {
    let sender = sender.clone();
    move |report| {
        let (kind, rule) = (report.rejection().kind(), report.rule().unwrap_or("no rule"));
        let key = report.key_id().map_or("no key", |id| id.as_str());
        let (method, path) = (report.method(), report.path().unwrap());
        let text = format!("{kind} {method} {path} by {rule} for {key}");
        sender.send(text).unwrap();
    }
}

#[tokio::test]
async fn what_is_only_tried_passes_and_is_reported_once() {
    start_log();
    let keys = MemoryStore::new();
    let layer = || ApiKeyLayer::new(keys.clone());
    let weak = keys.issue(NewKey::named("weak")).unwrap();
    let strong = issue(&keys, NewKey::named("strong").abilities(["x:y"]));
    let (sender, reports): Reports = mpsc::channel();
    let needs = || Requirement::ability("x:y");
    let rule = AccessPolicy::builder().allow("GET /tried/rule/{id}", needs().report_only());
    let listed = AccessPolicy::builder().allow("GET /tried/policy/{id}", needs());
    let other = AccessPolicy::builder().allow("GET /other", needs());
    let [rule, listed, other] =
        [rule, listed, other].map(|policy| policy.on_report(tell(&sender)).build().unwrap());
    let guard = RequireAbility::new("x:y").report_only().on_report(tell(&sender));
    let inner = |path: &str, layer| Router::new().nest(path, app().layer(layer));
    let apps = [
        ("rule", "GET /tried/rule/{id}", layer().policy(rule.clone())),
        ("rule", "GET /tried/rule/{id}", layer().guard(rule)),
        ("policy", "GET /tried/policy/{id}", layer().policy(listed.report_only())),
        ("unlisted", "no rule", layer().policy(other.report_only())),
        ("guard", "no rule", layer().guard(guard)),
    ];
    for (number, (name, rule, layer)) in apps.into_iter().enumerate() {
        let address = start(inner("/tried", layer)).await;
        let path = format!("/tried/{name}/{number}");
        let kind = if name == "unlisted" { "not_allowed" } else { "missing_ability" };
        expect("200 weak", address, weak.secret.reveal(), [format!("GET {path}?query")]).await;
        let id = weak.record.id().as_str();
        let report = format!("{kind} GET {path} by {rule} for {id}");
        assert_eq!(reports.try_iter().collect::<Vec<_>>(), [report]);
        let [line] = &logged(&path)[..] else { panic!("{:?}", logged(&path)) };
        for part in [" WARN ", "would be refused", kind, id, &format!("path={path:?}")] {
            assert!(line.contains(part), "{line}");
        }
        assert_eq!(line.contains("rule="), rule != "no rule", "{line}");
        if name != "unlisted" {
            expect("200 strong", address, &strong, [format!("GET {path}")]).await;
            assert_eq!(reports.try_iter().next(), None);
        }
    }
}

#[tokio::test]
async fn a_callback_that_panics_fails_no_request() {
    start_log();
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("key"));
    let policy = policy().on_report(|_| panic!("the callback's own fault")).build().unwrap();
    for address in serve_mounted(ApiKeyLayer::new(keys), policy.report_only()).await {
        expect("200 key", address, &key, gets(["/admin", "/nowhere"])).await;
    }
    let errors = logged("a callback for reports panicked");
    assert_eq!(errors.iter().filter(|line| line.contains(" ERROR ")).count(), 1, "the same fault");
}

#[tokio::test]
async fn a_guard_on_trial_that_panics_fails_no_request() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("key"));
    let rough = |_: &VerifiedKey, _: &RequestHead<'_>| -> Result<(), Rejection> {
        panic!("the guard's own fault")
    };
    let layer = ApiKeyLayer::new(keys).guard(rough.report_only());
    let address = crate::common::serve(Router::new().fallback(async || "in").layer(layer)).await;
    let line = format!("x-api-key: {key}");
    assert_eq!(crate::common::get_raw(address, "/", &[&line]).await.status, 200);
}

#[tokio::test]
async fn a_policy_that_is_only_tried_opens_nothing_for_strangers() {
    let keys = MemoryStore::new();
    let (sender, reports): Reports = mpsc::channel();
    let build = || policy().on_report(tell(&sender)).build().unwrap().report_only();
    let layer = ApiKeyLayer::new(keys.clone());
    let all = || gets(["/admin", "/users/7", "/healthz", "/nowhere"]);
    for address in serve_mounted(layer.clone(), build()).await {
        expect("401 missing", address, "", all()).await;
        expect("401 unknown", address, "ak_unknown", all()).await;
        assert_eq!(reports.try_iter().next(), None);
    }
    // Where the layer lets them pass, it goes on doing so.
    let address = start(app().layer(layer.clone().optional().policy(build()))).await;
    expect("200 nobody", address, "", all()).await;
    let reports: Vec<_> = reports.try_iter().collect();
    assert_eq!(
        reports,
        [
            "missing GET /admin by GET /admin for no key",
            "missing GET /users/7 by GET /users/{id} for no key",
            "missing GET /nowhere by no rule for no key",
        ]
    );
    // A rule that is only tried is tried on keys.
    let tried = || policy().allow("GET /tried", Requirement::ability("x:y").report_only());
    for layer in [layer.clone(), layer.optional()] {
        let address = start(on_layer(layer, tried())).await;
        expect("401 missing", address, "", gets(["/tried"])).await;
        expect("401 unknown", address, "ak_unknown", gets(["/tried"])).await;
    }
}

#[tokio::test]
async fn a_policy_that_is_only_tried_opens_nothing_for_public_keys() {
    let keys = MemoryStore::new();
    let public = issue(&keys, public());
    let tried = policy().build().unwrap().report_only();
    for address in serve_mounted(ApiKeyLayer::new(keys), tried).await {
        for path in ["/admin", "/users/7", "/healthz", "/nowhere"] {
            expect(
                "403 not_allowed",
                address,
                &public,
                [request(format!("GET {path}")).line(OF_SHOP)],
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_rule_that_is_only_tried_accepts_no_other_kind_of_key() {
    let keys = MemoryStore::new();
    let public = issue(&keys, public());
    let tried = policy().allow("GET /tried", Requirement::ability("x:y").report_only());
    let address = start(on_layer(ApiKeyLayer::new(keys), tried)).await;
    expect("403 not_allowed", address, &public, [request("GET /tried").line(OF_SHOP)]).await;
}
