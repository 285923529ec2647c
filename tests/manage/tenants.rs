//! Whole tenants: suspended, resumed, and all of their keys revoked.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::Request;
use tower::{Layer as _, ServiceExt as _};
use tower_api_key::manage::{Excess, Owner};
use tower_api_key::store::{
    Actor, AuditAction, AuditEvent, AuditQuery, CommitError, KeyChange, KeyQuery, KeyState,
};
use tower_api_key::{
    ApiKeyLayer, CachedStore, IssuedKey, KeyManager, KeyRepository, KeyUpdate, ManageError,
    MemoryStore, NewKey, Rejection, RejectionKind, SqliteStore, TenantId, VerifiedKey,
};

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

fn of_acme(name: &str) -> NewKey {
    NewKey::named(name).tenant("acme")
}

/// Sends a request through a layer. Returns the status, the answer's text, and why it was refused.
async fn call(
    layer: &ApiKeyLayer,
    key: &IssuedKey,
) -> (u16, String, Option<RejectionKind>, Option<VerifiedKey>) {
    let service = layer.layer(tower::service_fn(async |request: Request<String>| {
        let mut response = http::Response::new(String::new());
        if let Some(key) = request.extensions().get::<VerifiedKey>() {
            response.extensions_mut().insert(key.clone());
        }
        Ok::<_, std::convert::Infallible>(response)
    }));
    let request = Request::builder().header("x-api-key", key.secret.reveal());
    let response = service.oneshot(request.body(String::new()).unwrap()).await.unwrap();
    let kind = response.extensions().get::<Rejection>().map(Rejection::kind);
    let key = response.extensions().get::<VerifiedKey>().cloned();
    let (parts, body) = response.into_parts();
    let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    let text = format!("{:?} {}", parts.headers, String::from_utf8_lossy(&body));
    (parts.status.as_u16(), text, kind, key)
}

#[tokio::test]
async fn keys_of_a_suspended_tenant_are_refused_as_any_other_until_it_is_resumed() {
    let keys = KeyManager::new(MemoryStore::new());
    let layer = keys.layer();
    let (ours, theirs) = (
        keys.issue(of_acme("ours")).await.unwrap(),
        keys.issue(NewKey::named("theirs").tenant("other")).await.unwrap(),
    );
    let revoked = keys.issue(of_acme("revoked")).await.unwrap();
    keys.revoke(revoked.record.id()).await.unwrap();
    assert!(keys.suspend(&acme()).await.unwrap().has_changed);
    assert!(!keys.suspend(&acme()).await.unwrap().has_changed);
    let (status, text, kind, _) = call(&layer, &ours).await;
    assert_eq!((status, kind), (401, Some(RejectionKind::Suspended)));
    assert_eq!(call(&layer, &theirs).await.0, 200);
    // Nobody outside can tell.
    let (_, of_revoked, kind, _) = call(&layer, &revoked).await;
    assert_eq!(kind, Some(RejectionKind::Revoked));
    assert_eq!(text, of_revoked);
    let tenants = keys.suspended_tenants().await.unwrap();
    assert_eq!(tenants.iter().map(|suspended| &suspended.tenant).collect::<Vec<_>>(), [&acme()]);

    assert!(keys.resume(&acme()).await.unwrap().has_changed);
    assert!(!keys.resume(&acme()).await.unwrap().has_changed);
    assert_eq!(call(&layer, &ours).await.0, 200);
    assert_eq!(call(&layer, &revoked).await.0, 401);
    assert_eq!(keys.suspended_tenants().await.unwrap(), []);
    // The record is what it was.
    assert_eq!(keys.get(ours.record.id()).await.unwrap().record, ours.record);
}

#[tokio::test]
async fn while_a_tenant_is_suspended_its_keys_can_only_be_taken_out_of_use() {
    for cached in [false, true] {
        let store = MemoryStore::new();
        let keys = match cached {
            true => KeyManager::new(CachedStore::new(store)),
            false => KeyManager::new(store),
        };
        let mut ids = Vec::new();
        for name in ["one", "two", "three"] {
            ids.push(keys.issue(of_acme(name)).await.unwrap().record.id().clone());
        }
        let [id, other, disabled] = &ids[..] else { unreachable!() };
        keys.disable(disabled).await.unwrap();
        keys.suspend(&acme()).await.unwrap();
        let alice = Owner::of_tenant(acme(), ["*"].try_into().unwrap(), "alice");
        for keys in [keys.clone(), keys.on_behalf_of(alice)] {
            let rename = KeyUpdate::new().name("renamed");
            for refused in [
                keys.issue(of_acme("another")).await.map(drop),
                keys.rotate(id, Duration::ZERO).await.map(drop),
                keys.update(id, &rename).await.map(drop),
                keys.update(disabled, &rename).await.map(drop),
                keys.enable(disabled).await.map(drop),
            ] {
                assert!(matches!(refused, Err(ManageError::Suspended)), "{refused:?}");
            }
        }
        let state = async |id| keys.get(id).await.unwrap().record.state(SystemTime::now());
        assert_eq!(state(id).await, KeyState::Suspended);
        assert_eq!(state(disabled).await, KeyState::Disabled);
        let suspended = KeyQuery::new().state(KeyState::Suspended);
        assert_eq!(keys.list(&suspended).await.unwrap().keys.len(), 2);
        keys.disable(id).await.unwrap();
        keys.revoke(other).await.unwrap();
        keys.resume(&acme()).await.unwrap();
        // What was done meanwhile is not undone.
        assert_eq!(state(id).await, KeyState::Disabled);
        assert_eq!(state(other).await, KeyState::Revoked);
        keys.enable(disabled).await.unwrap();
        keys.issue(of_acme("another")).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_but_the_application_suspends_tenants() {
    let keys = KeyManager::new(MemoryStore::new());
    let granter = keys.issue(of_acme("granter").abilities(["*"])).await.unwrap();
    let by_key = call(&keys.layer(), &granter).await.3.unwrap();
    let alice = Owner::of_tenant(acme(), ["*"].try_into().unwrap(), "alice");
    for keys in [keys.on_behalf_of(&by_key), keys.on_behalf_of(alice)] {
        for refused in [
            keys.suspend(&acme()).await.map(drop),
            keys.resume(&acme()).await.map(drop),
            keys.suspended_tenants().await.map(drop),
        ] {
            let excess = matches!(refused, Err(ManageError::Exceeds(Excess::Tenants)));
            assert!(excess, "{refused:?}");
        }
    }
    assert_eq!(keys.suspended_tenants().await.unwrap(), []);
}

#[tokio::test]
async fn a_key_of_a_suspended_tenant_manages_nothing() {
    let keys = KeyManager::new(MemoryStore::new());
    let granter = keys.issue(of_acme("granter").abilities(["*"])).await.unwrap();
    let other = keys.issue(of_acme("another")).await.unwrap();
    // Verified before.
    let by_key = keys.on_behalf_of(&call(&keys.layer(), &granter).await.3.unwrap());
    keys.suspend(&acme()).await.unwrap();
    for refused in [
        by_key.issue(NewKey::named("one more")).await.map(drop),
        by_key.revoke(other.record.id()).await.map(drop),
        by_key.get(other.record.id()).await.map(drop),
    ] {
        assert!(matches!(refused, Err(ManageError::Exceeds(Excess::Inactive))), "{refused:?}");
    }
    keys.resume(&acme()).await.unwrap();
    by_key.issue(NewKey::named("one more")).await.unwrap();
}

#[tokio::test]
async fn a_repository_that_cannot_suspend_tenants_says_so() {
    struct Plain(MemoryStore);

    #[async_trait::async_trait]
    impl tower_api_key::KeyStore for Plain {
        async fn find(
            &self,
            digest: &tower_api_key::KeyDigest,
        ) -> Result<Option<Arc<tower_api_key::KeyRecord>>, tower_api_key::StoreError> {
            self.0.find(digest).await
        }
    }

    #[async_trait::async_trait]
    impl KeyRepository for Plain {
        async fn get(
            &self,
            id: &tower_api_key::KeyId,
        ) -> Result<Option<tower_api_key::store::StoredKey>, tower_api_key::StoreError> {
            KeyRepository::get(&self.0, id).await
        }

        async fn list(
            &self,
            query: &KeyQuery,
        ) -> Result<tower_api_key::store::KeyPage, tower_api_key::StoreError> {
            KeyRepository::list(&self.0, query).await
        }

        async fn commit(
            &self,
            changes: &[KeyChange],
            events: &[AuditEvent],
        ) -> Result<(), CommitError> {
            self.0.commit(changes, events).await
        }
    }

    tower_api_key::testing::check_key_repository(&Plain(MemoryStore::new())).await;
    let keys = KeyManager::new(Plain(MemoryStore::new()));
    let error = keys.suspend(&acme()).await.unwrap_err();
    assert!(matches!(error, ManageError::Store(_)), "{error:?}");
    assert!(error.to_string().contains("does not know this kind of change"), "{error}");
    assert_eq!(keys.suspended_tenants().await.unwrap(), []);
}

#[tokio::test]
async fn changes_of_tenants_are_events_in_the_table_and_for_sinks() {
    let store = SqliteStore::in_memory().await.unwrap();
    let events = Arc::<Mutex<Vec<AuditEvent>>>::default();
    let keys = KeyManager::new(store.clone()).acting_as("alice").audit({
        let events = Arc::clone(&events);
        move |event: &AuditEvent| events.lock().unwrap().push(event.clone())
    });
    keys.suspend(&acme()).await.unwrap();
    keys.suspend(&acme()).await.unwrap();
    keys.resume(&acme()).await.unwrap();
    let told: Vec<_> = events.lock().unwrap().clone();
    let expected = [AuditAction::Suspended, AuditAction::Resumed];
    assert_eq!(told.iter().map(|event| event.action).collect::<Vec<_>>(), expected);
    for event in &told {
        assert_eq!((event.tenant(), event.key_id()), (Some(&acme()), None));
        assert_eq!(event.actor, Actor::from("alice"));
    }
    let kept = keys.audit_log(&AuditQuery::default()).await.unwrap().entries;
    let kept: Vec<_> =
        kept.iter().map(|entry| (&*entry.action, entry.tenant.as_deref(), &entry.key_id)).collect();
    assert_eq!(kept, [("suspended", Some("acme"), &None), ("resumed", Some("acme"), &None)]);
}

/// The keys that are not revoked.
async fn left(keys: &KeyManager, tenant: &str) -> usize {
    let query = KeyQuery::new().tenant(tenant).limit(1000);
    let page = keys.list(&query).await.unwrap();
    page.keys.iter().filter(|key| key.record.revoked_at().is_none()).count()
}

#[tokio::test]
async fn all_keys_of_a_tenant_are_revoked_those_that_manage_keys_first() {
    for cached in [false, true] {
        let store = SqliteStore::in_memory().await.unwrap();
        let keys = match cached {
            true => KeyManager::new(CachedStore::new(store.clone())),
            false => KeyManager::new(store.clone()),
        };
        let soon = SystemTime::now() + Duration::from_millis(1);
        let mut managing = BTreeSet::new();
        for number in 0..230 {
            let key = of_acme("a key");
            let key = match number % 46 {
                0 => key.abilities(["api-keys:write", "bots:read"]),
                1 => key.abilities(["*"]),
                2 => key.abilities(["api-keys:*"]),
                3 => key.expires_at(soon),
                _ => key.abilities(["api:read"]),
            };
            let issued = keys.issue(key).await;
            // What would be expired already is as good.
            let Ok(issued) = issued else { continue };
            if number % 46 < 3 {
                managing.insert(issued.record.id().to_string());
            }
            match number % 23 {
                5 => drop(keys.disable(issued.record.id()).await.unwrap()),
                6 => drop(keys.rotate(issued.record.id(), Duration::from_secs(60)).await.unwrap()),
                7 => drop(keys.revoke(issued.record.id()).await.unwrap()),
                _ => {}
            }
        }
        let other = keys.issue(NewKey::named("theirs").tenant("other")).await.unwrap();
        let nobodys = keys.issue(NewKey::named("nobody's")).await.unwrap();
        let before = left(&keys, "acme").await;
        if cached {
            keys.suspend(&acme()).await.unwrap();
        }
        let since = SystemTime::now();
        let mut progress = Vec::new();
        let revoked = keys.revoke_all(&acme(), |revoked| progress.push(revoked)).await.unwrap();
        assert_eq!((revoked.revoked, left(&keys, "acme").await), (before, 0));
        assert!(progress.is_sorted() && progress.last() == Some(&before), "{progress:?}");
        assert_eq!((left(&keys, "other").await, other.record.revoked_at()), (1, None));
        let nobodys = keys.get(nobodys.record.id()).await.unwrap();
        assert_eq!(nobodys.record.revoked_at(), None);
        // Each with its event, those of keys that manage keys first.
        let mut query = AuditQuery::default();
        (query.since, query.limit) = (Some(since), 1000);
        let events = keys.audit_log(&query).await.unwrap().entries;
        let ids: Vec<_> = events.iter().filter_map(|event| event.key_id.clone()).collect();
        assert_eq!(ids.len(), before);
        let first: BTreeSet<_> = ids[..managing.len()].iter().cloned().collect();
        assert_eq!(first, managing);
        assert_eq!(keys.revoke_all(&acme(), |_| panic!("no key")).await.unwrap().revoked, 0);
    }
}

#[tokio::test]
async fn all_keys_are_revoked_also_where_a_page_of_them_visits_many_others_in_vain() {
    let keys = KeyManager::new(MemoryStore::new()).deadline(Duration::from_secs(100));
    let disabled = keys.issue(of_acme("the oldest")).await.unwrap();
    keys.disable(disabled.record.id()).await.unwrap();
    // A page visits 10 000 of the newest.
    keys.issue_all((0..10_100).map(|_| of_acme("a newer one"))).await.unwrap();
    let revoked = keys.revoke_all(&acme(), |_| ()).await.unwrap();
    assert_eq!(revoked.revoked, 10_101);
    let disabled = keys.get(disabled.record.id()).await.unwrap();
    assert!(disabled.record.revoked_at().is_some());
}

#[tokio::test]
async fn a_revocation_of_all_that_was_stopped_goes_on_when_it_is_called_again() {
    let keys = KeyManager::new(SqliteStore::in_memory().await.unwrap());
    for _ in 0..450 {
        keys.issue(of_acme("a key")).await.unwrap();
    }
    let seen = Arc::new(tokio::sync::Notify::new());
    let stopped = {
        let (keys, seen) = (keys.clone(), Arc::clone(&seen));
        tokio::spawn(async move { keys.revoke_all(&acme(), |_| seen.notify_one()).await })
    };
    seen.notified().await;
    stopped.abort();
    let _ = stopped.await;
    let before = left(&keys, "acme").await;
    assert!(before < 450, "nothing was revoked before it was stopped");
    let revoked = keys.revoke_all(&acme(), |_| ()).await.unwrap();
    assert_eq!((revoked.revoked, left(&keys, "acme").await), (before, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_issued_and_changed_meanwhile_are_revoked_too() {
    let keys = KeyManager::new(MemoryStore::new());
    let mut ids = Vec::new();
    for _ in 0..60 {
        ids.push(keys.issue(of_acme("a key")).await.unwrap().record.id().clone());
    }
    let granter = keys.issue(of_acme("granter").abilities(["*"])).await.unwrap();
    let by_key = keys.on_behalf_of(&call(&keys.layer(), &granter).await.3.unwrap());
    // On another node, which waits for no turn of this one.
    let elsewhere = by_key.clone();
    let issuing = tokio::spawn(async move {
        let mut issued = 0;
        loop {
            match by_key.issue(NewKey::named("one more").abilities(["*"])).await {
                Ok(_) => issued += 1,
                Err(ManageError::Exceeds(Excess::Inactive)) => return issued,
                Err(error) => panic!("{error}"),
            }
            tokio::task::yield_now().await;
        }
    });
    let changing = tokio::spawn(async move {
        for id in ids.iter().cycle() {
            let update = KeyUpdate::new().name("renamed");
            if let Err(ManageError::Exceeds(_)) = elsewhere.update(id, &update).await {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let revoked = keys.revoke_all(&acme(), |_| ()).await.unwrap();
    let issued = issuing.await.unwrap();
    changing.await.unwrap();
    assert_eq!(left(&keys, "acme").await, 0);
    assert_eq!(revoked.revoked, 61 + issued);
}

#[tokio::test]
async fn a_key_revokes_no_whole_tenant_and_a_person_only_their_own() {
    let keys = KeyManager::new(MemoryStore::new());
    let granter = keys.issue(of_acme("granter").abilities(["*"])).await.unwrap();
    keys.issue(NewKey::named("theirs").tenant("other")).await.unwrap();
    let by_key = keys.on_behalf_of(&call(&keys.layer(), &granter).await.3.unwrap());
    let refused = by_key.revoke_all(&acme(), |_| ()).await;
    assert!(matches!(refused, Err(ManageError::Exceeds(Excess::Tenants))), "{refused:?}");
    let alice = keys.on_behalf_of(Owner::of_tenant(acme(), ["a:b"].try_into().unwrap(), "alice"));
    let refused = alice.revoke_all(&"other".parse().unwrap(), |_| ()).await;
    assert!(matches!(refused, Err(ManageError::Exceeds(Excess::Tenant))), "{refused:?}");
    assert_eq!(left(&keys, "other").await, 1);
    assert_eq!(alice.revoke_all(&acme(), |_| ()).await.unwrap().revoked, 1);
}
