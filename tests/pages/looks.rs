//! How pages look to all: axe-core finds nothing, nothing runs over the edge, nothing is refused or comes from
//! elsewhere. And pictures of them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use tower_api_key::Clock as _;

use crate::common::browser::{Browser, Setup};
use crate::world::{BASE, World, live, use_hourly};

/// Widths and schemes.
pub const LOOKS: [(u32, &str); 4] =
    [(1280, "light"), (1280, "dark"), (320, "light"), (320, "dark")];

/// The script of axe-core, which `tests/all` installs.
fn axe() -> &'static str {
    static AXE: OnceLock<String> = OnceLock::new();
    AXE.get_or_init(|| {
        let packages = std::env::var("TEST_NODE_PATH").expect("run tests/all");
        std::fs::read_to_string(Path::new(&packages).join("axe-core/axe.min.js")).unwrap()
    })
}

/// Asserts that a page is for everybody, and that nothing on it is from elsewhere.
pub async fn assert_is_fine(browser: &Browser, width: u32, what: &str) {
    // In the room that a scroll bar leaves.
    let over = "const page = document.documentElement; return page.scrollWidth - page.clientWidth";
    assert_eq!(browser.run(over, &Value::Null).await, json!(0), "{what} at {width}");
    assert_is_accessible(browser, what).await;
    // An answer with an error is one, and is no error of the page.
    let errors = browser.console_errors().await.into_iter();
    let errors: Vec<_> =
        errors.filter(|error| !error.contains("responded with a status of 4")).collect();
    assert_eq!(errors, [""; 0], "{what}");
}

async fn assert_is_accessible(browser: &Browser, what: &str) {
    let script = format!(
        "if (matchMedia('(scripting: none)').matches) {{
            // Pages without JavaScript have no timers, and axe-core waits for them: here, not at all.
            window.setTimeout = (run, _, ...given) => {{ Promise.resolve().then(() => run(...given)); return 0; }};
        }}
        if (!window.axe) {{ {} }}
        const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
        const found = await axe.run(document, {{ runOnly: tags, preload: false }});
        if (found.passes.length < 10) throw new Error('axe-core looked at nothing');
        return found.violations.map(each => [each.id, each.help, each.nodes.map(node => node.html)]);",
        axe()
    );
    let violations = browser.run(&script, &Value::Null).await;
    assert_eq!(violations, json!([]), "{what}");
}

/// Asserts that all requests so far went to the server of the world, or nowhere.
pub async fn assert_stays_at(browser: &Browser, origin: &str) {
    for request in browser.requests().await {
        let is_here = request.url.starts_with(origin) || request.url.starts_with("data:");
        assert!(is_here, "{request:?}");
        assert_ne!(request.error.as_deref(), Some("csp"), "{request:?}");
    }
}

pub async fn sign_in(browser: &Browser, world: &World) -> String {
    let origin = format!("http://{}", world.address);
    browser.open(format!("{origin}/sign-in/acme")).await;
    browser.wait_for_url(|url| url.ends_with(BASE)).await;
    origin
}

/// A world in which there is something of everything.
async fn full_world() -> (World, String) {
    let world = World::new().await;
    let key = live("Nightly import").abilities(["bots:read", "bots:write"]).limit("100 per minute");
    let key = world.issue(key.addresses(["192.0.2.0/24", "2001:db8::/32"])).await;
    let id = key.record.id().to_string();
    use_hourly(&world.store, &key, world.clock.now()).await;
    world.live("\u{5e9}\u{5dc}\u{5d5}\u{5dd} <b>import</b>").await;
    world.live(&"\u{754c}".repeat(100)).await;
    world.live(&"W".repeat(100)).await;
    let revoked = world.live("A revoked one").await;
    world.keys.revoke(revoked.record.id()).await.unwrap();
    let rotated = world.live("A rotated one").await;
    world.keys.rotate(rotated.record.id(), std::time::Duration::from_secs(3600)).await.unwrap();
    (world, id)
}

async fn each_page_is_fine(setup: Setup) {
    let (world, id) = full_world().await;
    let browser = setup.start().await;
    let origin = sign_in(&browser, &world).await;
    let empty = World::with(|pages| pages.without_history()).await;
    for (width, scheme) in LOOKS {
        browser.resize(width, 900).await;
        browser.prefer(scheme).await;
        for path in [
            "".to_owned(),
            "?name=nothing-like-this".to_owned(),
            "?sort=name".to_owned(),
            "/new".to_owned(),
            "/new-public".to_owned(),
            format!("/key/{id}"),
            format!("/key/{id}?by=hour&done=changed"),
            format!("/key/{id}/rename"),
            format!("/key/{id}/change"),
            format!("/key/{id}/rotate"),
            format!("/key/{id}/revoke"),
            "/key/none".to_owned(),
        ] {
            browser.open(format!("{origin}{BASE}{path}")).await;
            assert_is_fine(&browser, width, &format!("{path} at {width}, {scheme}")).await;
        }
        let page = if scheme == "dark" { "rgb(16, 18, 24)" } else { "rgb(255, 255, 255)" };
        assert_eq!(
            browser.style_of("body", "background-color").await,
            page.replace("rgb(", "rgba(").replace(')', ", 1)")
        );
    }
    // At 200 %, a page of 1280 pixels is as wide as one of 640.
    browser.resize(640, 450).await;
    for path in ["".to_owned(), "/new".to_owned(), format!("/key/{id}")] {
        browser.open(format!("{origin}{BASE}{path}")).await;
        assert_is_fine(&browser, 640, &path).await;
    }
    assert_stays_at(&browser, &origin).await;
    let origin = sign_in(&browser, &empty).await;
    for (width, scheme) in LOOKS {
        browser.resize(width, 900).await;
        browser.prefer(scheme).await;
        browser.open(format!("{origin}{BASE}")).await;
        assert_is_fine(&browser, width, "the first visit").await;
    }
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn each_page_is_for_everybody_with_javascript() {
    each_page_is_fine(Setup::default()).await;
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn each_page_is_for_everybody_without_javascript() {
    each_page_is_fine(Setup::default().without_javascript()).await;
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn times_are_in_the_zone_of_the_reader_if_there_is_javascript() {
    let (world, id) = full_world().await;
    let browser = Browser::start().await;
    let origin = sign_in(&browser, &world).await;
    browser.open(format!("{origin}{BASE}/key/{id}")).await;
    // It is noon in UTC.
    let shown = browser.text_of(".ak-facts time").await;
    let expected = "return new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' })\
                    .format(new Date('2026-11-29T12:00Z'))";
    assert_eq!(Value::from(shown), browser.run(expected, &Value::Null).await);
    let without = Setup::default().without_javascript().start().await;
    sign_in(&without, &world).await;
    without.open(format!("{origin}{BASE}/key/{id}")).await;
    assert_eq!(without.text_of(".ak-facts time").await, "29 Nov 2026, 12:00 UTC");
}

/// Where the pictures go: beside the tests, if that is asked for, so that they are those of the README.
fn picture(name: &str) -> PathBuf {
    match std::env::var_os("UPDATE_PICTURES") {
        Some(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join("pages/pictures").join(name),
        None => looked_at(name),
    }
}

/// Where pictures go that only those look at who change the pages.
fn looked_at(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    std::fs::create_dir_all(&directory).unwrap();
    directory.join(name)
}

/// Takes the pictures of the README, of the example in its own layout, which has to run.
#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn pictures_are_taken_of_the_example() {
    let mut example = example().await;
    let browser = Browser::start().await;
    let origin = example.1.clone();
    browser.open(format!("{origin}/sign-in")).await;
    assert_is_fine(&browser, 10_000, "the page that signs in").await;
    browser.fill("input[name=email]", "alice@acme.example").await;
    browser.fill("input[name=password]", "correct-horse").await;
    browser.click(".sign-in button").await;
    browser.wait_for_url(|url| url.ends_with(BASE)).await;
    let mut key = String::new();
    for scheme in ["light", "dark"] {
        let take = async |name: &str| {
            assert_is_fine(&browser, 1280, name).await;
            browser.screenshot(picture(&format!("{name}-{scheme}.png"))).await;
        };
        browser.prefer(scheme).await;
        browser.resize(1280, 860).await;
        browser.open(format!("{origin}{BASE}")).await;
        take("list").await;
        browser.click_link("Nightly import").await;
        browser.wait_for("h1", |text| text == "Nightly import").await;
        browser.resize(1280, 1010).await;
        take("key").await;
        key = browser.url().await.split_once(BASE).unwrap().1.to_owned();
        browser.open(format!("{origin}{BASE}/new")).await;
        browser.fill("#name", "CI deploys").await;
        browser.click("input[name=stage][value=live]").await;
        browser.click("input[name='level.bots'][value=custom]").await;
        browser.click("input[value='bots:write']").await;
        browser.resize(1280, 1040).await;
        take("create").await;
        browser.click(".ak-form .ak-primary").await;
        browser.wait_for("h1", |text| text == "Your new key").await;
        browser.resize(1280, 680).await;
        take("secret").await;
        browser.click("[data-ak-stored]").await;
        browser.wait_for("h1", |text| text == "CI deploys").await;
    }
    for width in [320, 768, 1000, 1150, 1200, 1240] {
        browser.resize(width, 860).await;
        browser.open(format!("{origin}{BASE}")).await;
        assert_is_fine(&browser, width, "the list of the example").await;
    }
    // To be looked at, and not shown in the README.
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        browser.resize(320, 1400).await;
        for (path, name) in [("", "list"), ("/new", "create"), (&key, "key")] {
            browser.open(format!("{origin}{BASE}{path}")).await;
            assert_is_fine(&browser, 320, name).await;
            browser.screenshot(looked_at(&format!("{name}-{scheme}-320.png"))).await;
        }
        browser.open(format!("{origin}{BASE}/new")).await;
        browser.fill("#name", "From a telephone").await;
        browser.click("input[name=stage][value=live]").await;
        browser.click(".ak-form .ak-primary").await;
        browser.wait_for("h1", |text| text == "Your new key").await;
        assert_is_fine(&browser, 320, "secret").await;
        browser.screenshot(looked_at(&format!("secret-{scheme}-320.png"))).await;
        browser.click("[data-ak-stored]").await;
        browser.wait_for("h1", |text| text == "From a telephone").await;
    }
    assert_stays_at(&browser, &origin).await;
    example.0.kill().await.unwrap();
}

/// Builds and starts the example on a free port.
async fn example() -> (tokio::process::Child, String) {
    use tokio::io::AsyncBufReadExt as _;
    let mut process = tokio::process::Command::new(crate::common::built::example("dashboard"))
        .env("ADDR", "127.0.0.1:0")
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(process.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("the example ended");
        if let Some(origin) = line.strip_prefix("listening on ") {
            return (process, origin.to_owned());
        }
    }
}
