//! What people do with the pages, with JavaScript and without, on small and large screens, by day and by night.

use tower_api_key::store::{KeyQuery, KeyState};

use crate::common::browser::{Browser, Key, Setup};
use crate::looks::{LOOKS, assert_is_fine, assert_stays_at, sign_in};
use crate::world::{BASE, World};

async fn each_flow(setup: Setup) {
    let browser = setup.start().await;
    for (width, scheme) in LOOKS {
        let world = World::new().await;
        browser.resize(width, 900).await;
        browser.prefer(scheme).await;
        let origin = sign_in(&browser, &world).await;
        let fine = async |what: &str| {
            assert_is_fine(&browser, width, &format!("{what} at {width}, {scheme}")).await;
        };

        // From the first visit to a form with mistakes.
        browser.click_link("Create your first key").await;
        browser.wait_for("h1", |text| text == "Create key").await;
        browser.fill("#name", "x").await;
        browser.click("input[name='level.bots'][value=custom]").await;
        assert!(browser.is_shown("input[value='bots:delete']").await);
        browser.click("input[value='bots:delete']").await;
        browser.click("summary").await;
        browser.fill("#addresses", "192.0.2.7\nhome").await;
        browser.click(".ak-form .ak-primary").await;
        browser.wait_for(".ak-alert", |text| text.contains("Line 2")).await;
        fine("a form with mistakes").await;
        assert_eq!(focused(&browser).await, "ak-alert");
        assert_eq!(browser.value_of("#name").await, "x");
        assert!(browser.is_shown("input[value='bots:delete']").await);
        let is_checked = browser.attribute_of("input[value='bots:delete']", "checked").await;
        assert!(is_checked.is_some());

        // To a key.
        browser.click_link("Name: A name has 3 to 100 visible characters.").await;
        browser.fill("#name", "CI deploys").await;
        browser.click("input[name=stage][value=live]").await;
        browser.fill("#addresses", "192.0.2.7").await;
        browser.click("input[name=expiry][value='90']").await;
        browser.click(".ak-form .ak-primary").await;
        browser.wait_for("h1", |text| text == "Your new key").await;
        fine("the secret").await;
        let secret = browser.text_of("#secret").await;
        assert!(secret.starts_with("sk_live_"), "{secret}");
        assert!(browser.text_of("#curl").await.contains(&secret));
        assert_eq!(browser.text_of("#env").await, format!("SHOP_API_KEY={secret}"));
        browser.click("[data-ak-stored]").await;
        browser.wait_for("h1", |text| text == "CI deploys").await;
        fine("a key").await;
        let page = browser.url().await;

        // What is done to it.
        browser.click_link("Rename").await;
        browser.fill("#name", "Nightly deploys").await;
        browser.press(Key::Enter).await;
        browser.wait_for(".ak-done", |text| text.contains("new name")).await;
        assert_eq!(focused(&browser).await, "ak-done");
        fine("a key that was renamed").await;
        browser.click_link("Change").await;
        browser.click("input[name='level.bots'][value=read]").await;
        browser.click(".ak-form .ak-primary").await;
        browser.wait_for(".ak-done", |text| text.contains("changed")).await;
        browser.click("form[action$=disable] button").await;
        browser.wait_for(".ak-state", |text| text == "Disabled").await;
        browser.click("form[action$=enable] button").await;
        browser.wait_for(".ak-state", |text| text == "Active").await;
        browser.click_link("Last 24 hours").await;
        browser.wait_for(".ak-chart", |_| true).await;
        browser.click("section .ak-more summary").await;
        assert!(browser.is_shown(".ak-numbers").await);
        fine("the chart with its table").await;
        browser.open(&page).await;
        browser.click_link("Rotate").await;
        browser.click("input[name=grace][value='3600']").await;
        browser.click(".ak-form .ak-primary").await;
        browser.wait_for("h1", |text| text == "Your new key").await;
        assert_ne!(browser.text_of("#secret").await, secret);
        browser.click("[data-ak-stored]").await;
        browser.wait_for("h1", |text| text == "Nightly deploys").await;
        browser.click_link("Revoke").await;
        browser.wait_for(".ak-danger", |text| text == "Revoke Nightly deploys").await;
        browser.click(".ak-filled").await;
        browser.wait_for(".ak-state", |text| text == "Revoked").await;

        // And the list.
        browser.open(format!("{origin}{BASE}")).await;
        assert_eq!(browser.count("tbody tr").await, 2);
        browser.fill("input[name=name]", "DEPLOYS").await;
        browser.choose("select[name=state]", "Revoked").await;
        browser.click(".ak-filters button").await;
        browser.wait_for_url(|url| url.contains("state=revoked")).await;
        assert_eq!(browser.texts_of("tbody .ak-name").await, ["Nightly deploys"]);
        fine("a list with filters").await;
        browser.click_link("Clear filters").await;
        browser.wait_for_url(|url| url.ends_with(BASE)).await;
        let keys = world.keys.list(&KeyQuery::new()).await.unwrap().keys;
        let states = keys.iter().map(|key| {
            key.record
                .state(std::time::UNIX_EPOCH + std::time::Duration::from_secs(crate::world::NOON))
        });
        let states: Vec<_> = states.collect();
        assert_eq!(states.len(), 2);
        assert!(states.contains(&KeyState::Revoked) && states.contains(&KeyState::Active));
        assert_stays_at(&browser, &origin).await;
    }
}

/// Returns the class of what has the focus.
async fn focused(browser: &Browser) -> String {
    let class = "return document.activeElement.classList[0]";
    browser.run(class, &serde_json::Value::Null).await.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn each_flow_with_javascript() {
    each_flow(Setup::default()).await;
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn each_flow_without_javascript() {
    each_flow(Setup::default().without_javascript()).await;
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn a_key_is_created_by_the_keyboard_alone() {
    let world = World::new().await;
    let browser = Browser::start().await;
    let origin = sign_in(&browser, &world).await;
    browser.open(format!("{origin}{BASE}/new")).await;
    // From field to field, until the button: each can be reached, and is seen to be.
    let mut stops = Vec::new();
    for _ in 0..40 {
        browser.press(Key::Tab).await;
        let here = browser.run(
            "const here = document.activeElement; \
             const box = (here.nextElementSibling && here.matches('.ak-level input')) ? here.nextElementSibling : here; \
             return [here.name || here.textContent.trim(), getComputedStyle(box).outlineStyle]",
            &serde_json::Value::Null,
        );
        let here = here.await;
        let name = here[0].as_str().unwrap().to_owned();
        assert_ne!(here[1], "none", "{name} is not seen to have the focus");
        match &*name {
            "name" => {
                browser
                    .run("document.activeElement.value = 'By keyboard'", &serde_json::Value::Null)
                    .await
            }
            _ => serde_json::Value::Null,
        };
        if name == "stage" {
            browser.press(Key::Right).await;
        }
        stops.push(name.clone());
        if name == "Create key" {
            browser.press(Key::Enter).await;
            break;
        }
    }
    for name in ["name", "stage", "access", "level.bots", "expiry", "Restrictions", "Create key"] {
        assert!(stops.iter().any(|stop| stop == name), "{name} is not among {stops:?}");
    }
    browser.wait_for("h1", |text| text == "Your new key").await;
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn in_two_tabs_each_form_makes_its_key_and_no_change_is_lost() {
    let world = World::new().await;
    let tabs = [Browser::start().await, Browser::start().await];
    for tab in &tabs {
        let origin = sign_in(tab, &world).await;
        tab.open(format!("{origin}{BASE}/new")).await;
    }
    for (tab, name) in tabs.iter().zip(["from one", "from the other"]) {
        tab.fill("#name", name).await;
        tab.click("input[name=stage][value=live]").await;
        tab.click(".ak-form .ak-primary").await;
        tab.wait_for("h1", |text| text == "Your new key").await;
    }
    let keys = world.keys.list(&KeyQuery::new()).await.unwrap().keys;
    assert_eq!(keys.len(), 2);
    let change = format!("http://{}{BASE}/key/{}/change", world.address, keys[0].record.id());
    for tab in &tabs {
        tab.open(&change).await;
    }
    tabs[0].fill("#name", "as one says").await;
    tabs[0].click(".ak-form .ak-primary").await;
    tabs[0].wait_for(".ak-done", |text| text.contains("changed")).await;
    tabs[1].fill("#name", "as the other says").await;
    tabs[1].click(".ak-form .ak-primary").await;
    tabs[1].wait_for(".ak-alert", |text| text.contains("after you opened the form")).await;
    assert_eq!(tabs[1].value_of("#name").await, "as the other says");
    let name = world.keys.get(keys[0].record.id()).await.unwrap();
    assert_eq!(name.record.name(), "as one says");
}

async fn a_session_ends_while_a_form_is_open(setup: Setup) {
    let world = World::new().await;
    let browser = setup.start().await;
    let origin = sign_in(&browser, &world).await;
    browser.open(format!("{origin}{BASE}/new")).await;
    browser.fill("#name", "CI deploys").await;
    browser.click("input[name=stage][value=test]").await;
    browser.click("input[name='level.bots'][value=custom]").await;
    browser.click("input[value='bots:write']").await;
    world.sessions.end();
    browser.click(".ak-form .ak-primary").await;
    browser.wait_for(".ak-alert", |text| text.contains("Nothing that you typed is lost")).await;
    assert_is_fine(&browser, 10_000, "a form after the session").await;
    let sign_in = browser.attribute_of(".ak-alert a", "href").await.unwrap();
    assert_eq!(browser.attribute_of(".ak-alert a", "target").await.as_deref(), Some("_blank"));
    // In another tab.
    let tab = Browser::start().await;
    tab.open(format!("{origin}{sign_in}")).await;
    assert_eq!(browser.value_of("#name").await, "CI deploys");
    browser.click(".ak-form .ak-primary").await;
    browser.wait_for("h1", |text| text == "Your new key").await;
    let key = world.keys.list(&KeyQuery::new()).await.unwrap().keys.remove(0).record;
    let abilities: Vec<_> = key.abilities().iter().map(ToString::to_string).collect();
    assert_eq!((key.name(), abilities), ("CI deploys", vec!["bots:write".to_owned()]));
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn a_session_that_ended_while_a_form_was_open_loses_nothing_with_javascript() {
    a_session_ends_while_a_form_is_open(Setup::default()).await;
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn a_session_that_ended_while_a_form_was_open_loses_nothing_without_javascript() {
    a_session_ends_while_a_form_is_open(Setup::default().without_javascript()).await;
}

/// Ticks a box, and then chooses a level that ignores it.
async fn choose_a_level_after_a_box(browser: &Browser, origin: &str) {
    browser.open(format!("{origin}{BASE}/new")).await;
    browser.fill("#name", "CI deploys").await;
    browser.click("input[name=stage][value=test]").await;
    browser.click("input[name='level.bots'][value=custom]").await;
    browser.click("input[value='bots:write']").await;
    browser.click("input[name='level.bots'][value=read]").await;
    browser.click(".ak-form .ak-primary").await;
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn with_javascript_a_box_of_another_level_is_not_sent() {
    let world = World::new().await;
    let browser = Setup::default().start().await;
    let origin = sign_in(&browser, &world).await;
    choose_a_level_after_a_box(&browser, &origin).await;
    browser.wait_for("h1", |text| text == "Your new key").await;
    let key = world.keys.list(&KeyQuery::new()).await.unwrap().keys.remove(0).record;
    assert_eq!(*key.abilities(), ["bots:read"].try_into().unwrap());
    // A preset instead.
    let browser = Setup::default().start().await;
    let origin = sign_in(&browser, &world).await;
    browser.open(format!("{origin}{BASE}/new")).await;
    browser.fill("#name", "Chat widget").await;
    browser.click("input[name=stage][value=test]").await;
    browser.click("input[name='level.bots'][value=custom]").await;
    browser.click("input[value='bots:write']").await;
    browser.click("input[name=access][value='preset:Chat only']").await;
    browser.click(".ak-form .ak-primary").await;
    browser.wait_for("h1", |text| text == "Your new key").await;
    let key = world.keys.list(&KeyQuery::new()).await.unwrap().keys.remove(0).record;
    assert_eq!(*key.abilities(), ["chat:send"].try_into().unwrap());
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn without_javascript_a_box_of_another_level_is_shown_with_what_to_do() {
    let world = World::new().await;
    let browser = Setup::default().without_javascript().start().await;
    let origin = sign_in(&browser, &world).await;
    choose_a_level_after_a_box(&browser, &origin).await;
    browser.wait_for(".ak-alert", |text| text.contains("bots:write counts only with")).await;
    assert_is_fine(&browser, 1000, "a form with a box of another level").await;
    assert!(browser.is_shown("input[value='bots:write']").await);
    browser.click("input[value='bots:write']").await;
    browser.click(".ak-form .ak-primary").await;
    browser.wait_for("h1", |text| text == "Your new key").await;
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn a_form_of_another_site_is_refused() {
    let world = World::new().await;
    let key = world.live("Nightly import").await;
    let browser = Browser::start().await;
    // With Fetch Metadata where an origin is trustworthy, and by `Origin` alone where it is not.
    for host in ["127.0.0.1", "shop.example"] {
        let target = format!("http://{host}:{}", world.address.port());
        browser.open(format!("{target}/sign-in/acme")).await;
        browser.wait_for_url(|url| url.ends_with(BASE)).await;
        let path = format!("{target}{BASE}/key/{}", key.record.id());
        let page = format!(
            "<!doctype html><form method=post action='{path}/revoke'><button>Win</button></form>"
        );
        let page = axum::response::Html(page);
        let app = axum::Router::new().route("/", axum::routing::get(async move || page));
        let evil = crate::common::serve(app).await;
        browser.open(format!("http://evil.example:{}/", evil.port())).await;
        browser.click("button").await;
        browser.wait_for("p.ak-lead", |text| text.contains("Another site")).await;
        let record = world.keys.get(key.record.id()).await.unwrap().record;
        assert!(record.revoked_at().is_none());
        // The same form of the pages is let through.
        browser.open(format!("{path}/rename")).await;
        browser.fill("#name", &format!("from {host}")).await;
        browser.click(".ak-form .ak-primary").await;
        browser.wait_for("h1", |text| text.starts_with("from ")).await;
    }
}
