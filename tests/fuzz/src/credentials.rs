//! Where a request carries its key, read once more in a plain way.

use std::borrow::Cow;

use base64::Engine as _;
use http::Request;
use http::header::AUTHORIZATION;
use tower_api_key::RejectionKind;

/// A place in which a layer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Header(&'static str),
    Scheme(&'static str),
    Basic,
    Query(&'static str),
}

pub type Found = Result<Option<Vec<u8>>, RejectionKind>;

/// Finds the credential in one of several places, where only one may have it.
pub fn find<B>(places: &[Place], request: &Request<B>) -> Found {
    // The first place in which something is wrong decides.
    let found: Vec<_> = places.iter().map(|place| place.find(request)).collect::<Result<_, _>>()?;
    let mut found = found.into_iter().flatten();
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(RejectionKind::Ambiguous),
        (found, None) => Ok(found),
    }
}

impl Place {
    pub fn find<B>(self, request: &Request<B>) -> Found {
        match self {
            Self::Header(name) => {
                let values: Vec<_> = request.headers().get_all(name).iter().collect();
                match &values[..] {
                    [] => Ok(None),
                    [value] => Ok(Some(value.as_bytes().to_vec())),
                    _ => Err(RejectionKind::Ambiguous),
                }
            }
            Self::Scheme(scheme) => match after_scheme(scheme, request)? {
                None => Ok(None),
                Some(rest) => {
                    let token: Vec<u8> =
                        rest.iter().copied().skip_while(|byte| *byte == b' ').collect();
                    let has_space = rest.first() == Some(&b' ');
                    if has_space && is_token68(&token) {
                        Ok(Some(token))
                    } else {
                        Err(RejectionKind::Malformed)
                    }
                }
            },
            Self::Basic => match after_scheme("Basic", request)? {
                None => Ok(None),
                Some(rest) => user(&rest).map(Some).ok_or(RejectionKind::Malformed),
            },
            Self::Query(name) => {
                let query = request.uri().query().unwrap_or_default();
                let mut values = Vec::new();
                for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                    let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
                    if decode(own) == name.as_bytes() {
                        values.push(decode(value));
                    }
                }
                match &values[..] {
                    [] => Ok(None),
                    [value] => Ok(Some(value.clone())),
                    _ => Err(RejectionKind::Ambiguous),
                }
            }
        }
    }
}

/// Returns what comes after a scheme; two lines of which one has it are ambiguous.
fn after_scheme<B>(scheme: &str, request: &Request<B>) -> Result<Option<Vec<u8>>, RejectionKind> {
    let values: Vec<_> = request.headers().get_all(AUTHORIZATION).iter().collect();
    let rest = |value: &[u8]| {
        let end = value.iter().position(|byte| !is_token_character(*byte)).unwrap_or(value.len());
        let own = &value[..end];
        own.eq_ignore_ascii_case(scheme.as_bytes()).then(|| value[end..].to_vec())
    };
    let with_scheme: Vec<_> = values.iter().filter_map(|value| rest(value.as_bytes())).collect();
    match &with_scheme[..] {
        [] => Ok(None),
        [rest] if values.len() == 1 => Ok(Some(rest.clone())),
        _ => Err(RejectionKind::Ambiguous),
    }
}

/// The user of Basic authentication, whose password is empty.
fn user(rest: &[u8]) -> Option<Vec<u8>> {
    let encoded = rest.strip_prefix(b" ")?.trim_ascii_start();
    if encoded.len() > 512 {
        return None;
    }
    let decoded = base64::prelude::BASE64_STANDARD.decode(encoded).ok()?;
    let (last, user) = decoded.split_last()?;
    (*last == b':' && !user.contains(&b':')).then(|| user.to_vec())
}

fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_token68(token: &[u8]) -> bool {
    let end = token.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    end > 0
        && token[..end].iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte))
}

/// Decodes a part of `application/x-www-form-urlencoded`: as text, so that what is none becomes a
/// replacement character.
fn decode(text: &str) -> Vec<u8> {
    let text = text.replace('+', " ");
    let decoded: Cow<'_, [u8]> = percent_encoding::percent_decode_str(&text).into();
    String::from_utf8_lossy(&decoded).into_owned().into_bytes()
}

/// Tells whether bytes could be a key of any format.
pub fn could_be_key(bytes: &[u8]) -> bool {
    let allowed = |byte: &u8| (b'!'..=b'~').contains(byte) && !b",;\"\\".contains(byte);
    (1..=256).contains(&bytes.len()) && bytes.iter().all(allowed)
}
