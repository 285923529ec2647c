//! [`Cache`]: what a cache on the way must know of a response.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::extract::Carrier;

/// What a response says of the key that it was given for.
///
/// Shared caches keep a response to `Authorization` for nobody else, but they know that of no
/// other header (RFC 9111, section 3.5).
pub(crate) enum Cache {
    /// The key was in `Authorization`, or the application sees to it itself.
    Untouched,
    /// The key was elsewhere.
    Private(Carrier),
    /// There was no key, but with one the response might have been another.
    Anonymous(Arc<[HeaderName]>),
}

impl Cache {
    pub(crate) fn of(carrier: Carrier) -> Self {
        match carrier.header() {
            Some(&http::header::AUTHORIZATION) => Self::Untouched,
            _ => Self::Private(carrier),
        }
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        match self {
            Self::Untouched => {}
            // What is never kept is given to nobody else.
            Self::Private(_) if headers.get(CACHE_CONTROL).is_some_and(|own| own == "no-store") => {
            }
            Self::Private(carrier) => {
                headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private"));
                if let Some(name) = carrier.header() {
                    vary(headers, name);
                }
            }
            Self::Anonymous(names) => names.iter().for_each(|name| vary(headers, name)),
        }
    }
}

/// Adds a name to `Vary`, if it is not there.
fn vary(headers: &mut HeaderMap, name: &HeaderName) {
    let named = |value: &HeaderValue| {
        let names = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names
            .into_iter()
            .any(|known| known == b"*" || known.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    if !headers.get_all(VARY).iter().any(named) {
        headers.append(VARY, HeaderValue::from_name(name.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HeaderName = HeaderName::from_static("x-api-key");

    #[test]
    fn a_name_is_added_to_vary_once() {
        for (before, after) in [
            (&[][..], &["x-api-key"][..]),
            (&["accept"], &["accept", "x-api-key"]),
            (&["accept, X-API-Key"], &["accept, X-API-Key"]),
            (&["accept", "*"], &["accept", "*"]),
            (&["x-api-key-2"], &["x-api-key-2", "x-api-key"]),
        ] {
            let mut headers = HeaderMap::new();
            for value in before {
                headers.append(VARY, value.parse().unwrap());
            }
            vary(&mut headers, &KEY);
            assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), after);
        }
    }
}
