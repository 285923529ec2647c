//! Keys that are valid, and may not do any more what they were let through for.

use http::Request;
use tower_api_key::guard::Guard;
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    Ability, ApiKeyLayer, EndReason, KeyRecord, MemoryStore, NewKey, PeerAddress, Rejection,
    RejectionKind, RequestHead, RequireAbility, RequireTenant, StreamWatch, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::{failure, get, goes_on, open, open_as, poll};

/// Opens a stream with a key, changes the key, and returns why the stream ended, if it did.
async fn after(
    layer: impl FnOnce(ApiKeyLayer) -> ApiKeyLayer,
    key: NewKey,
    request: http::request::Builder,
    change: impl Fn(&mut KeyRecord),
) -> Option<EndReason> {
    let keys = MemoryStore::new();
    let issued = keys.issue(key).unwrap();
    let layer = layer(ApiKeyLayer::new(keys.clone()));
    let (frames, body) = open(&layer, issued.secret.reveal(), request).await;
    let mut body = body.into_body();
    goes_on(&frames, &mut body);
    keys.update(issued.record.id(), change).unwrap();
    if poll(&mut body).is_pending() {
        goes_on(&frames, &mut body);
        return None;
    }
    // The end was polled away: the same once more.
    assert_eq!(layer.open_streams(), 0);
    let issued = keys.record(issued.record.id()).unwrap();
    assert!(issued.revoked_at().is_none());
    Some(EndReason::Reduced)
}

fn reader() -> NewKey {
    NewKey::named("reader").tenant("acme").abilities(["events:read", "bots:read"])
}

fn abilities(record: &mut KeyRecord, abilities: &[&str]) {
    let abilities: Vec<Ability> = abilities.iter().map(|text| text.parse().unwrap()).collect();
    record.set_abilities(abilities.into());
}

const REDUCED: Option<EndReason> = Some(EndReason::Reduced);

#[tokio::test]
async fn a_policy_is_asked_again_for_the_method_and_the_path() {
    let policy = || {
        AccessPolicy::builder()
            .allow("GET /events", Requirement::ability("events:read"))
            .allow("POST /events", Requirement::ability("events:write"))
            .allow("/bots", Requirement::ability("bots:read"))
            .build()
            .unwrap()
    };
    for (left, ended) in [
        (&["events:read"][..], None),
        (&["events:*", "other:read"], None),
        (&["events:write", "bots:read"], REDUCED),
        (&[], REDUCED),
    ] {
        let change = |record: &mut KeyRecord| abilities(record, left);
        assert_eq!(after(|layer| layer.policy(policy()), reader(), get(), change).await, ended);
        let tried = policy().report_only();
        assert_eq!(after(|layer| layer.policy(tried), reader(), get(), change).await, None);
        let ignored = |layer: ApiKeyLayer| {
            layer.policy(policy()).streams(StreamWatch::new().ignore_reductions())
        };
        assert_eq!(after(ignored, reader(), get(), change).await, None);
    }
}

#[tokio::test]
async fn a_get_with_a_body_is_judged_as_the_post_that_it_may_be() {
    let policy = AccessPolicy::builder()
        .allow("GET /events", Requirement::ability("events:read"))
        .allow("POST /events", Requirement::ability("bots:read"))
        .build()
        .unwrap();
    let request = || get().header("content-type", "application/grpc");
    let change = |record: &mut KeyRecord| abilities(record, &["events:read"]);
    assert_eq!(after(|layer| layer.policy(policy), reader(), request(), change).await, REDUCED);
}

#[tokio::test]
async fn guards_are_asked_again() {
    let ability = |layer: ApiKeyLayer| layer.guard(RequireAbility::new("events:read"));
    let by_method = |layer: ApiKeyLayer| layer.guard(RequireAbility::by_method("events"));
    let tenant = |layer: ApiKeyLayer| layer.guard(RequireTenant::in_path_segment(0));
    let less = |record: &mut KeyRecord| abilities(record, &["bots:read"]);
    let more = |record: &mut KeyRecord| abilities(record, &["bots:read", "events:read", "a:b"]);
    let moved = |record: &mut KeyRecord| record.set_tenant(Some("other".parse().unwrap()));
    let of_acme = || Request::get("/acme/events");
    assert_eq!(after(ability, reader(), get(), less).await, REDUCED);
    assert_eq!(after(ability, reader(), get(), more).await, None);
    assert_eq!(after(by_method, reader(), get(), less).await, REDUCED);
    assert_eq!(after(by_method, reader(), get(), more).await, None);
    assert_eq!(after(tenant, reader(), of_acme(), less).await, None);
    assert_eq!(after(tenant, reader(), of_acme(), moved).await, REDUCED);
    // Nothing here goes by abilities.
    assert_eq!(after(|layer| layer, reader(), get(), less).await, None);
}

#[tokio::test]
async fn a_guard_that_reads_what_is_not_known_any_more_ends_nothing() {
    fn by_header(key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        match head.headers().contains_key("x-room") && key.can("events:read") {
            true => Ok(()),
            false => Err(RejectionKind::NotAllowed.into()),
        }
    }
    let less = |record: &mut KeyRecord| abilities(record, &["bots:read"]);
    let request = || get().header("x-room", "7");
    assert_eq!(after(|layer| layer.guard(by_header), reader(), request(), less).await, None);
    // What others say counts all the same.
    let both = by_header.and(RequireAbility::new("events:read"));
    assert_eq!(after(|layer| layer.guard(both), reader(), request(), less).await, None);
    let each =
        |layer: ApiKeyLayer| layer.guard(by_header).guard(RequireAbility::new("events:read"));
    assert_eq!(after(each, reader(), request(), less).await, REDUCED);
}

#[tokio::test]
async fn a_guard_that_panics_ends_the_stream() {
    fn panics(key: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
        assert!(key.can("events:read"), "on purpose");
        Ok(())
    }
    let less = |record: &mut KeyRecord| abilities(record, &["bots:read"]);
    assert_eq!(after(|layer| layer.guard(panics), reader(), get(), less).await, REDUCED);
}

#[tokio::test]
async fn restrictions_are_compared_again() {
    let plain = |layer: ApiKeyLayer| layer;
    let at =
        |address: &str| get().extension(PeerAddress(format!("{address}:50000").parse().unwrap()));
    let restrict = |key: NewKey| {
        let record = MemoryStore::new().issue(key).unwrap().record;
        move |of: &mut KeyRecord| of.set_restrictions(record.restrictions().clone())
    };
    let endpoints = |list: &[&'static str]| reader().endpoints(list.to_vec());
    let here = endpoints(&["GET /events", "/other"]);
    for (left, ended) in [
        (&["GET /events"][..], None),
        (&["/*"], None),
        (&["POST /events"], REDUCED),
        (&["/other"], REDUCED),
        (&[], REDUCED),
    ] {
        let change = restrict(endpoints(left));
        assert_eq!(after(plain, here.clone(), get(), change).await, ended, "{left:?}");
        let change = restrict(endpoints(left));
        let guarded = |layer: ApiKeyLayer| layer.guard(RequireAbility::new("events:read"));
        assert_eq!(after(guarded, reader(), get(), change).await, ended, "{left:?}");
    }
    assert_eq!(after(plain, here.clone(), get(), restrict(reader())).await, None);
    let addresses = |list: &[&'static str]| reader().addresses(list.to_vec());
    let here = addresses(&["192.0.2.0/24", "198.51.100.0/24"]);
    for (left, ended) in [
        (&["192.0.2.7"][..], None),
        (&["0.0.0.0/0"], None),
        (&["192.0.2.8"], REDUCED),
        (&["198.51.100.0/24"], REDUCED),
        (&[], REDUCED),
    ] {
        let change = restrict(addresses(left));
        assert_eq!(after(plain, here.clone(), at("192.0.2.7"), change).await, ended, "{left:?}");
    }
    assert_eq!(after(plain, here, at("192.0.2.7"), restrict(reader())).await, None);
    // What was not kept cannot be compared: the client may ask anew.
    let change = restrict(addresses(&["0.0.0.0/0"]));
    assert_eq!(after(plain, reader(), at("192.0.2.7"), change).await, REDUCED);
    let change = restrict(endpoints(&["/*"]));
    assert_eq!(after(plain, reader(), get(), change).await, REDUCED);
    let shop = || reader().origins(["https://shop.example"]);
    let from_shop = || get().header("origin", "https://shop.example");
    let change = restrict(reader().origins(["https://other.example"]));
    assert_eq!(after(plain, shop(), from_shop(), change).await, REDUCED);
    assert_eq!(after(plain, shop(), from_shop(), restrict(reader())).await, None);
    let renamed = |record: &mut KeyRecord| record.set_name(format!("{}x", record.name()));
    assert_eq!(after(plain, shop(), from_shop(), renamed).await, None);
}

#[tokio::test]
async fn a_call_that_is_reduced_ends_with_status_7_in_the_words_of_the_guard() {
    let keys = MemoryStore::new();
    let issued = keys.issue(reader()).unwrap();
    let layer = ApiKeyLayer::new(keys.clone()).guard(RequireAbility::new("events:read"));
    let opened = open_as(&layer, issued.secret.reveal(), get(), "application/grpc").await;
    let (_frames, mut body) = (opened.0, opened.1.into_body());
    assert!(poll(&mut body).is_pending());
    keys.update(issued.record.id(), |record| abilities(record, &[])).unwrap();
    let std::task::Poll::Ready(Some(Ok(frame))) = poll(&mut body) else { panic!() };
    let trailers = frame.into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "7");
    assert_eq!(trailers["grpc-message"], "Missing ability: events:read");
}

#[tokio::test]
async fn several_changes_are_judged_one_after_the_other() {
    let keys = MemoryStore::new();
    let issued = keys.issue(reader()).unwrap();
    let layer = ApiKeyLayer::new(keys.clone()).guard(RequireAbility::new("events:read"));
    let (frames, body) = open(&layer, issued.secret.reveal(), get()).await;
    let mut body = body.into_body();
    goes_on(&frames, &mut body);
    for name in ["a", "b"] {
        keys.update(issued.record.id(), |record| record.set_name(name.to_owned())).unwrap();
        goes_on(&frames, &mut body);
    }
    keys.update(issued.record.id(), |record| abilities(record, &["bots:read"])).unwrap();
    assert_eq!(failure(&mut body).await, EndReason::Reduced);
}
