//! Chromium's driver: a process with a browser of its own, which ends with the test.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use fantoccini::ClientBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Browser, PATIENCE, PAUSE};

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

/// Ends all of its process group once its input ends, which it does with the test, however that ends.
const WATCHED: &str = r#""$0" --port=0 </dev/null & exec >&-; read -r _; kill -KILL 0"#;

/// What a browser is like.
#[derive(Default)]
pub struct Setup {
    without_javascript: bool,
    secure_origins: Vec<String>,
}

impl Setup {
    /// Has pages run no scripts. [`Browser::run`] runs its own.
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
        let driver = Driver::start();
        let mut page = ClientBuilder::new(HttpConnector::new());
        let Value::Object(capabilities) = self.capabilities(driver.directory.path()) else {
            unreachable!("it is an object")
        };
        let url = format!("http://127.0.0.1:{}", driver.port);
        let page = page.capabilities(capabilities).connect(&url);
        let page = tokio::time::timeout(PATIENCE, page).await.expect("it hangs").unwrap();
        Browser { page, _driver: driver }
    }

    fn capabilities(&self, directory: &Path) -> Value {
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", directory.join("profile").display()));
        if !self.secure_origins.is_empty() {
            let origins = self.secure_origins.join(",");
            arguments.push(format!("--unsafely-treat-insecure-origin-as-secure={origins}"));
        }
        let mut options = json!({ "args": arguments, "binary": variable("CHROMIUM") });
        if self.without_javascript {
            options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
        }
        json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "SEVERE", "performance": "ALL" },
            "timeouts": { "script": PATIENCE.as_millis(), "pageLoad": PATIENCE.as_millis() },
        })
    }
}

/// The driver and its browser, which end when it is dropped.
pub(super) struct Driver {
    process: Child,
    port: u16,
    said: Option<JoinHandle<()>>,
    /// The files of both.
    directory: TempDir,
}

impl Driver {
    /// Starts the driver on a free port, which it says.
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new("sh")
            .args(["-c", WATCHED])
            .arg(variable("CHROMEDRIVER"))
            // What Chromium leaves there goes with the profile.
            .env("TMPDIR", directory.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        // What it says from now on is read, so that it cannot block on it.
        let said = std::thread::spawn(move || lines.for_each(drop));
        let driver = Self { process, port: port.unwrap_or(0), said: Some(said), directory };
        assert_ne!(driver.port, 0, "CHROMEDRIVER cannot be run");
        driver
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
        // The output ends when the last of them has.
        let _ = self.said.take().map(JoinHandle::join);
        // Those that are about to end may write still.
        for _ in 0..100 {
            if std::fs::remove_dir_all(self.directory.path()).is_ok() {
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names a program: run tests/all"))
}

impl Browser {
    pub async fn start() -> Self {
        Setup::default().start().await
    }
}
