//! [`Challenge`]: the `WWW-Authenticate` of a refusal.

use http::{HeaderValue, StatusCode};

use super::{Rejection, RejectionKind};
use crate::key::Ability;

/// The scheme for keys in places without an HTTP authentication scheme, such as `x-api-key`.
const NO_SCHEME: &str = "ApiKey";

/// The challenges of a layer, built once.
///
/// RFC 9110, section 11.6.1, and RFC 6750, section 3: without `error` if the credential is missing, so
/// that a client without a key learns nothing.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    missing: HeaderValue,
    invalid: HeaderValue,
    ambiguous: HeaderValue,
    insufficient: String,
}

impl Challenge {
    /// Builds the challenges for `scheme` and `realm`. If `generic`, the challenge for a missing key is
    /// the same as for a wrong one.
    pub(crate) fn new(scheme: Option<&str>, realm: &str, generic: bool) -> Self {
        let scheme = scheme.unwrap_or(NO_SCHEME);
        let quotable = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        assert!(
            realm.bytes().all(quotable),
            "a realm must be visible ASCII and spaces, without quotes and backslashes, not {realm:?}"
        );
        let plain = format!("{scheme} realm=\"{realm}\"");
        // Basic has no error parameter (RFC 7617, section 2).
        let with = |error: &str| match scheme {
            "Basic" => plain.clone(),
            _ => format!("{plain}, error=\"{error}\""),
        };
        let value = |text: &str| {
            HeaderValue::from_str(text).expect("a scheme is a token, and a realm was checked")
        };
        let invalid = value(&with("invalid_token"));
        Self {
            missing: if generic { invalid.clone() } else { value(&plain) },
            ambiguous: value(&with("invalid_request")),
            insufficient: with("insufficient_scope"),
            invalid,
        }
    }

    /// Returns the challenge for `status`, if it needs one.
    pub(crate) fn of(&self, rejection: &Rejection, status: StatusCode) -> Option<HeaderValue> {
        match (status, rejection.kind()) {
            (StatusCode::UNAUTHORIZED, RejectionKind::Missing) => Some(self.missing.clone()),
            (StatusCode::UNAUTHORIZED, _) => Some(self.invalid.clone()),
            (StatusCode::BAD_REQUEST, RejectionKind::Ambiguous) => Some(self.ambiguous.clone()),
            (StatusCode::FORBIDDEN, RejectionKind::MissingAbility) => {
                let scope: Vec<_> = rejection.abilities().iter().map(Ability::as_str).collect();
                let scope = scope.join(" ");
                HeaderValue::try_from(format!("{}, scope=\"{scope}\"", self.insufficient)).ok()
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_follow_rfc_6750() {
        let challenge = Challenge::new(Some("Bearer"), "api", false);
        let of = |rejection: Rejection| {
            let status = rejection.kind().status();
            challenge.of(&rejection, status).map(|value| value.to_str().unwrap().to_owned())
        };
        let kind = |kind: RejectionKind| of(Rejection::new(kind));
        assert_eq!(kind(RejectionKind::Missing).unwrap(), r#"Bearer realm="api""#);
        assert_eq!(
            kind(RejectionKind::Revoked).unwrap(),
            r#"Bearer realm="api", error="invalid_token""#
        );
        assert_eq!(
            kind(RejectionKind::Ambiguous).unwrap(),
            r#"Bearer realm="api", error="invalid_request""#
        );
        assert_eq!(
            of(Rejection::missing_ability("bots:write".parse().unwrap())).unwrap(),
            r#"Bearer realm="api", error="insufficient_scope", scope="bots:write""#
        );
        assert_eq!(kind(RejectionKind::WrongStage), None);
        assert_eq!(kind(RejectionKind::Unavailable), None);
    }

    #[test]
    fn a_generic_challenge_does_not_tell_missing_from_wrong() {
        let challenge = Challenge::new(None, "api", true);
        assert_eq!(challenge.missing, challenge.invalid);
        assert_eq!(challenge.missing, r#"ApiKey realm="api", error="invalid_token""#);
    }

    #[test]
    fn a_status_of_ones_own_gets_no_challenge() {
        let challenge = Challenge::new(None, "api", false);
        let missing = Rejection::new(RejectionKind::Missing);
        assert_eq!(challenge.of(&missing, StatusCode::FORBIDDEN), None);
    }

    #[test]
    #[should_panic(expected = "a realm must be visible ASCII")]
    fn a_realm_with_a_quote_is_refused() {
        let _ = Challenge::new(None, "a\"b", false);
    }
}
