//! [`Header`]: a key in a header such as `x-api-key`.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use super::{Carrier, Credential, CredentialPlace, Extract};
use crate::head::RequestHead;
use crate::reject::{Rejection, RejectionKind};
use crate::valid::valid;

pub(crate) static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Finds the key as the whole value of a header, by default `x-api-key`.
///
/// Two lines of the header are ambiguous, even with the same value.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tower_api_key::extract::Header;
/// use tower_api_key::{Extract, RequestHead};
///
/// let request = Request::get("/").header("x-acme-key", "ak_123").body(())?;
/// let head = RequestHead::new(&request);
/// assert!(Header::new("x-acme-key").extract(&head)?.is_some());
/// assert!(Header::x_api_key().extract(&head)?.is_none());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Header {
    name: HeaderName,
    carrier: Carrier,
}

impl Header {
    /// Looks for the header `name`.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a header name.
    #[must_use]
    #[track_caller]
    pub fn new<N>(name: N) -> Self
    where
        N: TryInto<HeaderName, Error: std::fmt::Display>,
    {
        let name = valid(name.try_into());
        let carrier = CredentialPlace::Header(name.clone()).into();
        Self { name, carrier }
    }

    /// Looks for `x-api-key`.
    #[must_use]
    pub fn x_api_key() -> Self {
        Self { name: X_API_KEY.clone(), carrier: Carrier::Header(&X_API_KEY) }
    }
}

impl Default for Header {
    fn default() -> Self {
        Self::x_api_key()
    }
}

impl Extract for Header {
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        let value = only_value(head.headers(), &self.name)?;
        Ok(value.map(|value| Credential {
            bytes: value.as_bytes().into(),
            carrier: self.carrier.clone(),
        }))
    }

    fn places(&self) -> Vec<CredentialPlace> {
        vec![CredentialPlace::Header(self.name.clone())]
    }

    fn reads_path(&self) -> bool {
        false
    }
}

fn only_value<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Rejection> {
    if headers.len() == headers.keys_len() {
        return Ok(value_of(headers, name));
    }
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(RejectionKind::Ambiguous.into()),
    }
}

/// Returns the value of a header, in a map in which no name occurs twice.
pub(super) fn value_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    // Comparing the names one by one takes less time than hashing one, up to about so many.
    const FEW: usize = 16;
    if headers.keys_len() > FEW {
        return headers.get(name);
    }
    headers.iter().find_map(|(found, value)| (found == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::extract::FirstOf;

    #[test]
    fn a_key_is_found_among_few_headers_and_among_many() {
        for others in [0, 1, 14, 15, 16, 17, 100] {
            for (name, value) in [("x-api-key", "K"), ("authorization", "Bearer K")] {
                let mut request = Request::get("/");
                for number in 0..others {
                    request = request.header(format!("x-other-{number}"), "O");
                }
                let request = request.header(name, value).body(()).unwrap();
                let found = FirstOf::default().extract(&RequestHead::new(&request)).unwrap();
                assert_eq!(&*found.unwrap().bytes, b"K", "{name} after {others} others");
            }
        }
    }
}
