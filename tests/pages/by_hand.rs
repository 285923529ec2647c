//! Forms that were written by hand, and what happens between two steps.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use http::request::Parts;
use tower_api_key::key::AbilityCatalogue;
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::KeyAction;
use tower_api_key::manage::pages::KeyPages;
use tower_api_key::store::{AuditEvent, CommitError, KeyChange, KeyPage, KeyQuery, StoredKey};
use tower_api_key::{
    KeyDigest, KeyId, KeyManager, KeyRecord, KeyRepository, KeyStore, KeyUpdate, MemoryStore,
    NewKey, Stage, StoreError,
};

use crate::common::{RawResponse, get_raw, serve};
use crate::world::{BASE, SAME_ORIGIN, World, catalogue, hidden, live, mistakes, post_to};

/// Serves pages for Alice of `acme`, who may grant everything.
async fn serve_pages(keys: KeyManager, set: impl FnOnce(KeyPages) -> KeyPages) -> SocketAddr {
    let owner = |_: &mut Parts, _: &KeyAction| {
        Ok(Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "alice"))
    };
    let pages = set(KeyPages::new(keys, owner));
    serve(Router::new().nest(BASE, pages.into_router())).await
}

async fn post(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> RawResponse {
    post_to(address, path, &[SAME_ORIGIN], fields).await
}

#[track_caller]
fn assert_refused(answer: &RawResponse, place: &str, what: &str) {
    let places: Vec<_> = mistakes(answer.text()).into_iter().map(|(place, _)| place).collect();
    assert_eq!((answer.status, places), (422, vec![place.to_owned()]), "{what}");
}

/// A wildcard would grant what the catalogue does not offer, and what it will have later.
#[tokio::test]
async fn no_form_gives_a_wildcard() {
    let world = World::new().await;
    let key = world.issue(live("Nightly import").abilities(["chat:*"])).await;
    let change = format!("/key/{}/change", key.record.id());
    let form = world.get(&change).await;
    let revision = hidden(form.text(), "revision").to_owned();
    for wildcard in ["bots:*", "*"] {
        let fields =
            [("name", "A climber"), ("stage", "live"), ("expiry", "30"), ("ability", wildcard)];
        assert_refused(&world.post("/new", &fields).await, "abilities", wildcard);
        let fields = [
            ("revision", &*revision),
            ("name", "A climber"),
            ("expiry", "keep"),
            ("ability", "chat:*"),
            ("ability", wildcard),
        ];
        assert_refused(&world.post(&change, &fields).await, "abilities", wildcard);
    }
    let keys = world.keys.list(&KeyQuery::new()).await.unwrap().keys;
    assert_eq!(keys.iter().map(|key| &key.record).collect::<Vec<_>>(), [&key.record]);
}

#[tokio::test]
async fn no_form_gives_an_ability_that_only_the_manager_knows() {
    let keys = KeyManager::new(MemoryStore::new()).abilities(catalogue());
    let offered = AbilityCatalogue::new().ability("chat:send", "Send messages");
    let address = serve_pages(keys.clone(), |pages| pages.catalogue(offered)).await;
    let fields = |ability| [("name", "a key"), ("expiry", "30"), ("ability", ability)];
    let answer = post(address, "/new", &fields("admin:all")).await;
    assert_refused(&answer, "abilities", "of the manager");
    // Nor where no catalogue offers anything.
    let address = serve_pages(keys.clone(), |pages| pages.catalogue(AbilityCatalogue::new())).await;
    let answer = post(address, "/new", &fields("chat:send")).await;
    assert_refused(&answer, "abilities", "of none");
    assert!(keys.list(&KeyQuery::new()).await.unwrap().keys.is_empty());
}

#[tokio::test]
async fn no_form_gives_a_stage_that_it_does_not_offer() {
    let keys = KeyManager::new(MemoryStore::new());
    let stages: [Stage; 2] = ["dev", "test"].map(|stage| stage.parse().unwrap());
    for offered in [&stages[..1], &stages[..]] {
        let address = serve_pages(keys.clone(), |pages| pages.stages(offered.to_vec())).await;
        for stage in ["prod", ""] {
            let fields = [("name", "a key"), ("expiry", "30"), ("stage", stage)];
            assert_refused(&post(address, "/new", &fields).await, "stage", stage);
        }
        let fields = [("name", "a key"), ("expiry", "30"), ("stage", "dev")];
        assert_eq!(post(address, "/new", &fields).await.status, 201);
    }
    assert_eq!(keys.list(&KeyQuery::new()).await.unwrap().keys.len(), 2);
    // Where there are none, neither.
    let world = World::new().await;
    let fields = [("name", "a widget"), ("expiry", "30"), ("stage", "live")];
    let answer = world.post("/new-public", &fields).await;
    assert_eq!((answer.status, answer.text().contains("class=\"ak-alert\"")), (422, true));
}

/// A repository in which somebody else gives a key another name right before it is changed.
#[derive(Clone)]
struct Meanwhile {
    store: MemoryStore,
    renames: Arc<Mutex<Option<KeyId>>>,
}

#[async_trait]
impl KeyStore for Meanwhile {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.store.find(digest).await
    }
}

#[async_trait]
impl KeyRepository for Meanwhile {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        KeyRepository::get(&self.store, id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        KeyRepository::list(&self.store, query).await
    }

    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        let renamed = self.renames.lock().unwrap().take();
        if let Some(id) = renamed {
            let update = KeyUpdate::new().name("Theirs");
            KeyManager::new(self.store.clone()).update(&id, &update).await.unwrap();
        }
        self.store.commit(changes, events).await
    }
}

/// Also if that comes after the form was compared with the key.
#[tokio::test]
async fn a_change_does_not_replace_what_somebody_else_changes_at_the_same_time() {
    let repository = Meanwhile { store: MemoryStore::new(), renames: Arc::default() };
    let keys = KeyManager::new(repository.clone());
    let issued = keys.issue(NewKey::named("Nightly import").tenant("acme")).await.unwrap();
    let id = issued.record.id();
    let address = serve_pages(keys.clone(), |pages| pages).await;
    let path = format!("/key/{id}/change");
    let name = async || keys.get(id).await.unwrap().record.name().to_owned();
    let form = get_raw(address, &format!("{BASE}{path}"), &[]).await;
    let revision = hidden(form.text(), "revision").to_owned();
    *repository.renames.lock().unwrap() = Some(id.clone());
    let fields = [("revision", &*revision), ("name", "Mine"), ("expiry", "keep")];
    let answer = post(address, &path, &fields).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("after you opened the form"));
    assert_eq!(name().await, "Theirs");
    // Sent again, it is meant.
    let revision = hidden(answer.text(), "revision").to_owned();
    let fields = [("revision", &*revision), ("name", "Mine"), ("expiry", "keep")];
    assert_eq!(post(address, &path, &fields).await.status, 303);
    assert_eq!(name().await, "Mine");
}
