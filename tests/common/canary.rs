//! Helpers of the tests that look for secrets where none may be.

use std::error::Error;
use std::fmt::Debug;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// All that would give a secret away: its text and its random body, as they are or encoded.
pub fn forms(secret: &str) -> Vec<String> {
    let body = &secret[3..secret.len().min(43)];
    let bytes = format!("{:?}", body.as_bytes()).replace(['[', ']', ' '], "");
    let hex = body.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = BASE64_STANDARD.encode(&body[..39.min(body.len() / 3 * 3)]);
    let percent: String = body.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let lower = percent.to_lowercase();
    vec![
        secret.to_owned(),
        body.to_owned(),
        body.to_lowercase(),
        bytes,
        hex,
        base64,
        percent,
        lower,
    ]
}

/// Tells whether a secret can be read in what is shown.
pub fn gives_away(shown: &str, secret: &str) -> bool {
    // `{:#?}` breaks lists into lines.
    let shown: String = shown.split_whitespace().collect();
    forms(secret).iter().any(|form| shown.contains(form))
}

/// Checks that neither form of `Debug` gives a secret away.
pub fn assert_hidden(value: &(impl Debug + ?Sized), secrets: &[&str]) {
    let shown = format!("{value:?} {value:#?}");
    for secret in secrets {
        assert!(!gives_away(&shown, secret), "{shown}");
    }
}

/// Checks that an error gives no secret away, nor what is behind it.
pub fn assert_error_hidden(error: &(dyn Error + 'static), secrets: &[&str]) {
    let mut error = Some(error);
    while let Some(inner) = error {
        assert_hidden(inner, secrets);
        assert_hidden(&inner.to_string(), secrets);
        error = inner.source();
    }
}
