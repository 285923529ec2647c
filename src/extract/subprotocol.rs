//! [`Subprotocol`]: a key among the subprotocols of a WebSocket.

use std::borrow::Cow;

use super::items::{SUBPROTOCOLS, after_prefix, is_token, is_token_character};
use super::{Carrier, Credential, CredentialPlace, Extract};
use crate::head::RequestHead;
use crate::key::KeyFormat;
use crate::reject::{Rejection, RejectionKind};

/// Finds the key in `Sec-WebSocket-Protocol`, as an item such as `key.<key>` beside the client's other
/// subprotocols. The default prefix is `key.`.
///
/// Use it for WebSockets of browsers, which cannot set headers but can name subprotocols:
///
/// ```js
/// new WebSocket("wss://api.example/socket", ["realtime", `key.${key}`]);
/// ```
///
/// The layer removes this item and leaves the others: the handler negotiates `realtime` and never sees
/// the key. **The client has to name another subprotocol, and the handler has to choose it**: browsers,
/// Node and its package `ws` refuse a handshake without one of their subprotocols, and a handshake with
/// the key would send it back.
///
/// Two items with the prefix are ambiguous. A subprotocol is a token (RFC 9110, section 5.6.2), so a
/// key with another character, such as `=` or `/`, is malformed here. No [`KeyFormat`] makes such keys,
/// but other systems may have them.
///
/// Scripts of the page can read the key: give it few abilities, a short life and the
/// [origins](crate::NewKey::origins) of the page.
///
/// # Examples
///
/// ```
/// use tower_api_key::extract::{FirstOf, Subprotocol};
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// // Servers use a header, and browsers a subprotocol.
/// let layer = ApiKeyLayer::new(MemoryStore::new())
///     .extractor(FirstOf::default().or(Subprotocol::default()));
/// ```
#[derive(Clone, Debug)]
pub struct Subprotocol {
    prefix: Cow<'static, str>,
    carrier: Carrier,
}

impl Subprotocol {
    /// Looks for a subprotocol that begins with `prefix`.
    ///
    /// # Panics
    ///
    /// Panics if `prefix` is not a token (RFC 9110, section 5.6.2).
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::extract::Subprotocol;
    /// use tower_api_key::{Extract, RequestHead};
    ///
    /// let request = Request::get("/socket")
    ///     .header("sec-websocket-protocol", "realtime, bots.key.ak_123")
    ///     .body(())?;
    /// assert!(Subprotocol::new("bots.key.").extract(&RequestHead::new(&request))?.is_some());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(prefix: impl Into<Cow<'static, str>>) -> Self {
        let prefix = prefix.into();
        assert!(
            is_token(prefix.as_bytes()),
            "the prefix of a subprotocol must be a token, such as `key.`, not {prefix:?}"
        );
        Self { carrier: CredentialPlace::Subprotocol(prefix.clone()).into(), prefix }
    }
}

impl Default for Subprotocol {
    fn default() -> Self {
        Self::new("key.")
    }
}

impl Extract for Subprotocol {
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        let key = SUBPROTOCOLS
            .only(head.headers(), |item| after_prefix(item, &self.prefix))
            .map_err(|_| RejectionKind::Ambiguous)?;
        let Some(key) = key else { return Ok(None) };
        if !is_token(key) {
            return Err(RejectionKind::Malformed.into());
        }
        Ok(Some(Credential { bytes: key.into(), carrier: self.carrier.clone() }))
    }

    fn places(&self) -> Vec<CredentialPlace> {
        vec![CredentialPlace::Subprotocol(self.prefix.clone())]
    }

    fn can_carry(&self, format: &KeyFormat) -> bool {
        format.characters().all(is_token_character)
    }

    fn reads_path(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};
    use proptest::prelude::*;

    use super::*;
    use crate::key::{Alphabet, Checksum};

    fn found(lines: &[&str]) -> Result<Option<String>, RejectionKind> {
        let request = lines.iter().fold(Request::get("/"), |request, line| {
            request.header("sec-websocket-protocol", *line)
        });
        let request = request.body(()).unwrap();
        let found = Subprotocol::default().extract(&RequestHead::new(&request));
        found
            .map(|found| found.map(|found| String::from_utf8(found.bytes.to_vec()).unwrap()))
            .map_err(|rejection| rejection.kind())
    }

    #[test]
    fn one_item_with_the_prefix_has_the_key() {
        for lines in [
            &["realtime, key.K~1"][..],
            &["key.K~1,realtime"],
            &["  key.K~1  "],
            &["realtime", "key.K~1"],
            &["realtime,,", ",key.K~1,other"],
        ] {
            assert_eq!(found(lines), Ok(Some("K~1".to_owned())), "{lines:?}");
        }
        for lines in [&[][..], &["realtime"], &["KEY.K"], &["key"], &["x-key.K"], &[""]] {
            assert_eq!(found(lines), Ok(None), "{lines:?}");
        }
    }

    #[test]
    fn two_items_are_ambiguous_also_with_the_same_key() {
        for lines in [&["key.K, key.K"][..], &["key.K", "key.L"], &["key.K, realtime, key."]] {
            assert_eq!(found(lines), Err(RejectionKind::Ambiguous), "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        for line in ["key.", "key.K=", "key.a/b", "key.a b", "key.\"K\"", "key.a;b", "key.@"] {
            assert_eq!(found(&[line]), Err(RejectionKind::Malformed), "{line}");
        }
    }

    #[test]
    fn keys_of_all_formats_fit() {
        for alphabet in
            [Alphabet::Hex, Alphabet::CrockfordBase32, Alphabet::Base58, Alphabet::Base62]
        {
            for checksum in [Checksum::none(), Checksum::crc32(), Checksum::keyed(&[7; 32])] {
                let format = KeyFormat::new("sk-live_").body(alphabet, 40).checksum(checksum);
                assert!(Subprotocol::default().can_carry(&format));
                let key = format.generate().unwrap();
                let item = format!("realtime, key.{}", key.reveal());
                assert_eq!(found(&[&item]), Ok(Some(key.reveal().to_owned())));
                // What is checked is what keys are made of.
                assert!(
                    key.reveal().bytes().all(|byte| format.characters().any(|own| own == byte))
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "the prefix of a subprotocol must be a token")]
    fn a_prefix_that_no_subprotocol_has_is_refused() {
        let _ = Subprotocol::new("key=");
    }

    #[test]
    #[should_panic(expected = "the prefix of a subprotocol must be a token")]
    fn an_empty_prefix_is_refused() {
        let _ = Subprotocol::new("");
    }

    proptest! {
        #[test]
        fn no_header_value_makes_it_panic(value in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&[b"key.", &*value].concat()) {
                let request =
                    Request::get("/").header("sec-websocket-protocol", value).body(()).unwrap();
                let _ = Subprotocol::default().extract(&RequestHead::new(&request));
            }
        }
    }
}
