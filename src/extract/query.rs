//! [`Query`]: a key in a query parameter.

use std::borrow::Cow;

use super::{Carrier, Credential, CredentialPlace, Extract};
use crate::head::RequestHead;
use crate::reject::{Rejection, RejectionKind};

/// Finds the key in a query parameter.
///
/// **Avoid it if you can.** URIs are written to access logs, browser histories, `Referer` headers and
/// error reports on every hop, and the layer can remove the key only for what comes after it (RFC 6750,
/// section 5.3: "Don't pass bearer tokens in page URLs"). Use it for clients that cannot set a header,
/// with keys of few abilities and a short life. For WebSockets of browsers, prefer a
/// [`Subprotocol`](super::Subprotocol); for `EventSource` on pages of the same site, a
/// [`Cookie`](super::Cookie).
///
/// The name and the value are decoded as `application/x-www-form-urlencoded`. The layer removes the
/// parameter from the forwarded URI, unless it keeps credentials.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tower_api_key::extract::Query;
/// use tower_api_key::{Extract, RequestHead};
///
/// let request = Request::get("/bots?page=2&api_key=ak_123").body(())?;
/// assert!(Query::new("api_key").extract(&RequestHead::new(&request))?.is_some());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Query {
    name: Cow<'static, str>,
    carrier: Carrier,
}

impl Query {
    /// Looks for the parameter `name`.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        Self { carrier: CredentialPlace::Query(name.clone()).into(), name }
    }
}

impl Extract for Query {
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        let query = head.uri().query().unwrap_or_default().as_bytes();
        let mut values = form_urlencoded::parse(query)
            .filter_map(|(name, value)| (name == self.name).then_some(value));
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => {
                let carrier = self.carrier.clone();
                Ok(Some(Credential { bytes: into_bytes(value), carrier }))
            }
            (Some(_), Some(_)) => Err(RejectionKind::Ambiguous.into()),
        }
    }

    fn places(&self) -> Vec<CredentialPlace> {
        vec![CredentialPlace::Query(self.name.clone())]
    }

    fn reads_path(&self) -> bool {
        false
    }
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::extract::uri::without;

    fn query(uri: &str) -> Result<Option<Vec<u8>>, RejectionKind> {
        let request = Request::get(uri).body(()).unwrap();
        let found = Query::new("api_key").extract(&RequestHead::new(&request));
        found
            .map(|found| found.map(|found| found.bytes.into_owned()))
            .map_err(|rejection| rejection.kind())
    }

    #[test]
    fn only_the_exact_name_counts() {
        assert_eq!(query("/x?api_key=K"), Ok(Some(b"K".to_vec())));
        assert_eq!(query("/x?a=b&api_key=K%7E&c"), Ok(Some(b"K~".to_vec())));
        assert_eq!(query("/x?%61pi_key=K"), Ok(Some(b"K".to_vec())));
        for uri in ["/", "/?", "/?API_KEY=K", "/?api-key=K", "/?xapi_key=K", "/?a=api_key=K"] {
            assert_eq!(query(uri), Ok(None), "{uri}");
        }
        assert_eq!(query("/x?api_key"), Ok(Some(vec![])));
    }

    #[test]
    fn two_parameters_are_ambiguous_however_they_are_written() {
        for uri in ["/?api_key=a&api_key=a", "/?api_key=a&%61pi_key=b"] {
            assert_eq!(query(uri), Err(RejectionKind::Ambiguous), "{uri}");
        }
    }

    #[test]
    fn the_rest_of_the_uri_stays_as_it_was() {
        let cut = |uri: &str| without(&uri.parse().unwrap(), "k").unwrap().to_string();
        assert_eq!(cut("/x?k=1"), "/x");
        assert_eq!(cut("/x?a=%20+&k=1&b&&c=%FF"), "/x?a=%20+&b&&c=%FF");
        assert_eq!(cut("/x?%6B=1&a=1&k=2"), "/x?a=1");
        assert_eq!(cut("http://host:1/x?k=1"), "http://host:1/x");
        assert_eq!(cut("/x"), "/x");
    }

    proptest! {
        #[test]
        fn decoding_never_panics(query in "[ -~]{0,40}") {
            if let Ok(request) = Request::get(format!("/?api_key={query}")).body(()) {
                let _ = Query::new("api_key").extract(&RequestHead::new(&request));
                let left = without(request.uri(), "api_key").unwrap();
                let request = Request::get(left).body(()).unwrap();
                let found = Query::new("api_key").extract(&RequestHead::new(&request));
                prop_assert!(found.unwrap().is_none());
            }
        }
    }
}
