//! The forms that create and change keys: what they make, and what they say is wrong.

use std::time::{Duration, UNIX_EPOCH};

use tower_api_key::manage::pages::{Expiry, PageTexts};
use tower_api_key::store::{KeyQuery, StoredKey};
use tower_api_key::{KeyKind, KeyUpdate};

use crate::common::RawResponse;
use crate::world::{NOON, World, hidden, live, mistakes, secret};

const DAY: u64 = 86_400;

async fn newest(world: &World) -> StoredKey {
    world.keys.list(&KeyQuery::new().limit(1)).await.unwrap().keys.remove(0)
}

async fn create(world: &World, fields: &[(&str, &str)]) -> RawResponse {
    let token = world.token().await;
    let mut form = vec![("token", &*token)];
    form.extend_from_slice(fields);
    world.post("/new", &form).await
}

fn places(page: &RawResponse) -> Vec<String> {
    mistakes(page.text()).into_iter().map(|(place, _)| place).collect()
}

#[tokio::test]
async fn a_key_is_as_the_form_says() {
    let world = World::new().await;
    let answer = create(
        &world,
        &[
            ("name", "Nightly import"),
            ("stage", "test"),
            ("access", "custom"),
            ("level.bots", "custom"),
            ("ability", "bots:write"),
            ("ability", "bots:delete"),
            ("level.chat", "write"),
            ("expiry", "7"),
            ("limits", "100 per minute\r\n\r\n 5000 per day \r\n"),
            ("addresses", "192.0.2.7\r\n2001:db8::/32"),
            ("origins", "https://*.shop.example"),
            ("referrers", "https://app.example/*"),
            ("endpoints", "GET /v1/reports/*"),
        ],
    )
    .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let text = secret(answer.text()).unwrap();
    assert!(text.starts_with("sk_test_"));
    for says in [
        "curl https://api.shop.example/v1/bots",
        &format!("SHOP_API_KEY={text}"),
        "I have stored it",
        "shown only once",
    ] {
        assert!(answer.text().contains(says), "{says}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(!answer.headers.iter().any(|(_, value)| value.contains(text)), "no header has it");
    let record = newest(&world).await.record;
    assert_eq!(record.name(), "Nightly import");
    assert_eq!(record.stage().unwrap().as_str(), "test");
    assert_eq!(record.tenant().unwrap(), "acme");
    assert_eq!(record.created_by().unwrap().to_string(), "name:alice@acme.example");
    let abilities: Vec<_> = record.abilities().iter().map(ToString::to_string).collect();
    assert_eq!(abilities, ["bots:delete", "bots:write", "chat:send"]);
    let end = UNIX_EPOCH + Duration::from_secs(NOON + 7 * DAY);
    assert_eq!(record.expires_at(), Some(end));
    let limits: Vec<_> = record.limits().iter().map(ToString::to_string).collect();
    assert_eq!(limits, ["100 per minute", "5000 per day"]);
    let restrictions = record.restrictions();
    assert_eq!(restrictions.addresses.as_ref().unwrap().len(), 2);
    assert_eq!(restrictions.endpoints.as_ref().unwrap().len(), 1);
    assert!(!world.get("").await.text().contains(text), "it is nowhere else");
}

#[tokio::test]
async fn a_preset_grants_its_abilities_whatever_is_chosen_below() {
    let world = World::new().await;
    let answer = create(
        &world,
        &[
            ("name", "The widget"),
            ("stage", "live"),
            ("access", "preset:Chat only"),
            ("level.bots", "write"),
            ("expiry", "never"),
        ],
    )
    .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let record = newest(&world).await.record;
    let abilities: Vec<_> = record.abilities().iter().map(ToString::to_string).collect();
    assert_eq!((abilities, record.expires_at()), (vec!["chat:send".to_owned()], None));
}

#[tokio::test]
async fn a_preset_that_is_not_offered_any_more_grants_nothing_else_in_its_place() {
    let world = World::new().await;
    for access in ["preset:The provider", "preset:Gone", "0", "1"] {
        let fields =
            [("name", "The widget"), ("stage", "live"), ("access", access), ("expiry", "30")];
        let answer = create(&world, &fields).await;
        assert_eq!(
            (answer.status, places(&answer)),
            (422, vec!["abilities".to_owned()]),
            "{access}"
        );
    }
}

#[tokio::test]
async fn only_what_the_owner_may_grant_is_offered_and_granted() {
    let world = World::new().await;
    let form = world.get("/new").await;
    assert!(form.text().contains("bots:delete") && !form.text().contains("admin:all"));
    assert!(!form.text().contains("The provider"));
    let globex = world.get_as("globex", "/new").await;
    assert!(globex.text().contains("level.chat") && !globex.text().contains("bots:read"));
    let answer = create(
        &world,
        &[
            ("name", "A climber"),
            ("stage", "live"),
            ("access", "custom"),
            ("ability", "admin:all"),
            ("expiry", "30"),
        ],
    )
    .await;
    assert_eq!((answer.status, places(&answer)), (403, vec!["abilities".to_owned()]));
    assert_eq!(secret(answer.text()), None);
    assert!(world.keys.list(&KeyQuery::new()).await.unwrap().keys.is_empty());
}

#[tokio::test]
async fn what_is_wrong_stands_beside_its_field_and_what_was_typed_is_kept() {
    let world = World::new().await;
    let typed = "192.0.2.1\nhome \"<b>\"";
    let answer = create(
        &world,
        &[
            ("name", "a"),
            ("access", "custom"),
            ("level.bots", "read"),
            ("expiry", "date"),
            ("date", "2026-11-28"),
            ("limits", "often"),
            ("addresses", typed),
            ("endpoints", "FETCH everything"),
        ],
    )
    .await;
    assert_eq!(answer.status, 422);
    // In the past: the date is one, and is refused where the key is issued; so it is not said yet.
    let expected = ["name", "stage", "limits", "addresses", "endpoints"];
    assert_eq!(places(&answer), expected, "{:?}", mistakes(answer.text()));
    for (place, _) in mistakes(answer.text()) {
        let described = format!("id=\"{place}-error\"");
        assert!(answer.text().contains(&described), "{described}");
        assert!(answer.text().contains(&format!("href=\"#{place}\"")), "the summary has {place}");
        assert!(answer.text().contains(&format!("aria-describedby=\"{place}-error")), "{place}");
    }
    for kept in [
        "value=\"a\"",
        "value=\"2026-11-28\"",
        "192.0.2.1\nhome &quot;&lt;b&gt;&quot;",
        "often",
        "FETCH everything",
        "value=\"read\" checked",
        "value=\"date\" checked",
    ] {
        assert!(answer.text().contains(kept), "{kept} is not in {}", answer.text());
    }
    assert!(answer.text().contains("<details class=\"ak-more\" open"), "what is folded is seen");
    assert!(!answer.text().contains("<b>"));
    let past = create(
        &world,
        &[("name", "fine"), ("stage", "live"), ("expiry", "date"), ("date", "2026-11-28")],
    )
    .await;
    assert_eq!((past.status, places(&past)), (422, vec!["expiry".to_owned()]));
}

#[tokio::test]
async fn a_key_expires_within_what_the_application_offers() {
    let offered = [Expiry::Days(7), Expiry::Days(30), Expiry::Date];
    let world = World::with(|pages| pages.expiries(offered)).await;
    let try_it = async |expiry: &str, date: &str| {
        let fields = [("name", "a key"), ("stage", "live"), ("expiry", expiry), ("date", date)];
        create(&world, &fields).await
    };
    for (expiry, date) in [
        ("never", ""),
        ("60", ""),
        ("", ""),
        ("keep", ""),
        ("date", ""),
        ("date", "2026-12-30"),
        ("date", "9999-12-31"),
        ("date", "tomorrow"),
        ("-1", ""),
    ] {
        let answer = try_it(expiry, date).await;
        assert_eq!(places(&answer), ["expiry"], "{expiry} {date}");
    }
    for (expiry, date) in [("7", ""), ("date", "2026-11-29"), ("date", "2026-12-29")] {
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(try_it(expiry, date).await.status, 201, "{expiry} {date}");
    }
    let end = newest(&world).await.record.expires_at();
    assert_eq!(end, Some(UNIX_EPOCH + Duration::from_secs(NOON + 30 * DAY + DAY / 2 - 1)));
}

#[tokio::test]
async fn a_wrong_line_is_named_as_it_stands_in_the_field() {
    let world = World::new().await;
    let answer = create(
        &world,
        &[
            ("name", "fine"),
            ("stage", "live"),
            ("expiry", "30"),
            ("limits", "\r\n\r\n5 per minute\r\n\r\noften"),
            ("origins", "https://a.example\r\n  \r\nno site\r\n"),
        ],
    )
    .await;
    let said = mistakes(answer.text());
    let lines: Vec<_> =
        said.iter().map(|(place, says)| (&**place, says.split(':').next().unwrap())).collect();
    assert_eq!(lines, [("limits", "Line 5"), ("origins", "Line 3")]);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_words_of_the_product() {
    let mut texts = PageTexts::english();
    texts.wrong_name = "Der Name ist zu kurz.".into();
    texts.wrong_stage = "Bitte auswählen.".into();
    texts.wrong_limits = "Das ist keine Grenze.".into();
    texts.in_line = "Zeile {n}: {error}".into();
    texts.in_this_state = "Der Schlüssel ist „{state}“.".into();
    texts.revoked = "widerrufen".into();
    texts.exceeds = "Das dürfen Sie selbst nicht.".into();
    let world = World::with(|pages| pages.texts(texts)).await;
    let wrong = [("name", "a"), ("expiry", "30"), ("limits", "often")];
    let said: Vec<_> = mistakes(create(&world, &wrong).await.text());
    let expected = [
        ("name", "Der Name ist zu kurz."),
        ("stage", "Bitte auswählen."),
        ("limits", "Zeile 1: Das ist keine Grenze."),
    ];
    assert_eq!(said, expected.map(|(place, says)| (place.to_owned(), says.to_owned())));
    let fields = [("name", "a key"), ("stage", "live"), ("expiry", "30"), ("ability", "admin:all")];
    let answer = create(&world, &fields).await;
    assert_eq!(mistakes(answer.text())[0].1, "Das dürfen Sie selbst nicht.");
    let key = world.live("revoked one").await;
    world.keys.revoke(key.record.id()).await.unwrap();
    let path = format!("/key/{}/rename", key.record.id());
    let answer = world.post(&path, &[("name", "Another name")]).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("Der Schlüssel ist „widerrufen“."), "{}", answer.text());
}

/// The ceiling of the owner would allow it: the catalogue does not have it.
#[tokio::test]
async fn no_form_gives_an_ability_that_the_catalogue_does_not_have() {
    let world = World::new().await;
    let fields = [("name", "a key"), ("stage", "live"), ("expiry", "30"), ("ability", "bots:raed")];
    let answer = create(&world, &fields).await;
    assert_eq!((answer.status, places(&answer)), (422, vec!["abilities".to_owned()]));
    assert!(mistakes(answer.text())[0].1.starts_with("These no longer exist: bots:raed."));
    // What a key has from before stays.
    let key = world.issue(live("an old key").abilities(["bots:special"])).await;
    let form = world.get(&format!("/key/{}/change", key.record.id())).await;
    let revision = hidden(form.text(), "revision").to_owned();
    let mut fields = vec![
        ("revision", &*revision),
        ("name", "a new name"),
        ("access", "custom"),
        ("ability", "bots:special"),
        ("expiry", "keep"),
    ];
    let path = format!("/key/{}/change", key.record.id());
    assert_eq!(world.post(&path, &fields).await.status, 303);
    let changed = world.keys.get(key.record.id()).await.unwrap().record;
    let revision = changed.revision().to_string();
    fields[0].1 = &revision;
    fields.push(("ability", "bots:raed"));
    let answer = world.post(&path, &fields).await;
    assert_eq!((answer.status, places(&answer)), (422, vec!["abilities".to_owned()]));
}

#[tokio::test]
async fn the_catalogue_of_the_manager_is_offered_if_the_pages_have_none() {
    let keys = tower_api_key::KeyManager::new(tower_api_key::MemoryStore::new());
    let keys = keys.abilities(crate::world::catalogue());
    let owner = |_: &mut http::request::Parts, _: &tower_api_key::manage::api::KeyAction| {
        let ceiling = ["*"].try_into().unwrap();
        Ok(tower_api_key::manage::Owner::of_tenant("acme".parse().unwrap(), ceiling, "alice"))
    };
    let pages = tower_api_key::manage::pages::KeyPages::new(keys, owner);
    let app = axum::Router::new().nest(crate::world::BASE, pages.into_router());
    let address = crate::common::serve(app).await;
    let form = crate::common::get_raw(address, &format!("{}/new", crate::world::BASE), &[]).await;
    for offered in ["value=\"bots:delete\"", "List and read bots", ">Bots</legend>", "Chat only"] {
        assert!(form.text().contains(offered), "{offered}");
    }
}

#[tokio::test]
async fn a_tenant_with_as_many_keys_as_it_may_have_is_told_in_the_form() {
    let store = tower_api_key::MemoryStore::new();
    let keys = tower_api_key::KeyManager::new(store).max_keys_per_tenant(1);
    let owner = |_: &mut http::request::Parts, _: &tower_api_key::manage::api::KeyAction| {
        let tenant = "acme".parse().unwrap();
        Ok(tower_api_key::manage::Owner::of_tenant(tenant, Vec::new().into(), "alice"))
    };
    let pages = tower_api_key::manage::pages::KeyPages::new(keys, owner);
    let app = axum::Router::new().nest(crate::world::BASE, pages.into_router());
    let address = crate::common::serve(app).await;
    let mut statuses = Vec::new();
    for name in ["first", "second"] {
        let body = format!("name={name}&expiry=30");
        let request = format!(
            "POST {}/new HTTP/1.1\r\n{}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {}",
            crate::world::BASE,
            crate::world::SAME_ORIGIN,
            body.len()
        );
        let answer = crate::common::send_raw_with_body(address, request, &body).await;
        statuses.push(answer.status);
        if name == "second" {
            assert!(
                answer.text().contains("limit of 1 keys")
                    && answer.text().contains("value=\"second\"")
            );
        }
    }
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test]
async fn a_key_is_renamed_changed_taken_out_of_use_and_put_into_it_again() {
    let world = World::new().await;
    let key = world.issue(live("Nightly import").abilities(["bots:read", "bots:special"])).await;
    let path = format!("/key/{}", key.record.id());
    let record = async || world.keys.get(key.record.id()).await.unwrap().record;
    let renamed = world.post(&format!("{path}/rename"), &[("name", "Hourly import")]).await;
    assert_eq!(renamed.status, 303);
    let location = renamed.header("location").unwrap();
    let page = world.get(location.strip_prefix(crate::world::BASE).unwrap()).await;
    assert!(page.text().contains("has a new name") && page.text().contains("Hourly import"));
    // In the history, too.
    assert!(page.text().contains("alice@acme.example") && page.text().contains("Nightly import"));

    let form = world.get(&format!("{path}/change")).await;
    let revision = hidden(form.text(), "revision").to_owned();
    assert!(form.text().contains("value=\"bots:special\" checked"), "what the catalogue lacks");
    let change = [
        ("revision", &*revision),
        ("name", "Hourly import"),
        ("access", "custom"),
        ("level.bots", "write"),
        ("ability", "bots:special"),
        ("expiry", "90"),
        ("addresses", "192.0.2.0/24"),
    ];
    let changed = world.post(&format!("{path}/change"), &change).await;
    assert_eq!(changed.status, 303, "{}", changed.text());
    let now = record().await;
    let abilities: Vec<_> = now.abilities().iter().map(ToString::to_string).collect();
    assert_eq!(abilities, ["bots:delete", "bots:read", "bots:special", "bots:write"]);
    assert!(now.expires_at().is_some() && now.restrictions().addresses.is_some());

    for (action, disabled) in [("disable", true), ("enable", false)] {
        assert_eq!(world.post(&format!("{path}/{action}"), &[]).await.status, 303);
        assert_eq!(record().await.is_disabled(), disabled);
    }
    let wrong = world.post(&format!("{path}/rename"), &[("name", "x")]).await;
    assert_eq!((wrong.status, places(&wrong)), (422, vec!["name".to_owned()]));
}

#[tokio::test]
async fn what_is_not_changed_in_the_form_stays_as_it_is() {
    let world = World::new().await;
    let key =
        live("Nightly import").abilities(["bots:*", "chat:send"]).limit("5 per minute, burst 9");
    let key = world.issue(key.origins(["https://shop.example"])).await;
    // A list that allows nothing has no words in the form.
    let nothing = KeyUpdate::new().addresses(Vec::<&str>::new()).expires_at(None);
    world.keys.update(key.record.id(), &nothing).await.unwrap();
    let before = world.keys.get(key.record.id()).await.unwrap().record;
    let path = format!("/key/{}/change", key.record.id());
    let form = world.get(&path).await;
    let revision = hidden(form.text(), "revision").to_owned();
    let typed = [
        ("revision", &*revision),
        ("name", "Nightly import"),
        ("access", "custom"),
        ("level.bots", "none"),
        ("level.chat", "write"),
        ("ability", "bots:*"),
        ("expiry", "keep"),
        ("limits", "5 per minute, burst 9"),
        ("origins", "https://shop.example"),
        ("referrers", "https://shop.example/*"),
    ];
    assert_eq!(world.post(&path, &typed).await.status, 303);
    let after = world.keys.get(key.record.id()).await.unwrap().record;
    assert_eq!(after.abilities(), before.abilities());
    assert_eq!(after.limits(), before.limits());
    assert_eq!(after.restrictions().addresses, before.restrictions().addresses);
    assert_eq!(after.restrictions().origins, before.restrictions().origins);
    assert!(after.restrictions().referrers.is_some());
}

#[tokio::test]
async fn a_change_does_not_replace_unseen_what_somebody_else_has_changed() {
    let world = World::new().await;
    let key = world.live("Nightly import").await;
    let path = format!("/key/{}/change", key.record.id());
    let form = world.get(&path).await;
    let revision = hidden(form.text(), "revision").to_owned();
    world.keys.update(key.record.id(), &KeyUpdate::new().name("Theirs")).await.unwrap();
    let fields = [("revision", &*revision), ("name", "Mine"), ("expiry", "keep")];
    let answer = world.post(&path, &fields).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("after you opened the form"));
    assert!(answer.text().contains("value=\"Mine\""));
    assert_eq!(world.keys.get(key.record.id()).await.unwrap().record.name(), "Theirs");
    let revision = hidden(answer.text(), "revision").to_owned();
    let fields = [("revision", &*revision), ("name", "Mine"), ("expiry", "keep")];
    assert_eq!(world.post(&path, &fields).await.status, 303);
}

#[tokio::test]
async fn revoking_names_the_key_and_what_follows() {
    let world = World::new().await;
    let key = world.live("Nightly import").await;
    let path = format!("/key/{}/revoke", key.record.id());
    let form = world.get(&path).await;
    for says in ["Nightly import", key.record.hint().as_str(), "cannot be undone", "stops working"]
    {
        assert!(form.text().contains(says), "{says}");
    }
    assert!(!form.text().contains("with_successors"));
    assert_eq!(world.post(&path, &[]).await.status, 303);
    assert!(world.keys.get(key.record.id()).await.unwrap().record.revoked_at().is_some());
    // Again is no error.
    assert_eq!(world.post(&path, &[]).await.status, 303);
    let old = world.live("Rotated one").await;
    let day = Duration::from_secs(DAY);
    let successor = world.keys.rotate(old.record.id(), day).await.unwrap().record;
    let path = format!("/key/{}/revoke", old.record.id());
    assert!(world.get(&path).await.text().contains("with_successors"));
    assert_eq!(world.post(&path, &[("with_successors", "true")]).await.status, 303);
    assert!(world.keys.get(successor.id()).await.unwrap().record.revoked_at().is_some());
}

#[tokio::test]
async fn rotating_offers_how_long_the_old_key_works_on() {
    let world = World::new().await;
    let day = Duration::from_secs(DAY);
    let noon = UNIX_EPOCH + Duration::from_secs(NOON);
    for (grace, end) in
        [("0", None), ("3600", Some(day / 24)), ("86400", Some(day)), ("604800", Some(7 * day))]
    {
        let key = world.live("Nightly import").await;
        let path = format!("/key/{}/rotate", key.record.id());
        assert!(world.get(&path).await.text().contains(&format!("value=\"{grace}\"")));
        let answer = world.post(&path, &[("grace", grace)]).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let old = world.keys.get(key.record.id()).await.unwrap().record;
        assert_eq!(old.expires_at(), end.map(|end| noon + end));
        assert_eq!(old.revoked_at().is_some(), grace == "0");
    }
    let key = world.live("Nightly import").await;
    let path = format!("/key/{}/rotate", key.record.id());
    for grace in ["", "1", "forever"] {
        assert_eq!(world.post(&path, &[("grace", grace)]).await.status, 422, "{grace}");
    }
    world.keys.disable(key.record.id()).await.unwrap();
    assert!(world.get(&path).await.text().contains("“Disabled”"));
    assert_eq!(world.post(&path, &[("grace", "0")]).await.status, 409);
}

#[tokio::test]
async fn a_public_key_has_a_form_of_its_own_where_it_may_be_issued() {
    let world = World::new().await;
    let form = world.get("/new-public").await;
    assert_eq!(form.status, 200);
    assert!(world.get("").await.text().contains("/new-public"));
    let without = World::with(|pages| pages.without_public_keys()).await;
    assert_eq!(without.get("/new-public").await.status, 404);
    assert_eq!(without.post("/new-public", &[("name", "a widget")]).await.status, 404);
    assert!(!without.get("").await.text().contains("/new-public"));
    let token = hidden(form.text(), "token").to_owned();
    let fields = [
        ("token", &*token),
        ("name", "a widget"),
        ("access", "preset:Chat only"),
        ("expiry", "30"),
    ];
    assert_eq!(world.post("/new-public", &fields).await.status, 201);
    assert_eq!(newest(&world).await.record.kind(), KeyKind::Public);
}

#[tokio::test]
async fn a_body_that_is_no_form_is_refused() {
    let world = World::new().await;
    let request = format!(
        "POST {}/new HTTP/1.1\r\ncookie: session=acme\r\n{}\r\ncontent-type: application/json\r\n\
         content-length: 2",
        crate::world::BASE,
        crate::world::SAME_ORIGIN
    );
    let answer = crate::common::send_raw_with_body(world.address, request, "{}").await;
    assert_eq!(answer.status, 415);
    let long = "x".repeat(65 * 1024);
    assert_eq!(world.post("/new", &[("name", &long)]).await.status, 413);
}

fn said(page: &RawResponse) -> Vec<String> {
    mistakes(page.text()).into_iter().map(|(_, says)| says).collect()
}

#[tokio::test]
async fn boxes_beside_another_level_are_neither_granted_nor_dropped() {
    let world = World::new().await;
    let fields = |level| {
        [
            ("name", "a key"),
            ("stage", "live"),
            ("access", "custom"),
            ("level.bots", level),
            ("ability", "bots:delete"),
            ("level.chat", "none"),
            ("expiry", "30"),
        ]
    };
    for level in ["none", "read"] {
        let answer = create(&world, &fields(level)).await;
        assert_eq!((answer.status, places(&answer)), (422, vec!["abilities".to_owned()]));
        let expected =
            "Bots: bots:delete counts only with “Custom”. Choose that, or clear the box.";
        assert_eq!(said(&answer), [expected]);
        // All that was chosen is kept and in sight.
        for kept in [
            "value=\"bots:delete\" checked",
            &format!("value=\"{level}\" checked"),
            "class=\"ak-resource ak-open\"",
        ] {
            assert!(answer.text().contains(kept), "{kept}");
        }
    }
    // One ability alone has no box. A form that sends it without its level is answered, too.
    let mut chat = fields("none");
    chat[4].1 = "chat:send";
    let says = said(&create(&world, &chat).await);
    assert!(says[0].starts_with("Chat: chat:send counts only with “"), "{says:?}");
    assert!(world.keys.list(&KeyQuery::new()).await.unwrap().keys.is_empty());
    for level in ["", "custom"] {
        // Without a level, the boxes decide.
        let answer = create(&world, &fields(level)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let record = newest(&world).await.record;
        assert_eq!(*record.abilities(), ["bots:delete"].try_into().unwrap());
    }
    let answer = create(&world, &fields("all")).await;
    assert_eq!(said(&answer), ["Choose again what the key may do."]);
}

#[tokio::test]
async fn boxes_beside_a_preset_are_neither_granted_nor_dropped() {
    let world = World::new().await;
    let form = world.get("/new").await;
    let preset = regex::Regex::new("name=\"access\" value=\"(preset:Chat only)\"").unwrap();
    let preset = preset.captures(form.text()).unwrap()[1].to_owned();
    let fields = |ability| {
        [
            ("name", "a key"),
            ("stage", "live"),
            ("access", &*preset),
            ("level.bots", "custom"),
            ("ability", ability),
            ("expiry", "30"),
        ]
    };
    let answer = create(&world, &fields("bots:delete")).await;
    assert_eq!((answer.status, places(&answer)), (422, vec!["abilities".to_owned()]));
    let says = said(&answer);
    assert!(says[0].starts_with("Bots: bots:delete counts only with “"), "{says:?}");
    assert!(answer.text().contains("class=\"ak-resources ak-open\""), "they are in sight");
    assert!(answer.text().contains("value=\"bots:delete\" checked"), "it is kept");
    // A level that would grant it does not hide the box that is to be cleared.
    let mut hidden = fields("bots:delete");
    hidden[3].1 = "write";
    let answer = create(&world, &hidden).await;
    assert_eq!(said(&answer), says);
    assert!(answer.text().contains("class=\"ak-resource ak-open\""), "it is in sight");
    // What the preset grants says nothing else.
    assert_eq!(create(&world, &fields("chat:send")).await.status, 201);
    assert_eq!(*newest(&world).await.record.abilities(), ["chat:send"].try_into().unwrap());
}

#[tokio::test]
async fn a_lower_level_takes_abilities_away_whose_boxes_the_form_had_ticked() {
    let world = World::new().await;
    let key = world.issue(live("a key").abilities(["bots:read", "bots:delete"])).await;
    let path = format!("/key/{}/change", key.record.id());
    let form = world.get(&path).await;
    assert!(!form.text().contains("ak-open") && form.text().contains("\"bots:delete\" checked"));
    let revision = hidden(form.text(), "revision").to_owned();
    let mut fields = vec![
        ("revision", &*revision),
        ("name", "a key"),
        ("access", "custom"),
        ("level.bots", "read"),
        ("ability", "bots:read"),
        ("ability", "bots:delete"),
        ("expiry", "keep"),
    ];
    fields.push(("ability", "bots:write"));
    let answer = world.post(&path, &fields).await;
    assert!(said(&answer)[0].starts_with("Bots: bots:write counts only"), "{:?}", said(&answer));
    fields.pop();
    assert_eq!(world.post(&path, &fields).await.status, 303);
    let changed = world.keys.get(key.record.id()).await.unwrap().record;
    assert_eq!(*changed.abilities(), ["bots:read"].try_into().unwrap());
}

#[tokio::test]
async fn a_date_beside_another_expiry_is_not_dropped() {
    let world = World::new().await;
    let fields = [
        ("name", "a key"),
        ("stage", "live"),
        ("access", "custom"),
        ("expiry", "30"),
        ("date", "2027-01-31"),
    ];
    let answer = create(&world, &fields).await;
    assert_eq!((answer.status, places(&answer)), (422, vec!["expiry".to_owned()]));
    assert!(said(&answer)[0].starts_with("The date counts only with “"), "{:?}", said(&answer));
    assert!(answer.text().contains("class=\"ak-date ak-open\""), "it is in sight");
    assert!(answer.text().contains("value=\"2027-01-31\""), "it is kept");
    // The form shows the date of a key, which says nothing new.
    let end = UNIX_EPOCH + Duration::from_secs(NOON + 9 * DAY);
    let key = world.issue(live("a key").expires_at(end)).await;
    let path = format!("/key/{}/change", key.record.id());
    let form = world.get(&path).await;
    let revision = hidden(form.text(), "revision").to_owned();
    let shown = regex::Regex::new("name=\"date\" value=\"([0-9-]+)\"").unwrap();
    let shown = shown.captures(form.text()).unwrap()[1].to_owned();
    for (date, status) in [(&*shown, 303), ("2027-01-31", 422)] {
        let fields = [
            ("revision", &*revision),
            ("name", "a key"),
            ("access", "custom"),
            ("expiry", "keep"),
            ("date", date),
        ];
        assert_eq!(world.post(&path, &fields).await.status, status);
    }
}

/// The owner, or the catalogue, may have changed since the form was opened.
#[tokio::test]
async fn what_a_form_does_not_offer_any_more_is_neither_granted_nor_dropped() {
    let world = World::new().await;
    let fields = |access, (name, value)| {
        [("name", "a key"), ("stage", "live"), ("access", access), (name, value), ("expiry", "30")]
    };
    for (access, field, says) in [
        ("preset:Chat only", ("ability", "bots:gone"), "These no longer exist: bots:gone."),
        ("preset:Chat only", ("ability", "admin:all"), "admin: admin:all counts only with “"),
        ("custom", ("level.admin", "write"), "Choose again what the key may do."),
        ("custom", ("level.gone", "read"), "Choose again what the key may do."),
    ] {
        let answer = create(&world, &fields(access, field)).await;
        assert_eq!((answer.status, places(&answer)), (422, vec!["abilities".to_owned()]), "{says}");
        assert!(said(&answer)[0].starts_with(says), "{:?}", said(&answer));
    }
    assert!(world.keys.list(&KeyQuery::new()).await.unwrap().keys.is_empty());
    let answer = create(&world, &fields("custom", ("level.gone", "none"))).await;
    assert_eq!(answer.status, 201, "nothing was chosen there");
}

#[tokio::test]
async fn a_key_is_renamed_whatever_the_catalogue_and_the_choices_have_become() {
    // By a browser without JavaScript, which sends every ticked box and the date.
    let offered = [Expiry::Days(30), Expiry::Date];
    let world = World::with(|pages| pages.expiries(offered)).await;
    let end = UNIX_EPOCH + Duration::from_secs(NOON + 9 * DAY);
    let abilities = ["bots:delete", "bots:gone", "bots:read", "chat:*"];
    let key = live("a key").abilities(abilities).expires_at(end);
    let key = world.issue(key).await;
    world.clock.advance(Duration::from_secs(30 * DAY));
    let path = format!("/key/{}/change", key.record.id());
    let form = world.get(&path).await;
    let attribute = |input: &str, name| {
        let value = regex::Regex::new(&format!(" {name}=\"([^\"]*)\"")).unwrap();
        value.captures(input).map(|found| found[1].to_owned())
    };
    let inputs = regex::Regex::new("<input[^>]*>").unwrap();
    let sent = inputs.find_iter(form.text()).filter_map(|input| {
        let input = input.as_str();
        let is_choice = ["radio", "checkbox"].contains(&&*attribute(input, "type")?);
        let name = attribute(input, "name")?;
        let value =
            if name == "name" { "another name".to_owned() } else { attribute(input, "value")? };
        (!is_choice || input.contains(" checked")).then_some((name, value))
    });
    let sent: Vec<_> = sent.collect();
    let sent: Vec<_> = sent.iter().map(|(name, value)| (&**name, &**value)).collect();
    let has = |name: &str, value: &str| sent.contains(&(name, value));
    assert!(has("level.bots", "custom") && has("ability", "bots:gone"), "{sent:?}");
    assert!(has("ability", "chat:*") && has("date", "2026-12-08"), "{sent:?}");
    let answer = world.post(&path, &sent).await;
    assert_eq!(answer.status, 303, "{:?}", said(&answer));
    let changed = world.keys.get(key.record.id()).await.unwrap().record;
    assert_eq!(changed.name(), "another name");
    assert_eq!(*changed.abilities(), abilities.try_into().unwrap());
    assert_eq!(changed.expires_at(), Some(end));
}
