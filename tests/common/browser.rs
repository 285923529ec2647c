//! Chromium, which opens pages, clicks and reads as a user does, by Debian's driver for it.
//!
//! `tests/all` finds or installs both. It finds servers of this machine only: `*.example` is this
//! machine, and nothing else is anywhere.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, LoggingPrefsLogLevel};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--host-resolver-rules=MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, \
     EXCLUDE 127.0.0.1",
];

/// A browser with one page. It has a profile of its own, and ends when it is dropped.
pub struct Browser {
    page: WebDriver,
    driver: Child,
    _profile: TempDir,
}

/// A cookie, as the browser keeps it, also if no script may read it.
#[derive(Debug)]
pub struct Cookie {
    pub name: String,
    pub value: String,
    pub is_http_only: bool,
    pub is_secure: bool,
    pub same_site: Option<String>,
}

/// What a browser is like.
#[derive(Default)]
pub struct Setup {
    without_javascript: bool,
    secure_origins: Vec<String>,
}

impl Setup {
    /// Has pages run no scripts.
    pub fn without_javascript(mut self) -> Self {
        self.without_javascript = true;
        self
    }

    /// Treats these origins as if they came over `https`.
    pub fn secure_origins(mut self, origins: &[String]) -> Self {
        self.secure_origins = origins.to_vec();
        self
    }

    pub async fn start(self) -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let (driver, port) = start_driver();
        // Ends the driver, also if nothing comes of it.
        let driver = Driver(Some(driver));
        let capabilities = self.capabilities(&profile).unwrap();
        let page = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities);
        let page = tokio::time::timeout(PATIENCE, page).await.expect("it hangs").unwrap();
        Browser { page, driver: driver.keep(), _profile: profile }
    }

    fn capabilities(&self, profile: &TempDir) -> WebDriverResult<ChromeCapabilities> {
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities.set_binary(&variable("CHROMIUM"))?;
        for argument in ARGUMENTS {
            capabilities.add_arg(argument)?;
        }
        capabilities.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
        if !self.secure_origins.is_empty() {
            let origins = self.secure_origins.join(",");
            let argument = format!("--unsafely-treat-insecure-origin-as-secure={origins}");
            capabilities.add_arg(&argument)?;
        }
        if self.without_javascript {
            let never = json!({ "profile.managed_default_content_settings.javascript": 2 });
            capabilities.add_experimental_option("prefs", never)?;
        }
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::Severe)?;
        Ok(capabilities)
    }
}

impl Browser {
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    /// Opens a page, and returns when it and its scripts are loaded.
    pub async fn open(&self, url: impl AsRef<str>) {
        in_time(self.page.goto(url.as_ref())).await;
    }

    /// Clicks on the first element that the CSS selector is for, once there is one.
    pub async fn click(&self, selector: &str) {
        in_time(self.element(selector).await.click()).await;
    }

    /// Types a text into an element in place of what is there.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        in_time(element.clear()).await;
        in_time(element.send_keys(text)).await;
    }

    /// Returns the text of an element, as it is seen.
    pub async fn text_of(&self, selector: &str) -> String {
        // What the driver calls the text leaves out what is for pages without scripts.
        in_time(self.element(selector).await.prop("innerText")).await.unwrap_or_default()
    }

    /// Waits until the text of an element is as it should be, and returns it.
    pub async fn wait_for(&self, selector: &str, is_so: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        for _ in 0..PATIENCE.as_millis() / 50 {
            text = self.text_of(selector).await;
            if is_so(&text) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{selector} is {text:?} still");
    }

    /// Returns how many elements there are at the moment.
    pub async fn count(&self, selector: &str) -> usize {
        in_time(self.page.find_all(By::Css(selector))).await.len()
    }

    pub async fn title(&self) -> String {
        in_time(self.page.title()).await
    }

    pub async fn url(&self) -> String {
        in_time(self.page.current_url()).await.into()
    }

    /// Returns what the body of an asynchronous function returns in the page. It has `argument`.
    pub async fn run(&self, script: &str, argument: &Value) -> Value {
        let script = format!(
            "const [argument, done] = arguments;\
             (async () => {{ {script} }})()\
             .then(value => done({{ value }}), error => done({{ error: String(error) }}));"
        );
        in_time(self.page.set_script_timeout(PATIENCE)).await;
        let returned = in_time(self.page.execute_async(script, vec![argument.clone()])).await;
        let mut returned = returned.json().clone();
        assert_eq!(returned.get("error"), None);
        returned["value"].take()
    }

    /// Returns the cookies of the page.
    pub async fn cookies(&self) -> Vec<Cookie> {
        let cookies = in_time(self.page.get_all_cookies()).await;
        let cookies = cookies.into_iter().map(|cookie| serde_json::to_value(cookie).unwrap());
        let is = |cookie: &Value, what: &str| cookie[what] == true;
        let text = |cookie: &Value, what: &str| cookie[what].as_str().map(str::to_owned);
        cookies
            .map(|cookie| Cookie {
                name: text(&cookie, "name").unwrap(),
                value: text(&cookie, "value").unwrap(),
                is_http_only: is(&cookie, "httpOnly"),
                is_secure: is(&cookie, "secure"),
                same_site: text(&cookie, "sameSite"),
            })
            .collect()
    }

    /// Returns what the console has had of errors since it was asked last.
    pub async fn console_errors(&self) -> Vec<String> {
        let entries = in_time(self.page.browser_log()).await;
        entries.into_iter().map(|entry| entry.message).collect()
    }

    /// Waits until there is such an element.
    async fn element(&self, selector: &str) -> WebElement {
        for _ in 0..PATIENCE.as_millis() / 50 {
            let found = in_time(self.page.find_all(By::Css(selector))).await;
            if let Some(first) = found.into_iter().next() {
                return first;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("there is no {selector}");
    }
}

async fn in_time<T>(done: impl Future<Output = WebDriverResult<T>>) -> T {
    let done = tokio::time::timeout(PATIENCE, done).await.expect("it hangs");
    done.unwrap_or_else(|error| panic!("{error}"))
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names a program: run tests/all"))
}

/// Starts the driver on a free port, which it says.
fn start_driver() -> (Child, u16) {
    let mut driver = Command::new(variable("CHROMEDRIVER"));
    // In a group of its own, with its browser.
    driver.process_group(0).arg("--port=0");
    driver.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = driver.spawn().expect("CHROMEDRIVER cannot be run");
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    // What it says from now on is read, so that it cannot block on it.
    std::thread::spawn(move || lines.for_each(drop));
    (driver, port.expect("the driver says its port"))
}

/// A driver that ends if nothing comes of it.
struct Driver(Option<Child>);

impl Driver {
    fn keep(mut self) -> Child {
        self.0.take().unwrap()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.as_mut().into_iter().for_each(end);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        end(&mut self.driver);
        // The session has ended with the driver.
        let _ = self.page.clone().leak();
    }
}

/// Ends the driver and its browser, which survives it otherwise.
fn end(driver: &mut Child) {
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", driver.id())]).status();
    let _ = driver.wait();
}
