//! Where a secret is, and where it is not any more.

use serde_json::{Value, json};
use tower_api_key::store::KeyQuery;

use crate::common::browser::{Browser, Setup};
use crate::looks::sign_in;
use crate::world::{BASE, World};

/// Creates a key, and returns its secret, which is on the page.
async fn create(browser: &Browser, origin: &str) -> String {
    browser.open(format!("{origin}{BASE}/new")).await;
    browser.fill("#name", "CI deploys").await;
    browser.click("input[name=stage][value=live]").await;
    browser.click(".ak-form .ak-primary").await;
    browser.wait_for("h1", |text| text == "Your new key").await;
    let secret = browser.text_of("#secret").await;
    assert!(secret.starts_with("sk_live_"));
    secret
}

/// Asserts that a secret is neither on the page nor in anything that the page can read.
async fn assert_is_gone(browser: &Browser, secret: &str, when: &str) {
    let all = "return [document.documentElement.outerHTML, location.href, document.cookie, \
               JSON.stringify(localStorage), JSON.stringify(sessionStorage), \
               JSON.stringify(history.state), window.name, document.referrer, \
               JSON.stringify(performance.getEntries())].join('\\n')";
    // The page of an error has no storage.
    let script = format!("try {{ {all} }} catch {{ return document.documentElement.outerHTML }}");
    let all = browser.run(&script, &Value::Null).await;
    assert!(!all.as_str().unwrap().contains(secret), "{when}");
    for cookie in browser.cookies().await {
        assert!(!cookie.value.contains(secret), "{when}");
    }
}

async fn a_secret_is_left(setup: Setup) {
    let world = World::new().await;
    let browser = setup.start().await;
    let origin = sign_in(&browser, &world).await;
    let secret = create(&browser, &origin).await;
    assert!(!browser.url().await.contains(&secret));
    browser.click("[data-ak-stored]").await;
    browser.wait_for("h1", |text| text == "CI deploys").await;
    assert_is_gone(&browser, &secret, "on the page of the key").await;
    // A page that no cache keeps is gone, too, on the way back.
    browser.back().await;
    assert_is_gone(&browser, &secret, "on the way back").await;
    browser.open(format!("{origin}{BASE}")).await;
    assert_is_gone(&browser, &secret, "on the list").await;
    for request in browser.requests().await {
        assert!(!request.url.contains(&secret), "{request:?}");
        assert!(!request.body.unwrap_or_default().contains(&secret));
    }
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn a_secret_is_nowhere_after_leaving_with_javascript() {
    a_secret_is_left(Setup::default()).await;
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn a_secret_is_nowhere_after_leaving_without_javascript() {
    a_secret_is_left(Setup::default().without_javascript()).await;
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn leaving_a_secret_asks_first_and_clears_it() {
    let world = World::new().await;
    let browser = Browser::start().await;
    let origin = sign_in(&browser, &world).await;
    let secret = create(&browser, &origin).await;
    let asks = "return !window.dispatchEvent(new Event('beforeunload', { cancelable: true }))";
    assert_eq!(browser.run(asks, &Value::Null).await, json!(true));
    let hide = "window.dispatchEvent(new Event('pagehide')); \
                return document.documentElement.outerHTML";
    let after = browser.run(hide, &Value::Null).await;
    assert!(!after.as_str().unwrap().contains(&secret));
    // Not after it was stored.
    let stored = "document.querySelector('[data-ak-stored]').addEventListener('click', event => \
                  event.preventDefault()); document.querySelector('[data-ak-stored]').click()";
    browser.run(stored, &Value::Null).await;
    assert_eq!(browser.run(asks, &Value::Null).await, json!(false));
    // Nor from other pages.
    browser.open(format!("{origin}{BASE}/new")).await;
    assert_eq!(browser.run(asks, &Value::Null).await, json!(false));
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn a_secret_is_copied_and_that_is_said() {
    let world = World::new().await;
    let browser = Browser::start().await;
    let origin = sign_in(&browser, &world).await;
    let secret = create(&browser, &origin).await;
    // What the browser would put into its clipboard, which is not that of this test alone.
    let keep = "navigator.clipboard.writeText = async text => { window.copied = text }";
    browser.run(keep, &Value::Null).await;
    for (id, copied) in [
        ("secret", secret.clone()),
        ("env", format!("SHOP_API_KEY={secret}")),
        (
            "curl",
            format!(
                "curl https://api.shop.example/v1/bots \\\n  -H \"Authorization: Bearer {secret}\""
            ),
        ),
    ] {
        let button = format!("[data-ak-copy={id}]");
        assert_eq!(browser.text_of(&button).await, "Copy");
        browser.click(&button).await;
        browser.wait_for(&button, |text| text == "Copied").await;
        assert_eq!(browser.run("return window.copied", &Value::Null).await, json!(copied));
    }
    // Where the clipboard is out of reach, the text is selected.
    let refuse = "navigator.clipboard.writeText = async () => { throw new Error('no') }";
    browser.run(refuse, &Value::Null).await;
    browser.click("[data-ak-copy=secret]").await;
    browser.wait_for("[data-ak-copy=secret]", |text| text.contains("Ctrl+C")).await;
    let selected = browser.run("return String(getSelection())", &Value::Null).await;
    assert_eq!(selected, json!(secret));
    // Without a script, there is no button that does nothing.
    let without = Setup::default().without_javascript().start().await;
    sign_in(&without, &world).await;
    create(&without, &origin).await;
    assert!(!without.is_shown("[data-ak-copy=secret]").await);
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn a_button_that_is_pressed_twice_makes_one_key_and_shows_a_secret_that_works() {
    let world = World::new().await;
    for setup in [Setup::default(), Setup::default().without_javascript()] {
        let browser = setup.start().await;
        let origin = sign_in(&browser, &world).await;
        browser.open(format!("{origin}{BASE}/new")).await;
        browser.fill("#name", "CI deploys").await;
        browser.click("input[name=stage][value=live]").await;
        let twice = "const form = document.querySelector('.ak-form'); \
                     form.querySelector('.ak-primary').click(); form.querySelector('.ak-primary').click()";
        browser.run(twice, &Value::Null).await;
        browser.wait_for("h1", |text| text == "Your new key").await;
        let secret = browser.text_of("#secret").await;
        let app = axum::Router::new()
            .route("/", axum::routing::get(async || ""))
            .layer(world.keys.layer());
        let address = crate::common::serve(app).await;
        let line = format!("x-api-key: {secret}");
        assert_eq!(crate::common::get_raw(address, "/", &[&line]).await.status, 200);
    }
    let query = KeyQuery::new().state(tower_api_key::store::KeyState::Active);
    assert_eq!(world.keys.list(&query).await.unwrap().keys.len(), 2, "one of each browser");
}
