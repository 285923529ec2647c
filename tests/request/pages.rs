//! What the tests of pages see, do and read, so that what they find absent would have been found.

use axum::Router;
use axum::extract::Form;
use axum::response::{AppendHeaders, Html, Redirect};
use axum::routing::get;
use http::header::{CONTENT_SECURITY_POLICY, SET_COOKIE};
use serde_json::json;

use crate::common::browser::{Browser, Key, Setup};
use crate::common::serve;

const LIST: &str = r#"<!doctype html><title>Keys</title>
<link rel="icon" href="data:,">
<style nonce="ours">
    h1 { color: black }
    main { min-width: 20rem }
    @media (prefers-color-scheme: dark) { h1 { color: white } }
    @media (max-width: 400px) { .wide { display: none } }
</style>
<main><h1>Keys</h1><p class="wide">one</p><p>two</p><a href="/new">New key</a></main>"#;

const FORM: &str = r#"<!doctype html><title>New key</title>
<link rel="icon" href="data:,">
<form method="post"><input name="label" value="old">
<select name="expires"><option value="1">a day</option><option value="30">a month</option></select>
<button>Create</button></form><noscript>without scripts</noscript>
<script>document.title = "inline"; document.cookie = "script=1";</script>
<img src="/missing.png" alt="">"#;

const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'nonce-ours'";

/// A list of keys and a form, with a policy that lets no script run.
async fn site() -> String {
    let form = async || (AppendHeaders([(CONTENT_SECURITY_POLICY, POLICY)]), Html(FORM));
    let create = async |Form(fields): Form<Vec<(String, String)>>| {
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| name + "=" + &value).collect();
        let cookie = format!("made={}; Path=/; HttpOnly; SameSite=Strict", fields.join("+"));
        (AppendHeaders([(SET_COOKIE, cookie)]), Redirect::to("/"))
    };
    let list = async || (AppendHeaders([(CONTENT_SECURITY_POLICY, POLICY)]), Html(LIST));
    let app = Router::new().route("/", get(list)).route("/new", get(form).post(create));
    format!("http://{}", serve(app).await)
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn a_user_follows_links_fills_forms_and_goes_back() {
    let site = site().await;
    let browser = Browser::start().await;
    browser.open(&site).await;
    assert_eq!(browser.texts_of("p").await, ["one", "two"]);
    browser.click_link("New key").await;
    assert_eq!(browser.url().await, format!("{site}/new"));
    browser.back().await;
    browser.wait_for("h1", |text| text == "Keys").await;
    browser.click_link("New key").await;
    assert_eq!(browser.value_of("input").await, "old");
    browser.fill("input", "reports & more").await;
    browser.choose("select", "a month").await;
    assert_eq!(browser.value_of("select").await, "30");
    assert_eq!(browser.attribute_of("input", "value").await.as_deref(), Some("old"));
    browser.press(Key::Tab).await;
    browser.press(Key::Enter).await;
    browser.wait_for_url(|url| url == format!("{site}/")).await;
    let cookies = browser.cookies().await;
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert_eq!(cookies[0].value, "label=reports & more+expires=30");
    assert_eq!((cookies[0].name.as_str(), cookies[0].path.as_str()), ("made", "/"));
    assert!(cookies[0].is_http_only && !cookies[0].is_secure);
    assert_eq!(cookies[0].same_site.as_deref(), Some("Strict"));
    browser.delete_cookies().await;
    assert_eq!(browser.cookies().await, []);
    assert_eq!(browser.count("h1").await, 1);
    assert_eq!(browser.count("h2").await, 0);
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn the_requests_of_a_page_and_what_is_wrong_with_it_are_seen() {
    let site = site().await;
    let browser = Browser::start().await;
    browser.open(&site).await;
    assert_eq!(browser.console_errors().await, [""; 0]);
    let requests = async || {
        let sent = browser.requests().await.into_iter();
        let path = |url: &str| url.strip_prefix(&site).unwrap_or(url).to_owned();
        sent.map(|sent| (sent.method, path(&sent.url), sent.status, sent.body)).collect::<Vec<_>>()
    };
    let got = |path: &str, status| ("GET".to_owned(), path.to_owned(), Some(status), None);
    assert_eq!(requests().await, [got("/", 200)]);
    browser.open(format!("{site}/new")).await;
    assert_eq!(browser.title().await, "New key", "its script does not run");
    let errors = browser.console_errors().await;
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("Content Security Policy")), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("/missing.png")), "{errors:?}");
    assert_eq!(browser.console_errors().await, [""; 0], "those are told once");
    assert_eq!(requests().await, [got("/new", 200), got("/missing.png", 404)]);
    browser.fill("input", "a").await;
    browser.click("button").await;
    browser.wait_for("h1", |text| text == "Keys").await;
    let sent = Some("label=a&expires=1".to_owned());
    let posted = ("POST".to_owned(), "/new".to_owned(), Some(303), sent);
    assert_eq!(requests().await, [posted, got("/", 200)]);
    // Other machines are nowhere.
    browser.open("about:blank").await;
    for url in ["http://198.51.100.7/", "http://elsewhere.invalid/"] {
        browser.requests().await;
        let tried = "await fetch(argument, { mode: 'no-cors' }).catch(error => error.name)";
        let tried = browser.run(&format!("return {tried}"), &json!(url)).await;
        assert_eq!(tried, "TypeError");
        let sent = browser.requests().await;
        assert_eq!(sent[0].url, url);
        assert_eq!(sent[0].error.as_deref(), Some("net::ERR_NAME_NOT_RESOLVED"), "{sent:?}");
    }
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn pages_are_seen_narrow_wide_dark_and_light() {
    let browser = Browser::start().await;
    browser.open(site().await).await;
    for (width, is_shown) in [(1280, true), (300, false), (320, false), (1280, true)] {
        browser.resize(width, 800).await;
        assert_eq!(browser.is_shown(".wide").await, is_shown, "{width}");
        let wide = browser.width().await;
        // The page is 20rem wide at least, and its margin comes to it.
        assert_eq!(wide, if width < 1000 { 328 } else { 1280 }, "{width}");
    }
    for (scheme, color) in [("dark", 255), ("light", 0)] {
        browser.prefer(scheme).await;
        let color = format!("rgba({color}, {color}, {color}, 1)");
        assert_eq!(browser.style_of("h1", "color").await, color);
    }
    // A page that is opened later is seen in the same way.
    browser.resize(320, 640).await;
    browser.prefer("dark").await;
    browser.reload().await;
    assert!(!browser.is_shown(".wide").await);
    assert_eq!(browser.style_of("h1", "color").await, "rgba(255, 255, 255, 1)");
    let picture = tempfile::NamedTempFile::new().unwrap();
    browser.screenshot(picture.path()).await;
    let picture = std::fs::read(picture.path()).unwrap();
    assert_eq!(picture[..4], *b"\x89PNG");
    let side = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
    assert_eq!((side(16), side(20)), (320, 640));
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn a_browser_without_scripts_runs_none_and_does_the_rest() {
    let site = site().await;
    let scripted =
        format!("<!doctype html><title>still</title>{}", "<script>document.title = 'ran'</script>");
    let app = Router::new().route("/", get(async move || Html(scripted)));
    let page = format!("http://{}", serve(app).await);
    let browser = Browser::start().await;
    browser.open(&page).await;
    assert_eq!(browser.title().await, "ran");
    let browser = Setup::default().without_javascript().start().await;
    browser.open(&page).await;
    assert_eq!(browser.title().await, "still");
    browser.open(format!("{site}/new")).await;
    assert_eq!(browser.text_of("noscript").await, "without scripts");
    browser.fill("input", "plain").await;
    browser.click("button").await;
    browser.wait_for("h1", |text| text == "Keys").await;
    assert_eq!(browser.cookies().await[0].value, "label=plain+expires=1");
}
