//! Requests as they go over a socket, line by line.

use std::fmt;

/// The head of a request, which may have what a client library would refuse.
#[derive(Clone, Debug)]
pub struct RawRequest(String);

/// Begins a request with its method and its target, such as `GET /`.
pub fn request(start: impl fmt::Display) -> RawRequest {
    RawRequest(format!("{start} HTTP/1.1"))
}

impl RawRequest {
    /// Adds a line, as it is.
    pub fn line(mut self, line: impl AsRef<str>) -> Self {
        self.0.push_str("\r\n");
        self.0.push_str(line.as_ref());
        self
    }

    /// Adds the key, unless it is empty.
    pub fn key(self, key: &str) -> Self {
        if key.is_empty() { self } else { self.line(format!("x-api-key: {key}")) }
    }
}

impl From<&str> for RawRequest {
    fn from(start: &str) -> Self {
        request(start)
    }
}

impl From<String> for RawRequest {
    fn from(start: String) -> Self {
        request(start)
    }
}

impl AsRef<[u8]> for RawRequest {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
