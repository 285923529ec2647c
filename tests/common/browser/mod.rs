//! Chromium, which opens pages, clicks, types and reads as a user does, by Debian's driver for it.
//!
//! ```ignore
//! let browser = Browser::start().await;
//! browser.open(format!("http://{address}/keys")).await;
//! browser.fill("input[name=label]", "reports").await;
//! browser.click("button").await;
//! assert_eq!(browser.text_of("h1").await, "Your key");
//! assert_eq!(browser.console_errors().await, [""; 0]);
//! ```
//!
//! Elements are named by CSS selectors, which are for the first element that they match. Each verb waits
//! for its element, and panics if there is none after a minute.
//!
//! `tests/all` finds or installs the browser and its driver. The browser finds servers of this machine only: `*.example` is
//! this machine, and nothing else is anywhere.

mod log;
mod setup;

use std::path::Path;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
pub use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};

#[allow(unused_imports, reason = "no program uses all of it")]
pub use {log::Sent, setup::Setup};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page. It has a profile of its own, and ends when it is dropped.
pub struct Browser {
    page: Client,
    _driver: setup::Driver,
}

/// A cookie, as the browser keeps it, also if no script may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    pub name: String,
    pub value: String,
    pub path: String,
    pub is_http_only: bool,
    pub is_secure: bool,
    /// `Strict`, `Lax` or `None`.
    pub same_site: Option<String>,
}

/// Going from page to page.
impl Browser {
    /// Opens a page, and returns when it and its scripts are loaded.
    pub async fn open(&self, url: impl AsRef<str>) {
        in_time(self.page.goto(url.as_ref())).await;
    }

    /// Goes to the page before, like the button for it.
    pub async fn back(&self) {
        in_time(self.page.back()).await;
    }

    pub async fn reload(&self) {
        in_time(self.page.refresh()).await;
    }

    pub async fn url(&self) -> String {
        in_time(self.page.current_url()).await.into()
    }

    /// Waits until the address is as it should be, and returns it.
    pub async fn wait_for_url(&self, is_so: impl Fn(&str) -> bool) -> String {
        until("the address", async || Ok(self.url().await), is_so).await
    }
}

/// Clicks and keys.
impl Browser {
    pub async fn click(&self, selector: &str) {
        in_time(self.element(selector).await.click()).await;
    }

    /// Clicks on the link with this text.
    pub async fn click_link(&self, text: &str) {
        in_time(self.located(Locator::LinkText(text), text).await.click()).await;
    }

    /// Types a text into an element in place of what is there.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        in_time(element.clear()).await;
        in_time(element.send_keys(text)).await;
    }

    /// Chooses the option with this text in a `select`.
    pub async fn choose(&self, selector: &str, label: &str) {
        in_time(self.element(selector).await.select_by_label(label)).await;
    }

    /// Presses a key, such as [`Key::Tab`], where the focus is.
    pub async fn press(&self, key: Key) {
        let focused = in_time(self.page.active_element()).await;
        in_time(focused.send_keys(&char::from(key).to_string())).await;
    }
}

/// Reading.
impl Browser {
    pub async fn title(&self) -> String {
        in_time(self.page.title()).await
    }

    /// Returns the text of an element, as it is seen.
    pub async fn text_of(&self, selector: &str) -> String {
        // What the driver calls the text leaves out what is for pages without scripts.
        self.property_of(selector, "innerText").await.unwrap_or_default()
    }

    /// Returns the text of each element that there is at the moment.
    pub async fn texts_of(&self, selector: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(argument)].map(each => each.innerText)";
        serde_json::from_value(self.run(script, &json!(selector)).await).unwrap()
    }

    /// Waits until the text of an element is as it should be, and returns it.
    pub async fn wait_for(&self, selector: &str, is_so: impl Fn(&str) -> bool) -> String {
        let text = async || {
            let element = self.page.find(Locator::Css(selector)).await?;
            Ok(element.prop("innerText").await?.unwrap_or_default())
        };
        until(selector, text, is_so).await
    }

    /// Returns how many elements there are at the moment.
    pub async fn count(&self, selector: &str) -> usize {
        in_time(self.page.find_all(Locator::Css(selector))).await.len()
    }

    /// Tells whether an element takes room on the page.
    pub async fn is_shown(&self, selector: &str) -> bool {
        in_time(self.element(selector).await.is_displayed()).await
    }

    pub async fn attribute_of(&self, selector: &str, name: &str) -> Option<String> {
        in_time(self.element(selector).await.attr(name)).await
    }

    /// Returns what a field has as its value.
    pub async fn value_of(&self, selector: &str) -> String {
        self.property_of(selector, "value").await.unwrap_or_default()
    }

    /// Returns what a property of the style, such as `background-color`, comes to.
    pub async fn style_of(&self, selector: &str, property: &str) -> String {
        in_time(self.element(selector).await.css_value(property)).await
    }

    async fn property_of(&self, selector: &str, name: &str) -> Option<String> {
        in_time(self.element(selector).await.prop(name)).await
    }

    /// Returns what the body of an asynchronous function returns in the page. It has `argument`.
    pub async fn run(&self, script: &str, argument: &Value) -> Value {
        let script = format!(
            "const [argument, done] = arguments;\
             (async () => {{ {script} }})()\
             .then(value => done({{ value }}), error => done({{ error: String(error) }}));"
        );
        let returned = self.page.execute_async(&script, vec![argument.clone()]);
        let mut returned = in_time(returned).await;
        assert_eq!(returned.get("error"), None);
        returned["value"].take()
    }

    /// Returns the cookies that go to the page, by name.
    pub async fn cookies(&self) -> Vec<Cookie> {
        let cookies = in_time(self.page.get_all_cookies()).await.into_iter();
        let mut cookies: Vec<_> = cookies
            .map(|cookie| Cookie {
                name: cookie.name().to_owned(),
                value: cookie.value().to_owned(),
                path: cookie.path().unwrap_or_default().to_owned(),
                is_http_only: cookie.http_only() == Some(true),
                is_secure: cookie.secure() == Some(true),
                same_site: cookie.same_site().map(|same_site| same_site.to_string()),
            })
            .collect();
        cookies.sort_by(|one, other| one.name.cmp(&other.name));
        cookies
    }

    pub async fn delete_cookies(&self) {
        in_time(self.page.delete_all_cookies()).await;
    }
}

/// How the page is shown.
impl Browser {
    /// Gives the page this size in CSS pixels, without the frame of a window.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", &size).await;
    }

    /// Has the user prefer a scheme: `dark` or `light`.
    pub async fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [feature] })).await;
    }

    /// Tells how wide what is on the page is. It is wider than the page if that scrolls sideways.
    pub async fn width(&self) -> u64 {
        let width = "return document.documentElement.scrollWidth";
        self.run(width, &Value::Null).await.as_u64().unwrap()
    }

    /// Writes what is seen of the page to a file, as PNG.
    pub async fn screenshot(&self, path: impl AsRef<Path>) {
        std::fs::write(path, in_time(self.page.screenshot()).await).unwrap();
    }

    /// Calls a method of Chromium's own protocol.
    async fn devtools(&self, method: &str, parameters: &Value) -> Value {
        let call = json!({ "cmd": method, "params": parameters });
        self.tell(Command::new("goog/cdp/execute", call)).await
    }
}

impl Browser {
    /// Waits until there is such an element.
    async fn element(&self, selector: &str) -> Element {
        self.located(Locator::Css(selector), selector).await
    }

    async fn located(&self, locator: Locator<'_>, name: &str) -> Element {
        let found = self.page.wait().at_most(PATIENCE).every(PAUSE).for_element(locator);
        found.await.unwrap_or_else(|error| panic!("there is no {name}: {error}"))
    }

    async fn tell(&self, command: Command) -> Value {
        in_time(self.page.issue_cmd(command)).await
    }
}

const PAUSE: Duration = Duration::from_millis(50);

async fn in_time<T>(done: impl Future<Output = Result<T, CmdError>>) -> T {
    let done = tokio::time::timeout(PATIENCE, done).await.expect("it hangs");
    done.unwrap_or_else(|error| panic!("{error}"))
}

/// Reads until it is as it should be. It may fail while the page changes.
async fn until(
    what: &str,
    mut read: impl AsyncFnMut() -> Result<String, CmdError>,
    is_so: impl Fn(&str) -> bool,
) -> String {
    let mut last = Err(CmdError::WaitTimeout);
    let read = async {
        loop {
            last = read().await;
            if let Ok(text) = &last
                && is_so(text)
            {
                return text.clone();
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    read.unwrap_or_else(|_| panic!("{what} is still {last:?}"))
}

/// A command that only Chromium's driver has.
#[derive(Debug)]
struct Command {
    path: &'static str,
    body: Value,
}

impl Command {
    fn new(path: &'static str, body: Value) -> Self {
        Self { path, body }
    }
}

impl WebDriverCompatibleCommand for Command {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
