//! [`Assets`]: the stylesheet and the script, with hashes of their content in their names.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

use crate::key::KeyHasher;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Browsers cache them for a year without revalidation.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The names of the files.
#[derive(Clone)]
pub(super) struct Assets {
    style: String,
    script: String,
}

impl Assets {
    pub(super) fn new() -> Self {
        Self { style: name(STYLE, "css"), script: name(SCRIPT, "js") }
    }

    /// Returns the path of the stylesheet, below the path of the router.
    pub(super) fn style(&self) -> String {
        format!("assets/{}", self.style)
    }

    /// Returns the path of the script, below the path of the router.
    pub(super) fn script(&self) -> String {
        format!("assets/{}", self.script)
    }

    /// Answers with the file that has this name.
    pub(super) fn serve(&self, name: &str) -> Response {
        let (text, content_type) = match name {
            _ if name == self.style => (STYLE, "text/css; charset=utf-8"),
            _ if name == self.script => (SCRIPT, "text/javascript; charset=utf-8"),
            _ => return StatusCode::NOT_FOUND.into_response(),
        };
        let content_type = HeaderValue::from_static(content_type);
        ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, FOREVER)], text)
            .into_response()
    }
}

fn name(text: &str, extension: &str) -> String {
    let digest = KeyHasher::sha256().digest(text);
    let hash: String = digest.as_bytes()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("api-keys-{hash}.{extension}")
}
