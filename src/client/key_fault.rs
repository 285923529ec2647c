//! [`KeyFault`]: why a server refuses a key.

use http::{HeaderMap, header};
use http_auth::{ChallengeRef, parse_challenges};
use thiserror::Error;

/// Why a server refuses the key of a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// The request has no key, or none where the server expects it.
    #[error("the server found no API key")]
    Missing,
    /// The key is unknown, revoked, disabled or expired, which servers do not distinguish.
    ///
    /// A server that gives no reasons, such as a gRPC server, also reports a missing key like this.
    #[error("the server does not accept the API key")]
    Invalid,
    /// The request has more than one key, or the key cannot be read.
    #[error("the API key was not sent as the server expects it")]
    InvalidRequest,
    /// The key lacks an ability.
    #[error("the API key lacks an ability{}", listed(.scope))]
    InsufficientScope {
        /// The required abilities, if the server names them.
        scope: Vec<String>,
    },
    /// The key is valid, but does not allow this request.
    #[error("the API key does not allow this request")]
    Forbidden,
}

impl KeyFault {
    pub(super) fn of_unauthorized(headers: &HeaderMap) -> Self {
        let challenges = Challenges::of(headers);
        match challenges.error().as_deref() {
            Some("invalid_request") => Self::InvalidRequest,
            // RFC 6750, section 3.1: a challenge without an error means that there was no key.
            None if challenges.ask_for_a_key() => Self::Missing,
            _ => Self::Invalid,
        }
    }

    pub(super) fn of_forbidden(headers: &HeaderMap) -> Self {
        let challenges = Challenges::of(headers);
        match challenges.error().as_deref() {
            Some("insufficient_scope") => Self::InsufficientScope { scope: challenges.scope() },
            _ => Self::Forbidden,
        }
    }

    /// Returns nothing if the request has another fault.
    pub(super) fn of_bad_request(headers: &HeaderMap) -> Option<Self> {
        let error = Challenges::of(headers).error();
        (error.as_deref() == Some("invalid_request")).then_some(Self::InvalidRequest)
    }
}

fn listed(scope: &[String]) -> String {
    if scope.is_empty() { String::new() } else { format!(": {}", scope.join(", ")) }
}

/// The challenges of a response (RFC 9110, section 11.6.1) that can be read.
struct Challenges<'a>(Vec<ChallengeRef<'a>>);

impl<'a> Challenges<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let challenges = values.filter_map(|value| parse_challenges(value.to_str().ok()?).ok());
        Self(challenges.flatten().collect())
    }

    fn ask_for_a_key(&self) -> bool {
        let is_for_keys = |scheme: &str| {
            ["Bearer", "ApiKey"].iter().any(|known| known.eq_ignore_ascii_case(scheme))
        };
        self.0.iter().any(|challenge| is_for_keys(challenge.scheme))
    }

    fn error(&self) -> Option<String> {
        self.0.iter().find_map(|challenge| parameter(challenge, "error"))
    }

    /// Returns the scope of the challenge with the error.
    fn scope(&self) -> Vec<String> {
        let told = self.0.iter().find(|challenge| parameter(challenge, "error").is_some());
        let scope = told.and_then(|challenge| parameter(challenge, "scope")).unwrap_or_default();
        scope.split_ascii_whitespace().map(str::to_owned).collect()
    }
}

fn parameter(challenge: &ChallengeRef<'_>, name: &str) -> Option<String> {
    let mut parameters = challenge.params.iter();
    let (_, value) = parameters.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    Some(value.to_unescaped())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::WWW_AUTHENTICATE, line.parse().unwrap());
        }
        headers
    }

    fn unauthorized(lines: &[&str]) -> KeyFault {
        KeyFault::of_unauthorized(&headers(lines))
    }

    #[test]
    fn a_challenge_without_an_error_means_that_there_was_no_key() {
        assert_eq!(unauthorized(&[r#"Bearer realm="api""#]), KeyFault::Missing);
        assert_eq!(unauthorized(&[r#"bearer realm="api""#]), KeyFault::Missing);
        assert_eq!(unauthorized(&["ApiKey"]), KeyFault::Missing);
        assert_eq!(unauthorized(&[r#"Basic realm="x", Bearer"#]), KeyFault::Missing);
        assert_eq!(unauthorized(&[r#"Basic realm="x""#]), KeyFault::Invalid);
        assert_eq!(unauthorized(&[]), KeyFault::Invalid);
    }

    #[test]
    fn the_error_of_a_challenge_says_what_is_wrong() {
        for challenge in [
            r#"Bearer realm="api", error="invalid_token""#,
            "Bearer error=invalid_token",
            r#"Bearer ERROR="invalid\_token""#,
            r#"Bearer error="something_else""#,
            r#"Bearer realm="error=none", error="invalid_token", error_description="x, y""#,
        ] {
            assert_eq!(unauthorized(&[challenge]), KeyFault::Invalid, "{challenge}");
        }
        let two = [r#"Basic realm="x""#, r#"Bearer error="invalid_request""#];
        assert_eq!(unauthorized(&two), KeyFault::InvalidRequest);
        let bad = |lines: &[&str]| KeyFault::of_bad_request(&headers(lines));
        assert_eq!(bad(&two), Some(KeyFault::InvalidRequest));
        assert_eq!(bad(&[r#"Bearer realm="api""#]), None);
        assert_eq!(bad(&[]), None);
    }

    #[test]
    fn the_abilities_that_are_missing_are_named() {
        let forbidden = |line: &str| KeyFault::of_forbidden(&headers(&[line]));
        let scope = |scope: &[&str]| KeyFault::InsufficientScope {
            scope: scope.iter().map(|ability| (*ability).to_owned()).collect(),
        };
        let told = forbidden(r#"Bearer error="insufficient_scope", scope="bots:read bots:write""#);
        assert_eq!(told, scope(&["bots:read", "bots:write"]));
        assert_eq!(told.to_string(), "the API key lacks an ability: bots:read, bots:write");
        let untold = forbidden(r#"ApiKey error="insufficient_scope""#);
        assert_eq!(untold, scope(&[]));
        assert_eq!(untold.to_string(), "the API key lacks an ability");
        let of_another = r#"Other scope="x", Bearer error="insufficient_scope", scope="a:b""#;
        assert_eq!(forbidden(of_another), scope(&["a:b"]));
        assert_eq!(forbidden(r#"Bearer scope="bots:read""#), KeyFault::Forbidden);
        assert_eq!(KeyFault::of_forbidden(&HeaderMap::new()), KeyFault::Forbidden);
    }

    #[test]
    fn what_is_no_challenge_is_passed_over() {
        for wrong in ["", ",", "=", "\"", "Bearer error=\"invalid_request", "Bearer =x", "ä"] {
            assert_eq!(unauthorized(&[wrong]), KeyFault::Invalid, "{wrong}");
            let lines = [wrong, r#"Bearer error="invalid_request""#];
            assert_eq!(unauthorized(&lines), KeyFault::InvalidRequest, "{wrong}");
        }
    }
}
