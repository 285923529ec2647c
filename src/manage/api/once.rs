//! The header `Idempotency-Key`: a repeated request issues no second key.

use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

use super::ApiError;
use crate::key::{KeyDigest, KeyHasher, KeyId};

/// The header (draft-ietf-httpapi-idempotency-key-header).
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest value of the header, in characters.
pub(super) const MAX_LENGTH: usize = 255;

/// Reads the header, which names a request.
///
/// By the draft, it is a string in quotes (RFC 9651, section 3.3.3). Many clients leave the quotes out.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let text = line.to_str().ok().filter(|_| lines.next().is_none());
    let name = text.and_then(|text| read(text.trim_matches(' ')));
    let name = name.filter(|name| (1..=MAX_LENGTH).contains(&name.len()));
    name.map(Some).ok_or_else(|| {
        let message = "Invalid `Idempotency-Key`: send one string of 1 to 255 visible ASCII characters, such as \
                       \"8e03978e-40d5-43e8-bc93-6894a57f9324\"";
        ApiError::new(StatusCode::BAD_REQUEST, message)
    })
}

fn read(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\,;".contains(&byte);
        return text.bytes().all(is_plain).then(|| text.to_owned());
    };
    let mut characters = quoted.strip_suffix('"')?.chars();
    let mut name = String::with_capacity(quoted.len());
    while let Some(character) = characters.next() {
        match character {
            '\\' => name.push(characters.next().filter(|next| matches!(next, '"' | '\\'))?),
            '"' => return None,
            ' '..='~' => name.push(character),
            _ => return None,
        }
    }
    Some(name)
}

/// Returns the fingerprint of a body, which does not depend on the order of its fields.
pub(super) fn fingerprint(body: &Value) -> KeyDigest {
    // The fields of a map are in order.
    KeyHasher::sha256().digest(&body.to_string())
}

/// Returns the error of a request that has issued a key before.
pub(super) fn issued_before(id: KeyId, is_same: bool) -> ApiError {
    let error = match is_same {
        true => ApiError::new(
            StatusCode::CONFLICT,
            format!(
                "This request has issued the API key {id} before: rotate it for another secret"
            ),
        ),
        false => ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "This `Idempotency-Key` was used with another body: send a new one",
        ),
    };
    error.of_key(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_a_string_with_or_without_quotes() {
        let read = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(IDEMPOTENCY_KEY, line.parse().unwrap());
            }
            idempotency_key(&headers)
        };
        assert_eq!(read(&[]), Ok(None));
        for (line, name) in [
            ("8e03978e-40d5", "8e03978e-40d5"),
            ("\"8e03978e-40d5\"", "8e03978e-40d5"),
            (" \"a b\" ", "a b"),
            (r#""a\"\\b""#, r#"a"\b"#),
            (&"x".repeat(255), &"x".repeat(255)),
        ] {
            assert_eq!(read(&[line]), Ok(Some(name.to_owned())), "{line}");
        }
        for wrong in [
            "",
            " ",
            "\"\"",
            "a b",
            "a,b",
            "\"a",
            "a\"",
            "\"a\"b",
            "\"a\";b=1",
            "\"a\\b\"",
            "\"a\\\"",
            "\"",
            "\u{e4}",
            &"x".repeat(256),
        ] {
            assert_eq!(read(&[wrong]).unwrap_err().status(), 400, "{wrong}");
        }
        assert_eq!(read(&["a", "a"]).unwrap_err().status(), 400);
    }

    #[test]
    fn a_body_is_known_again_whatever_the_order_of_its_fields_is() {
        let body = |text: &str| fingerprint(&serde_json::from_str(text).unwrap());
        let one = body(r#"{"name": "n", "restrictions": {"origins": [], "addresses": ["::1"]}}"#);
        assert_eq!(
            one,
            body(r#"{ "restrictions":{"addresses":["::1"],"origins":[]}, "name":"n" }"#)
        );
        assert_ne!(one, body(r#"{"name": "m", "restrictions": {"addresses": ["::1"]}}"#));
    }
}
