//! [`FirstOf`]: a key in one of several places.

use std::fmt;
use std::sync::Arc;

use super::{Bearer, Credential, Extract, Header};
use crate::head::RequestHead;
use crate::reject::{Rejection, RejectionKind};

/// Finds the key in one of several places, and refuses a request that has it in two.
///
/// If one of two credentials were to win silently, a proxy in front could check one while the
/// server believes the other.
///
/// # Examples
///
/// ```
/// use tower_api_key::extract::{Basic, Bearer, FirstOf};
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// // As Stripe does.
/// let layer = ApiKeyLayer::new(MemoryStore::new()).extractor(FirstOf::new(Bearer).or(Basic));
/// ```
#[derive(Clone)]
pub struct FirstOf(Vec<Arc<dyn Extract>>);

impl FirstOf {
    /// Starts with one place.
    pub fn new(extractor: impl Extract + 'static) -> Self {
        Self(vec![Arc::new(extractor)])
    }

    /// Adds another place.
    #[must_use]
    pub fn or(mut self, extractor: impl Extract + 'static) -> Self {
        self.0.push(Arc::new(extractor));
        self
    }
}

impl Default for FirstOf {
    /// `x-api-key` or `Authorization: Bearer`, the default of the layer.
    fn default() -> Self {
        Self::new(Header::x_api_key()).or(Bearer)
    }
}

impl Extract for FirstOf {
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        let mut first = None;
        for extractor in &self.0 {
            if let Some(found) = extractor.extract(head)?
                && first.replace(found).is_some()
            {
                return Err(RejectionKind::Ambiguous.into());
            }
        }
        Ok(first)
    }

    /// Returns the first scheme of all.
    fn scheme(&self) -> Option<&str> {
        self.0.iter().find_map(|extractor| extractor.scheme())
    }
}

impl fmt::Debug for FirstOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstOf")
            .field("places", &self.0.len())
            .finish_non_exhaustive()
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
        let found = FirstOf::default()
            .extract(&RequestHead::new(&request))
            .unwrap()
            .unwrap();
        assert_eq!(&*found.bytes, b"K");
    }
}
