//! Example servers, run as a user runs them.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use crate::common::RawResponse;
use crate::common::built::example;

/// A running example server. It is stopped when it is dropped.
pub struct Example {
    process: Child,
    pub address: std::net::SocketAddr,
    keys: HashMap<String, String>,
    ids: HashMap<String, String>,
    /// Everything that was printed before the server listened.
    pub printed: String,
}

impl Example {
    /// Starts an example on a free port, and reads its keys.
    pub fn start(name: &str) -> Self {
        Self::spawn(name, &mut Command::new(example(name)))
    }

    fn spawn(name: &str, command: &mut Command) -> Self {
        let mut process =
            command.env("ADDR", "127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let (mut keys, mut ids, mut printed) = (HashMap::new(), HashMap::new(), String::new());
        let address = loop {
            let start = printed.len();
            assert!(output.read_line(&mut printed).unwrap() > 0, "{name} ended: {printed}");
            let line = printed[start..].trim_end();
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.parse().unwrap();
            }
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["key", label, secret] => drop(keys.insert(label.to_owned(), secret.to_owned())),
                ["id", label, id] => drop(ids.insert(label.to_owned(), id.to_owned())),
                _ => {}
            }
        };
        // What is printed from now on is read, so that the server cannot block on it.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        Self { process, address, keys, ids, printed }
    }

    /// Returns the secret of a demo key.
    pub fn key(&self, label: &str) -> &str {
        &self.keys[label]
    }

    /// Returns the public id of a demo key.
    pub fn id(&self, label: &str) -> &str {
        &self.ids[label]
    }

    /// Returns the labels of the demo keys in alphabetical order.
    pub fn labels(&self) -> Vec<&str> {
        let mut labels: Vec<_> = self.keys.keys().map(String::as_str).collect();
        labels.sort_unstable();
        labels
    }

    /// Sends `GET path` with these header lines.
    pub async fn get(&self, path: &str, lines: &[&str]) -> RawResponse {
        crate::common::get_raw(self.address, path, lines).await
    }

    /// Sends `GET path` with a demo key in `x-api-key`.
    pub async fn get_as(&self, label: &str, path: &str) -> RawResponse {
        self.get(path, &[&format!("x-api-key: {}", self.key(label))]).await
    }

    /// Sends a request with a demo key as Bearer, and with JSON if there is any.
    pub async fn call(&self, label: &str, method: &str, path: &str, json: &str) -> RawResponse {
        let key = self.key(label);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {}",
            json.len()
        );
        crate::common::send_raw_with_body(self.address, request, json).await
    }

    /// Sends a request with a demo key as Bearer and other header lines.
    pub async fn call_with(
        &self,
        label: &str,
        method: &str,
        path: &str,
        lines: &str,
    ) -> RawResponse {
        let key = self.key(label);
        let request = format!("{method} {path} HTTP/1.1\r\nauthorization: Bearer {key}\r\n{lines}");
        crate::common::send_raw(self.address, request).await
    }

    /// Starts an example on a free port with an environment variable, and reads its keys.
    pub fn start_with(name: &str, variable: (&str, &str)) -> Self {
        Self::spawn(name, Command::new(example(name)).env(variable.0, variable.1))
    }

    /// Sends a signal, and returns whether the server ended well.
    #[cfg(unix)]
    pub fn stop(&mut self, signal: &str) -> bool {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        self.process.wait().unwrap().success()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Has an administrator revoke a key, and asserts that `get` is refused with it from then on, and
/// that nobody else may do that.
pub async fn assert_is_revoked_at_once(server: &Example, label: &str, path: &str) {
    assert_eq!(server.call(label, "GET", path, "").await.status, 200);
    let revoke = format!("/admin/keys/{}/revoke", server.id(label));
    for other in server.labels().into_iter().filter(|other| *other != "admin") {
        assert_eq!(server.call(other, "POST", &revoke, "").await.status, 401, "{other}");
    }
    assert_eq!(server.call(label, "GET", path, "").await.status, 200);
    // Again is a success too.
    for _ in 0..2 {
        let response = server.call("admin", "POST", &revoke, "").await;
        assert_eq!((response.status, &response.json()["success"]), (200, &true.into()));
        assert_eq!(server.call(label, "GET", path, "").await.status, 401);
    }
    for unknown in ["key_unknown", "%00", "a%2Fb"] {
        let path = format!("/admin/keys/{unknown}/revoke");
        assert_eq!(server.call("admin", "POST", &path, "").await.status, 404);
    }
}
