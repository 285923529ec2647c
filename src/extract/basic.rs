//! [`Basic`]: a key as the user name of HTTP Basic authentication.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::authorization::{after_scheme, in_authorization};
use super::{Credential, CredentialPlace, Extract};
use crate::head::RequestHead;
use crate::reject::{Rejection, RejectionKind};

/// The longest credential that is decoded, in bytes of base 64.
const MAX_LENGTH: usize = 512;

/// Finds the key as the user name of `Authorization: Basic` with an empty password (RFC 7617), as in
/// Stripe's API: `curl -u "$KEY:" …`.
///
/// A request with a password is malformed, because it is meant for another authenticator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Basic;

impl Extract for Basic {
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        let Some(rest) = after_scheme(head, "Basic")? else {
            return Ok(None);
        };
        let key = decode(rest).ok_or(RejectionKind::Malformed)?;
        Ok(Some(in_authorization(key)))
    }

    fn places(&self) -> Vec<CredentialPlace> {
        vec![CredentialPlace::Authorization("Basic".into())]
    }

    fn reads_path(&self) -> bool {
        false
    }
}

fn decode(rest: &[u8]) -> Option<Vec<u8>> {
    let encoded = rest.strip_prefix(b" ")?.trim_ascii_start();
    if encoded.len() > MAX_LENGTH {
        return None;
    }
    let mut user = BASE64_STANDARD.decode(encoded).ok()?;
    // The user name ends at the first colon, and nothing may follow.
    (user.iter().position(|byte| *byte == b':')? == user.len() - 1).then(|| {
        user.pop();
        user
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};
    use proptest::prelude::*;

    use super::*;

    fn user(text: &str) -> Option<String> {
        decode(text.as_bytes()).map(|user| String::from_utf8(user).unwrap())
    }

    fn encode(text: &str) -> String {
        format!(" {}", BASE64_STANDARD.encode(text))
    }

    #[test]
    fn the_key_is_the_user_name() {
        assert_eq!(user(&encode("sk_live_1:")).as_deref(), Some("sk_live_1"));
        assert_eq!(user(&encode(":")).as_deref(), Some(""));
    }

    #[test]
    fn a_password_no_colon_and_no_base64_are_malformed() {
        for wrong in [encode("key:password"), encode("key"), encode("a:b:"), encode("")] {
            assert_eq!(user(&wrong), None, "{wrong}");
        }
        for wrong in ["", " ", " %%%", " a2V5Og", "a2V5Og==", " a2V5Og== x"] {
            assert_eq!(user(wrong), None, "{wrong}");
        }
        assert_eq!(user(&encode(&format!("{}:", "x".repeat(400)))), None);
    }

    proptest! {
        #[test]
        fn no_header_value_makes_it_panic(
            scheme in "(Basic|basic)? ?",
            rest in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let value = [scheme.as_bytes(), &rest].concat();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let request = Request::get("/").header("authorization", value).body(()).unwrap();
                let _ = Basic.extract(&RequestHead::new(&request));
            }
        }
    }
}
