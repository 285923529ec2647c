//! The facts of hapnd.txt on the side of the client: `examples/hapnd.rs`, as its user runs it.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use http::{HeaderMap, StatusCode};
use regex::Regex;
use serde_json::json;
use tempfile::TempDir;
use tower_api_key::KeyFormat;

use crate::common::built::example;
use crate::common::canary::gives_away;
use crate::common::serve;
use crate::example::Example;

const EVENTS: &str = "/v1/events";

/// A user of the example.
struct User {
    home: TempDir,
    url: String,
}

/// What the user sees.
struct Seen {
    status: i32,
    out: String,
    error: String,
}

impl User {
    fn of(server: &Example) -> Self {
        Self::at(format!("http://{}", server.address))
    }

    fn at(url: impl Into<String>) -> Self {
        Self { home: tempfile::tempdir().unwrap(), url: url.into() }
    }

    /// One for whom no server runs.
    fn alone() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::at(format!("http://{}", listener.local_addr().unwrap()))
    }

    fn file(&self) -> PathBuf {
        self.home.path().join(".hapnd/config.json")
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.home.path()).env("HAPND_URL", &self.url).env("NO_PROXY", "*");
        command.env_remove("HAPND_API_KEY").current_dir(self.home.path());
        command
    }

    fn hapnd(&self, arguments: &[&str]) -> Seen {
        seen(self.command(hapnd()).args(arguments).output().unwrap())
    }

    fn hapnd_with_key(&self, key: impl AsRef<OsStr>, arguments: &[&str]) -> Seen {
        let mut command = self.command(hapnd());
        seen(command.env("HAPND_API_KEY", key).args(arguments).output().unwrap())
    }

    fn hapnd_reads(&self, input: &[u8], arguments: &[&str]) -> Seen {
        let mut command = self.command(hapnd());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        process.stdin.take().unwrap().write_all(input).unwrap();
        seen(process.wait_with_output().unwrap())
    }

    /// Runs it by a shell that was set up by `setting`.
    fn hapnd_after(&self, setting: &str, arguments: &[&str]) -> Seen {
        let mut shell = self.command("sh");
        shell.args(["-c", &format!("{setting}; exec \"$@\""), "sh"]).arg(hapnd());
        seen(shell.args(arguments).output().unwrap())
    }

    /// Returns the paths of all files with the key in them.
    fn files_with(&self, key: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.home.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if gives_away(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()), key)
                {
                    found.push(path);
                }
            }
        }
        found
    }
}

fn hapnd() -> PathBuf {
    example("hapnd")
}

/// Whatever is printed, no key is in it.
fn seen(output: Output) -> Seen {
    let out = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let key = Regex::new("sk_(live|test|prod)_[0-9A-Za-z]{4}").unwrap();
    assert!(!key.is_match(&out) && !key.is_match(&error), "{out}{error}");
    assert!(!error.contains("panicked"), "{error}");
    Seen { status: output.status.code().unwrap(), out, error }
}

impl Seen {
    #[track_caller]
    fn assert_done(&self, text: &str) {
        assert_eq!((self.status, &*self.error), (0, ""), "{}", self.out);
        assert!(self.out.contains(text), "{}", self.out);
    }

    #[track_caller]
    fn assert_refused(&self, text: &str) {
        assert_eq!((self.status, &*self.out), (1, ""), "{}", self.error);
        assert!(self.error.starts_with("hapnd: ") && self.error.contains(text), "{}", self.error);
    }
}

fn key() -> String {
    KeyFormat::new("sk_live_").generate().unwrap().reveal().to_owned()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

#[tokio::test]
async fn a_key_is_kept_used_and_forgotten() {
    let server = Example::start("environments");
    let user = User::of(&server);
    user.hapnd(&["deploy"]).assert_refused("you are not logged in: run `hapnd login`");
    for (label, environment) in [("acme-live", "live"), ("acme-test", "test")] {
        user.hapnd(&["login", server.key(label)]).assert_done(".hapnd/config.json");
        assert_eq!(user.files_with(server.key(label)), [user.file()]);
        assert_eq!((mode(&user.file()), mode(&user.home.path().join(".hapnd"))), (0o600, 0o700));
        user.hapnd(&["deploy"]).assert_done(&format!("Deployed to {environment}"));
        let events = server.call(label, "GET", EVENTS, "").await.json();
        assert_eq!(events["events"], json!([{ "type": "deploy" }]));
    }
    user.hapnd(&["logout"]).assert_done("Logged out");
    assert!(!user.file().exists());
    user.hapnd(&["logout"]).assert_done("You were not logged in");
    user.hapnd(&["deploy"]).assert_refused("you are not logged in");
}

#[test]
fn a_key_may_come_from_standard_input() {
    let user = User::alone();
    for (arguments, end) in [(&["login"][..], "\n"), (&["login", "-"], "\r\n"), (&["login"], "")] {
        let key = key();
        user.hapnd_reads(format!("{key}{end}").as_bytes(), arguments).assert_done("Logged in");
        assert_eq!(user.files_with(&key), [user.file()]);
    }
    let before = std::fs::read(user.file()).unwrap();
    for wrong in [&b""[..], b"\n", b"sk_live_\xff", &[b'x'; 5000]] {
        user.hapnd_reads(wrong, &["login"]).assert_refused("");
        assert_eq!(std::fs::read(user.file()).unwrap(), before);
    }
}

#[test]
fn a_wrong_key_is_refused_before_anything_is_stored_and_not_echoed() {
    let user = User::alone();
    let right = key();
    for wrong in [&right.replace("live", "prod"), &right[8..], &right[..20], &format!("{right}1")] {
        let seen = user.hapnd(&["login", wrong]);
        seen.assert_refused("`sk_live_` followed by 40 base-62 characters, or `sk_test_` followed");
        assert!(!gives_away(&seen.error, &right) && !seen.error.contains(&right[8..20]));
        assert_eq!(std::fs::read_dir(user.home.path()).unwrap().count(), 0);
    }
}

#[test]
fn the_environment_variable_overrides_the_file() {
    let server = Example::start("environments");
    let user = User::of(&server);
    user.hapnd_with_key(server.key("acme-test"), &["deploy"]).assert_done("Deployed to test");
    user.hapnd(&["login", server.key("acme-live")]).assert_done("");
    user.hapnd_with_key(server.key("acme-test"), &["deploy"]).assert_done("Deployed to test");
    user.hapnd(&["deploy"]).assert_done("Deployed to live");
    assert!(user.files_with(server.key("acme-test")).is_empty());
}

#[test]
fn a_variable_that_is_set_to_something_wrong_is_never_passed_over() {
    let server = Example::start("environments");
    let user = User::of(&server);
    let live = server.key("acme-live");
    user.hapnd(&["login", live]).assert_done("");
    let wrong = ["", " ", &format!("{live}\n"), &live[..20], "pk_live_1234"].map(OsString::from);
    let not_unicode = OsStr::from_bytes(b"sk_live_\xff").to_owned();
    for wrong in wrong.into_iter().chain([not_unicode]) {
        let seen = user.hapnd_with_key(&wrong, &["deploy"]);
        seen.assert_refused("the environment variable HAPND_API_KEY");
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_with_the_advice_to_log_in_again() {
    let server = Example::start("environments");
    let user = User::of(&server);
    user.hapnd(&["login", server.key("acme-live")]).assert_done("");
    user.hapnd(&["deploy"]).assert_done("Deployed to live");
    let revoke = format!("/admin/keys/{}/revoke", server.id("acme-live"));
    assert_eq!(server.call("admin", "POST", &revoke, "").await.status, 200);
    let seen = user.hapnd(&["deploy"]);
    seen.assert_refused("config.json: log in again");
    let seen = user.hapnd_with_key(server.key("acme-live"), &["deploy"]);
    seen.assert_refused("HAPND_API_KEY: log in again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_answers_is_told() {
    let answer = |status: u16, headers: [(&'static str, &'static str); 1], body: &'static str| {
        let status = StatusCode::from_u16(status).unwrap();
        Router::new().fallback(any(async move || (status, headers, body)))
    };
    let problem = r#"{"title": "Forbidden", "detail": "Missing ability: events:write"}"#;
    for (app, told) in [
        (answer(429, [("retry-after", "17")], ""), "try again in 17 seconds"),
        (answer(403, [("content-type", "application/problem+json")], problem), "Missing ability"),
        (answer(500, [("x", "y")], "<html>"), "500 Internal Server Error"),
        (answer(201, [("x", "y")], "<html>"), "what the server answers is not understood"),
    ] {
        let user = User::at(format!("http://{}", serve(app).await));
        user.hapnd(&["login", &key()]).assert_done("");
        user.hapnd(&["deploy"]).assert_refused(told);
    }
    let hostile = answer(201, [("x", "y")], r#"{"environment":"\u001b[2J","event":"\u009b2J"}"#);
    let user = User::at(format!("http://{}", serve(hostile).await));
    user.hapnd(&["login", &key()]).assert_done("");
    let told = user.hapnd(&["deploy"]);
    told.assert_done("Deployed to an unknown environment");
    assert!(!told.out.trim_end().contains(char::is_control), "{:?}", told.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_does_not_see_the_key() {
    let requests = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&requests);
    let proxy = serve(Router::new().fallback(any(async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        StatusCode::CREATED
    })))
    .await;
    let user = User::alone();
    user.hapnd(&["login", &key()]).assert_done("");
    let mut command = user.command(hapnd());
    command.env_remove("NO_PROXY").env("no_proxy", "");
    for name in ["http_proxy", "all_proxy"] {
        command.env(name, format!("http://{proxy}"));
    }
    let told = seen(command.arg("deploy").output().unwrap());
    told.assert_refused("no server answers");
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_does_not_take_the_key_along() {
    let requests = Arc::<Mutex<Vec<HeaderMap>>>::default();
    let recorded = Arc::clone(&requests);
    let elsewhere = serve(Router::new().fallback(any(async move |request: Request| {
        recorded.lock().unwrap().push(request.headers().clone());
        StatusCode::CREATED
    })))
    .await;
    let location = format!("http://{elsewhere}/");
    let redirects = any(async move || (StatusCode::PERMANENT_REDIRECT, [("location", location)]));
    let user = User::at(format!("http://{}", serve(Router::new().fallback(redirects)).await));
    user.hapnd(&["login", &key()]).assert_done("");
    user.hapnd(&["deploy"]).assert_refused("308 Permanent Redirect");
    assert!(requests.lock().unwrap().is_empty());
}

#[test]
fn without_a_server_it_says_so() {
    let user = User::alone();
    user.hapnd(&["login", &key()]).assert_done("");
    let told = user.hapnd(&["deploy"]);
    told.assert_refused(&format!("no server answers at {}: is it running? (", user.url));
    let https = User::at("https://127.0.0.1:1");
    https.hapnd(&["login", &key()]).assert_done("");
    https.hapnd(&["deploy"]).assert_refused("scheme is not http");
    let mut command = user.command(hapnd());
    command.env("HAPND_URL", OsStr::from_bytes(b"http://\xff")).arg("deploy");
    seen(command.output().unwrap()).assert_refused("not valid unicode");
}

#[test]
fn the_key_is_not_sent_over_a_network_in_plain_text() {
    let user = User::at("http://hapnd.example");
    user.hapnd(&["login", &key()]).assert_done("");
    user.hapnd(&["deploy"]).assert_refused("HAPND_URL: everyone on the way can read a key");
}

#[test]
fn a_command_that_is_not_understood_is_answered_with_the_usage() {
    let user = User::alone();
    for arguments in [&[][..], &["x"], &["login", "a", "b"], &["logout", "x"], &["deploy", "x"]] {
        let seen = user.hapnd(arguments);
        assert_eq!((seen.status, &*seen.out), (2, ""));
        assert!(seen.error.starts_with("usage: hapnd login"), "{}", seen.error);
    }
    let mut command = user.command(hapnd());
    let not_unicode = OsStr::from_bytes(b"sk_live_\xff");
    assert_eq!(seen(command.arg("login").arg(not_unicode).output().unwrap()).status, 2);
}

#[test]
fn the_umask_does_not_change_who_may_read_the_file() {
    for umask in ["0000", "0777", "0277", "0022"] {
        let user = User::alone();
        let key = key();
        user.hapnd_after(&format!("umask {umask}"), &["login", &key]).assert_done("");
        assert_eq!(mode(&user.file()), 0o600, "{umask}");
        assert_eq!(mode(user.file().parent().unwrap()), 0o700, "{umask}");
        assert_eq!(user.files_with(&key), [user.file()]);
    }
}

#[test]
fn on_a_full_disk_the_old_key_stays() {
    let user = User::alone();
    let (old, new) = (key(), key());
    user.hapnd(&["login", &old]).assert_done("");
    // No file may grow, and writing says so instead of ending the program.
    let full = "trap '' XFSZ; ulimit -f 0";
    user.hapnd_after(full, &["login", &new]).assert_refused("cannot be written: ");
    assert_eq!(user.files_with(&old), [user.file()]);
    assert!(user.files_with(&new).is_empty());
    assert_eq!(std::fs::read_dir(user.home.path().join(".hapnd")).unwrap().count(), 1);
}

#[test]
fn without_a_home_only_the_variable_is_of_use() {
    let server = Example::start("environments");
    let user = User::of(&server);
    let run = |key: Option<&str>, arguments: &[&str]| {
        let mut command = user.command(hapnd());
        // An empty one is as none: the account's own is taken.
        command.env("HOME", "relative").args(arguments);
        seen(command.envs(key.map(|key| ("HAPND_API_KEY", key))).output().unwrap())
    };
    for arguments in [&["login", server.key("acme-live")][..], &["logout"], &["deploy"]] {
        run(None, arguments).assert_refused("the home directory of the user is not known");
    }
    run(Some(server.key("acme-live")), &["deploy"]).assert_done("Deployed to live");
    assert_eq!(std::fs::read_dir(user.home.path()).unwrap().count(), 0);
}
