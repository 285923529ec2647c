//! Somebody who types commands.

use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::built::api_keys;

/// An operator in a directory of their own, with a database if there is one.
pub struct Operator {
    directory: TempDir,
    environment: Vec<(String, String)>,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Operator {
    /// Has the environment's `DATABASE_URL` point to a file that is not there.
    pub fn without_tables() -> Self {
        let operator = Self { directory: tempfile::tempdir().unwrap(), environment: Vec::new() };
        operator.with("DATABASE_URL", "sqlite:keys.db")
    }

    /// Has an empty SQLite database.
    pub fn new() -> Self {
        let operator = Self::without_tables();
        operator.run(&["init"]).succeeds();
        operator
    }

    /// Sets a variable of the environment.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(set, _)| set != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self) -> std::path::PathBuf {
        self.directory().join("keys.db")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(api_keys());
        command.args(arguments).current_dir(self.directory()).timeout(Duration::from_secs(120));
        // Nothing of whoever runs the tests.
        for name in [
            "SUDO_USER",
            "DATABASE_URL",
            "API_KEYS_CHECKSUM_SECRET",
            "API_KEYS_FORMATS",
            "API_KEYS_MAX_PER_TENANT",
            "API_KEYS_PEPPER",
            "API_KEYS_PREVIOUS_PEPPER",
        ] {
            command.env_remove(name);
        }
        command.env("USER", "operator").envs(self.environment.iter().cloned());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// Runs a command with something on its standard input.
    pub fn pipe(&self, input: impl Into<Vec<u8>>, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.write_stdin(input);
        Ran::of(command)
    }

    /// Runs a script in which `$0` is the program.
    pub fn shell(&self, script: &str) -> Ran {
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(api_keys()).current_dir(self.directory());
        command.env("USER", "operator").env_remove("SUDO_USER").timeout(Duration::from_secs(120));
        command.envs(self.environment.iter().cloned());
        Ran::of(command)
    }

    /// Issues a key, and returns its id and its secret.
    pub fn issue(&self, name: &str, options: &[&str]) -> (String, String) {
        let key = self.run(&[&["issue", name, "--json"], options].concat()).succeeds().json();
        (key["id"].as_str().unwrap().to_owned(), key["secret"].as_str().unwrap().to_owned())
    }

    /// Returns a key as programs see it.
    pub fn show(&self, id: &str) -> Value {
        self.run(&["show", id, "--json"]).succeeds().json()
    }
}

impl Ran {
    pub fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(!err.contains("panicked"), "{err}");
        Self { code: output.status.code().unwrap(), out, err }
    }

    pub fn succeeds(self) -> Self {
        self.exits(0)
    }

    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Checks that it failed with nothing on standard output, and says `text`.
    pub fn refuses(self, code: i32, text: &str) -> Self {
        let ran = self.exits(code);
        assert!(ran.out.is_empty() && ran.err.contains(text), "{text}: {ran:?}");
        ran
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }

    pub fn json_lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
