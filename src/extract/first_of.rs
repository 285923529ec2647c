//! [`FirstOf`]: a key in one of several places.

use http::HeaderValue;

use super::{Bearer, Credential, CredentialPlace, Extract, Header};
use crate::head::RequestHead;
use crate::key::KeyFormat;
use crate::reject::{Rejection, RejectionKind};

/// Finds the key in one of several places, and refuses a request with a key in two of them.
///
/// If one of two credentials silently took precedence, a proxy in front could check one while the
/// server accepts the other.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tower_api_key::extract::{Basic, Bearer, FirstOf, Query};
/// use tower_api_key::{Extract, RequestHead};
///
/// // As in Stripe's API.
/// let extractor = FirstOf::new(Bearer, Basic);
/// let request = Request::get("/?key=ak_1").header("authorization", "Bearer ak_2").body(())?;
/// assert!(extractor.extract(&RequestHead::new(&request))?.is_some());
/// // Two keys are ambiguous.
/// let extractor = extractor.or(Query::new("key"));
/// assert!(extractor.extract(&RequestHead::new(&request)).is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FirstOf<A = Header, B = Bearer> {
    first: A,
    second: B,
}

impl<A: Extract, B: Extract> FirstOf<A, B> {
    /// Looks in two places.
    pub const fn new(first: A, second: B) -> Self {
        Self { first, second }
    }

    /// Looks in a further place.
    pub fn or<C: Extract>(self, further: C) -> FirstOf<Self, C> {
        FirstOf::new(self, further)
    }
}

impl Default for FirstOf {
    /// Looks for `x-api-key` or `Authorization: Bearer`, as the layer does by default.
    fn default() -> Self {
        Self::new(Header::x_api_key(), Bearer)
    }
}

impl<A: Extract, B: Extract> Extract for FirstOf<A, B> {
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        let first = self.first.extract(head)?;
        let found = match self.second.extract(head)? {
            None => first,
            Some(_) if first.is_some() => return Err(RejectionKind::Ambiguous.into()),
            second => second,
        };
        if let Some(found) = &found
            && let Some(left) = self.left_to_others(head)
            && !found.is_in(left, head)
        {
            // A credential for another authenticator counts as a second one.
            return Err(RejectionKind::Ambiguous.into());
        }
        Ok(found)
    }

    fn places(&self) -> Vec<CredentialPlace> {
        [self.first.places(), self.second.places()].concat()
    }

    fn left_to_others<'a>(&self, head: &RequestHead<'a>) -> Option<&'a HeaderValue> {
        self.first.left_to_others(head).or_else(|| self.second.left_to_others(head))
    }

    fn can_carry(&self, format: &KeyFormat) -> bool {
        self.first.can_carry(format) && self.second.can_carry(format)
    }

    fn reads_path(&self) -> bool {
        self.first.reads_path() || self.second.reads_path()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn two_places_at_once_are_ambiguous_also_with_the_same_key() {
        let request = Request::get("/")
            .header("x-api-key", "K")
            .header("authorization", "Bearer K")
            .body(())
            .unwrap();
        let found = FirstOf::default().extract(&RequestHead::new(&request));
        assert_eq!(found.unwrap_err().kind(), RejectionKind::Ambiguous);
    }

    #[test]
    fn a_credential_that_is_not_ours_does_not_disturb() {
        let request = Request::get("/")
            .header("x-api-key", "K")
            .header("authorization", "Basic dTpw")
            .body(())
            .unwrap();
        let found = FirstOf::default().extract(&RequestHead::new(&request)).unwrap().unwrap();
        assert_eq!(&*found.bytes, b"K");
    }
}
