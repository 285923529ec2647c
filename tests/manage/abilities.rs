//! A catalogue of abilities, beside which none is granted.

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_api_key::key::AbilityCatalogue;
use tower_api_key::manage::api::{KeyOwner, KeyRoutes};
use tower_api_key::policy::{AccessPolicy, PolicyProblem, Requirement};
use tower_api_key::{
    Ability, AbilitySet, KeyManager, KeyUpdate, ManageError, MemoryStore, NewKey, TenantId,
};

use crate::common::MemoryKeys as _;

fn catalogue() -> AbilityCatalogue {
    AbilityCatalogue::new()
        .ability("bots:read", "Read bots")
        .ability("bots:write", "Change bots")
        .ability("api-keys:write", "Manage keys")
}

fn set<const N: usize>(abilities: [&str; N]) -> AbilitySet {
    abilities.try_into().unwrap()
}

#[tokio::test]
async fn a_misspelt_ability_is_neither_issued_nor_added() {
    let keys = KeyManager::new(MemoryStore::new()).abilities(catalogue());
    for known in [&["bots:read"][..], &["bots:*"], &["*"], &[]] {
        let key = NewKey::named("known").abilities(known.iter().copied());
        assert!(keys.issue(key).await.is_ok(), "{known:?}");
    }
    for unknown in [&["bots:raed"][..], &["bots:read", "bot:*"], &["bots"]] {
        let key = NewKey::named("unknown").abilities(unknown.iter().copied());
        let refused = keys.issue(key).await;
        let Err(ManageError::UnknownAbility(found)) = &refused else { panic!("{unknown:?}") };
        assert!(
            found
                .iter()
                .map(Ability::as_str)
                .eq(unknown.iter().copied().filter(|each| *each != "bots:read"))
        );
    }
    let both = NewKey::named("unknown").abilities(["bots:raed", "bots:read", "bot:*"]);
    let error = keys.issue(both).await.unwrap_err().to_string();
    assert!(error.starts_with("unknown ability: `bot:*`, `bots:raed`: correct"), "{error}");
    // What may be a secret in the wrong place is not repeated.
    let secret = NewKey::named("unknown").abilities(["ak_0123456789abcdefghijklmnopqrstuv"]);
    let error = keys.issue(secret).await.unwrap_err();
    assert!(!error.to_string().contains("0123456789"), "{error}");
    let key = keys.issue(NewKey::named("a key")).await.unwrap().record;
    let update = |abilities| KeyUpdate::new().abilities(abilities);
    let refused = keys.update(key.id(), &update(set(["bots:raed"]))).await;
    let Err(ManageError::UnknownAbility(found)) = refused else { panic!("it is changed") };
    assert_eq!(found, set(["bots:raed"]));
    let changed = keys.update(key.id(), &update(set(["bots:write"]))).await.unwrap();
    assert_eq!(*changed.record.abilities(), set(["bots:write"]));
}

#[tokio::test]
async fn what_a_key_has_already_stays() {
    let store = MemoryStore::new();
    let key = store.issue(NewKey::named("old").abilities(["old:ability"])).unwrap().record;
    let keys = KeyManager::new(store).abilities(catalogue());
    let update = KeyUpdate::new().abilities(set(["old:ability", "bots:read"]));
    keys.update(key.id(), &update).await.unwrap();
    keys.update(key.id(), &KeyUpdate::new().name("renamed")).await.unwrap();
    let rotated = keys.rotate(key.id(), std::time::Duration::ZERO).await.unwrap();
    assert!(rotated.record.abilities().can("old:ability"));
}

#[tokio::test]
async fn the_api_blames_the_abilities() {
    let store = MemoryStore::new();
    let owner = NewKey::named("owner").tenant("acme".parse::<TenantId>().unwrap()).abilities(["*"]);
    let secret = store.issue(owner).unwrap().secret;
    let keys = KeyManager::new(store).abilities(catalogue());
    let app = KeyRoutes::new(keys.clone(), KeyOwner::default()).into_router().layer(keys.layer());
    let create = |abilities: &[&str]| {
        let body = json!({ "name": "a key", "abilities": abilities }).to_string();
        let request = Request::post("/api-keys")
            .header("x-api-key", secret.reveal())
            .header("content-type", "application/json")
            .body(Body::from(body));
        let app = app.clone();
        async move {
            let response = app.oneshot(request.unwrap()).await.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice::<Value>(&body).unwrap())
        }
    };
    assert_eq!(create(&["bots:read"]).await.0, StatusCode::CREATED);
    let (status, problem) = create(&["bots:write", "bots:read", "bots:raed"]).await;
    assert_eq!(
        (status, &problem["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("abilities[2]"))
    );
    assert!(!problem.to_string().contains("raed"), "{problem}");
    let (status, problem) = create(&["bots:raed", "bots:read", "bots raed", "bots:raed"]).await;
    let errors = problem["errors"].as_array().unwrap();
    let fields: Vec<_> = errors.iter().map(|error| &error["field"]).collect();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(fields, ["abilities[0]", "abilities[2]", "abilities[3]"]);
    assert!(!problem.to_string().contains("raed"), "{problem}");
}

#[test]
fn a_policy_lists_all_that_it_ever_requires() {
    let policy = || {
        AccessPolicy::builder()
            .allow("GET /bots", Requirement::any_of(["bots:read", "bots:write"]))
            .allow("GET /tried", Requirement::ability("tried:read").report_only())
            .allow("GET /all", Requirement::all_of(["bots:read", "chat:send"]))
            .allow("GET /key", Requirement::key())
            .public("GET /healthz", "probes")
    };
    let policy_built = policy().describe("chat:send", "Send messages").build().unwrap();
    let listed: Vec<_> = policy_built
        .abilities()
        .iter()
        .map(|(ability, says)| format!("{ability}: {says}"))
        .collect();
    assert_eq!(
        listed,
        [
            "bots:read: bots:read",
            "bots:write: bots:write",
            "tried:read: tried:read",
            "chat:send: Send messages"
        ]
    );
    for wrong in ["chat:sned", "chat:", "chat:*"] {
        let error = policy().describe(wrong, "Send messages").build().unwrap_err();
        let problem = PolicyProblem::Description { ability: wrong.to_owned() };
        assert_eq!(error.problems(), [problem]);
    }
}
