//! New keys, changes and queries take texts or values. Texts that are not valid are told all at once, and nothing
//! is done.

use std::net::Ipv4Addr;

use tower_api_key::address::Network;
use tower_api_key::key::{EndpointPattern, InvalidFields, OriginPattern, Restrictions};
use tower_api_key::store::{AuditQuery, KeyQuery};
use tower_api_key::{
    Ability, KeyManager, KeyUpdate, ManageError, MemoryStore, NewKey, RateLimit, Stage, TenantId,
};

use crate::common::MemoryKeys as _;

fn fields<T>(result: Result<T, ManageError>) -> Vec<String> {
    let Err(error @ ManageError::Invalid(_)) = result else { panic!("it is valid") };
    let text = error.to_string();
    let ManageError::Invalid(invalid) = error else { unreachable!() };
    for field in invalid.iter() {
        assert!(text.contains(&format!("{}: {}", field.field(), field.reason())), "{text}");
    }
    invalid.iter().map(|field| field.field().to_owned()).collect()
}

#[tokio::test]
async fn all_that_is_wrong_with_a_new_key_is_told_at_once_and_none_is_issued() {
    let store = MemoryStore::new();
    let keys = KeyManager::new(store.clone());
    let key = NewKey::named("nightly import")
        .tenant("acme & co")
        .stage("")
        .abilities(["bots:read", "bots read"])
        .abilities(["bots:write", "*:bots"])
        .limit("often")
        .limits(["10 per hour", "20 per hour"])
        .addresses(["10.0.0.0/8", "10.0.0.1/8"])
        .origins(["shop"])
        .referrers(["shop"])
        .endpoints(["users"]);
    let expected = [
        "tenant",
        "stage",
        "abilities[1]",
        "abilities[3]",
        "limits[0]",
        "limits",
        "addresses[1]",
        "origins[0]",
        "referrers[0]",
        "endpoints[0]",
    ];
    assert_eq!(fields(keys.issue(key.clone()).await), expected);
    let issued = keys.issue_all([NewKey::named("fine"), key]).await;
    assert!(issued.is_err());
    assert!(store.records().iter().all(|record| record.name() == "fine"));
}

#[tokio::test]
async fn all_that_is_wrong_with_a_change_is_told_at_once_and_nothing_is_changed() {
    let keys = KeyManager::new(MemoryStore::new());
    let record = keys.issue(NewKey::named("nightly import")).await.unwrap().record;
    let update = KeyUpdate::new()
        .name("renamed")
        .abilities(["bots read"])
        .limits(["often"])
        .addresses(["home"])
        .origins(["shop"])
        .referrers(["shop"])
        .endpoints(["users", "GET /users"])
        .disabled(true);
    let expected =
        ["abilities[0]", "limits[0]", "addresses[0]", "origins[0]", "referrers[0]", "endpoints[0]"];
    assert_eq!(fields(keys.update(record.id(), &update).await), expected);
    assert_eq!(keys.get(record.id()).await.unwrap().record, record);
}

#[tokio::test]
async fn the_place_of_a_mistake_is_the_index_among_all_items_that_were_passed() {
    let keys = KeyManager::new(MemoryStore::new());
    let record = keys.issue(NewKey::named("nightly import")).await.unwrap().record;
    let (twice, same_name) = (["bots:read", "bots:read"], ["10 per hour", "20 per hour"]);
    let networks = ["10.0.0.0/8", "10.0.0.0/8"];
    let expected = ["abilities[2]", "limits", "limits[2]", "addresses[2]"];
    let update = KeyUpdate::new().abilities(twice).abilities(["bots read"]);
    let update = update.limits(same_name).limit("often").addresses(networks).addresses(["home"]);
    assert_eq!(fields(keys.update(record.id(), &update).await), expected);
    let key = NewKey::named("another").abilities(twice).abilities(["bots read"]);
    let key = key.limits(same_name).limit("often").addresses(networks).addresses(["home"]);
    assert_eq!(fields(keys.issue(key).await), expected);
    // What is removed or replaced in between was passed all the same.
    let update =
        KeyUpdate::new().abilities(["bots:read"]).without_abilities().abilities(["bots"; 0]);
    let update = update.abilities(["bots read"]).limits(same_name).without_limits().limit("often");
    let update = update.addresses(["::1"]).without_addresses().addresses(["home"]);
    let expected = ["abilities[1]", "limits", "limits[2]", "addresses[1]"];
    assert_eq!(fields(keys.update(record.id(), &update).await), expected);
    let key = NewKey::named("another").addresses(["::1"]).restrictions(Restrictions::default());
    assert_eq!(fields(keys.issue(key.addresses(["home"])).await), ["addresses[1]"]);
    // Only what was passed in the end counts.
    assert_eq!(KeyUpdate::new().abilities(twice), KeyUpdate::new().abilities(["bots:read"]));
}

#[tokio::test]
async fn a_query_that_is_not_valid_is_told_so_and_lists_nothing() {
    let keys = KeyManager::new(MemoryStore::new());
    keys.issue(NewKey::named("tenantless")).await.unwrap();
    let query = KeyQuery::new().tenant("acme & co").stage("a stage");
    assert_eq!(fields(keys.list(&query).await), ["tenant", "stage"]);
    let query = AuditQuery::new().tenant("acme & co").key("my key");
    assert_eq!(fields(keys.audit_log(&query).await), ["tenant", "key"]);
    // An owner's tenant takes the place of the one in the query, but not of what is wrong with it.
    let alice = tower_api_key::manage::Owner::of_tenant(
        "acme".parse().unwrap(),
        ["*"].try_into().unwrap(),
        "alice",
    );
    let listed = keys.on_behalf_of(alice).list(&KeyQuery::new().tenant("acme & co")).await;
    assert_eq!(fields(listed), ["tenant"]);
}

#[tokio::test]
async fn a_text_and_its_value_are_the_same() {
    let keys = KeyManager::new(MemoryStore::new());
    let texts = NewKey::named("nightly import")
        .tenant("acme")
        .stage("live")
        .abilities(["bots:read"])
        .limits(["10 per hour"])
        .addresses(["192.0.2.1"])
        .origins(["https://shop.example"])
        .endpoints(["GET /bots"]);
    let (tenant, stage): (TenantId, Stage) = ("acme".parse().unwrap(), "live".parse().unwrap());
    let ability: Ability = "bots:read".parse().unwrap();
    let origin: OriginPattern = "https://shop.example".parse().unwrap();
    let endpoint: EndpointPattern = "GET /bots".parse().unwrap();
    let values = NewKey::named("nightly import")
        .tenant(&tenant)
        .stage(stage)
        .abilities([&ability])
        .limits([RateLimit::per_hour(10)])
        .addresses([Ipv4Addr::new(192, 0, 2, 1)])
        .origins([&origin])
        .endpoints([endpoint]);
    let texts = keys.issue(texts).await.unwrap().record;
    let values = keys.issue(values).await.unwrap().record;
    assert_eq!(texts.tenant(), values.tenant());
    assert_eq!(texts.stage(), values.stage());
    assert_eq!(texts.abilities(), values.abilities());
    assert_eq!(texts.limits(), values.limits());
    assert_eq!(texts.restrictions(), values.restrictions());
    let network: Network = "192.0.2.1".parse().unwrap();
    assert_eq!(texts.restrictions().addresses.as_deref(), Some(&[network.into()][..]));
    assert_eq!(
        keys.list(&KeyQuery::new().tenant(tenant).stage("live")).await.unwrap().keys.len(),
        2
    );
}

#[tokio::test]
async fn a_change_clears_what_it_is_to_clear_and_leaves_the_rest() {
    let keys = KeyManager::new(MemoryStore::new());
    let key = NewKey::named("nightly import")
        .abilities(["bots:read"])
        .limits(["10 per hour"])
        .addresses(["192.0.2.1"])
        .origins(["https://shop.example"])
        .metadata("plan", "free")
        .metadata("color", "red");
    let id = keys.issue(key).await.unwrap().record.id().clone();
    let update = KeyUpdate::new().without_addresses().without_limits().remove_metadata("color");
    let record = keys.update(&id, &update).await.unwrap().record;
    assert!(record.limits().is_empty() && record.restrictions().addresses.is_none());
    assert!(record.abilities().can("bots:read") && record.restrictions().origins.is_some());
    assert_eq!(record.metadata().len(), 1);
    let update = KeyUpdate::new().without_metadata().metadata("a", 1).without_abilities();
    let update = update.without_origins().addresses(["10.0.0.0/8"]).addresses(["192.0.2.0/24"]);
    let record = keys.update(&id, &update).await.unwrap().record;
    assert!(record.abilities().is_empty() && record.restrictions().origins.is_none());
    assert_eq!(record.restrictions().addresses.as_ref().unwrap().len(), 2);
    assert_eq!(serde_json::to_string(record.metadata()).unwrap(), r#"{"a":1}"#);
}

#[test]
fn the_error_is_one_text() {
    fn is_error<E: std::error::Error + Send + Sync + Clone + 'static>() {}
    is_error::<InvalidFields>();
}
