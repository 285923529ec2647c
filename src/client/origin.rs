//! [`Origin`]: a server that a key may be sent to.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;

use super::AddApiKeyError;
use crate::key::{OriginPattern, origin_syntax as syntax};

/// A server that a key may be sent to: scheme, host and port.
///
/// It is written as browsers send an origin or, with the feature `url`, in every form of the URL
/// standard, like an [`OriginPattern`]. It has no wildcards, and ends after its host and port.
///
/// Its scheme is `https`, or `http` if the server is on this machine: `localhost`, `127.0.0.1` (and all
/// of `127.0.0.0/8`) and `[::1]`. For others, see [`in_plain_text`](Self::in_plain_text). Note the
/// effect of [proxies](super::AddApiKeyLayer#proxies).
///
/// # Examples
///
/// ```
/// use tower_api_key::client::{AddApiKeyError, Origin};
///
/// let api: Origin = "https://api.hapnd.example".parse()?;
/// assert_eq!(api.to_string(), "https://api.hapnd.example");
/// assert!("http://localhost:8080".parse::<Origin>().is_ok());
/// assert_eq!("http://api.hapnd.example".parse::<Origin>(), Err(AddApiKeyError::PlainText));
/// # Ok::<_, AddApiKeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: syntax::Scheme,
    /// In lower case.
    host: Box<str>,
    /// As a number without leading zeros.
    port: Box<str>,
}

impl Origin {
    /// Parses an origin that may be reached over the network without TLS.
    ///
    /// Everyone on the way can read the key and use it. This is for networks that encrypt by other
    /// means.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not an origin.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::client::Origin;
    ///
    /// // In a network that encrypts by other means.
    /// let inside = Origin::in_plain_text("http://bots.internal:8080")?;
    /// assert_eq!(inside.to_string(), "http://bots.internal:8080");
    /// # Ok::<_, tower_api_key::client::AddApiKeyError>(())
    /// ```
    pub fn in_plain_text(text: &str) -> Result<Self, AddApiKeyError> {
        let canonical = String::from(text.parse::<OriginPattern>()?);
        if canonical.contains('*') {
            return Err(AddApiKeyError::Wildcard);
        }
        let url = syntax::split(&canonical)?;
        let (host, port) = syntax::split_port(url.authority);
        let port = port.unwrap_or(url.scheme.default_port());
        Ok(Self { scheme: url.scheme, host: host.into(), port: port.into() })
    }

    /// Tells whether a request with this URI goes to this origin.
    ///
    /// The authority is compared as text, except for the case of its letters. Anything that parsers may
    /// read in several ways, such as a user name, is another origin.
    pub(super) fn is_of(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return false;
        };
        let (host, port) = syntax::split_port(authority.as_str());
        scheme.eq_ignore_ascii_case(self.scheme.as_str())
            && host.eq_ignore_ascii_case(&self.host)
            && port.unwrap_or(self.scheme.default_port()) == &*self.port
    }

    fn is_loopback(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']');
        *self.host == *"localhost"
            || address.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
            || address.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback())
    }
}

impl FromStr for Origin {
    type Err = AddApiKeyError;

    fn from_str(text: &str) -> Result<Self, AddApiKeyError> {
        let origin = Self::in_plain_text(text)?;
        match origin.scheme {
            syntax::Scheme::Http if !origin.is_loopback() => Err(AddApiKeyError::PlainText),
            _ => Ok(origin),
        }
    }
}

impl TryFrom<&str> for Origin {
    type Error = AddApiKeyError;

    fn try_from(text: &str) -> Result<Self, AddApiKeyError> {
        text.parse()
    }
}

impl TryFrom<String> for Origin {
    type Error = AddApiKeyError;

    fn try_from(text: String) -> Result<Self, AddApiKeyError> {
        text.parse()
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

impl fmt::Display for Origin {
    /// Writes the form that browsers send.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if *self.port == *self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::OriginError;

    fn origin(text: &str) -> Origin {
        Origin::in_plain_text(text).unwrap()
    }

    fn goes_to(origin_text: &str, uri: &str) -> bool {
        origin(origin_text).is_of(&uri.parse().unwrap())
    }

    #[test]
    fn a_uri_of_the_origin_goes_there_however_it_is_written() {
        for uri in [
            "https://api.hapnd.example",
            "https://api.hapnd.example/v1/bots?x=@y#z",
            "https://api.hapnd.example:443/",
            "HTTPS://API.Hapnd.Example/",
            "https://api.hapnd.example?https://evil.example",
        ] {
            assert!(goes_to("https://api.hapnd.example", uri), "{uri}");
        }
        assert!(goes_to("http://localhost:8080", "http://LOCALHOST:8080/"));
        assert!(goes_to("http://localhost", "http://localhost:80/"));
        assert!(goes_to("https://[2001:db8::1]:8443", "https://[2001:DB8::1]:8443/"));
        assert!(goes_to("https://[2001:db8::1]", "https://[2001:db8::1]/"));
        assert!(goes_to("https://192.0.2.1", "https://192.0.2.1:443/"));
    }

    #[test]
    fn every_other_uri_goes_elsewhere() {
        for uri in [
            "/v1/bots",
            "*",
            "api.hapnd.example",
            "api.hapnd.example:443",
            "http://api.hapnd.example/",
            "http://api.hapnd.example:443/",
            "wss://api.hapnd.example/",
            "https://api.hapnd.example:8443/",
            "https://api.hapnd.example:80/",
            "https://api.hapnd.example:0443/",
            "https://api.hapnd.example:99999/",
            "https://api.hapnd.example.:443/",
            "https://api.hapnd.example./",
            "https://api.hapnd.example.evil.example/",
            "https://xapi.hapnd.example/",
            "https://hapnd.example/",
            "https://x.api.hapnd.example/",
            "https://api.hapnd.example@evil.example/",
            "https://api.hapnd.example:443@evil.example/",
            "https://evil.example/@api.hapnd.example/",
            "https://evil.example/?https://api.hapnd.example",
            "https://user@api.hapnd.example/",
            "https://user:word@api.hapnd.example/",
            "https://xn--api.hapnd.example/",
            "https://[2001:db8::1]/",
        ] {
            assert!(!goes_to("https://api.hapnd.example", uri), "{uri}");
        }
        assert!(!goes_to("https://[2001:db8::1]", "https://[2001:db8::1]:8443/"));
        assert!(!goes_to("https://127.0.0.1", "https://2130706433/"));
        assert!(!goes_to("https://127.0.0.1", "https://0x7f.1/"));
    }

    #[test]
    fn plain_text_stays_on_this_machine_unless_it_is_asked_for() {
        for near in
            ["http://localhost:3000", "http://127.0.0.1", "http://127.1.2.3", "http://[::1]:1"]
        {
            assert!(near.parse::<Origin>().is_ok(), "{near}");
        }
        for far in [
            "http://api.hapnd.example",
            "http://localhost.example",
            "http://192.168.0.1",
            "http://0.0.0.0",
            "http://128.0.0.1",
            "http://[2001:db8::1]",
            "http://[::]",
        ] {
            assert_eq!(far.parse::<Origin>(), Err(AddApiKeyError::PlainText), "{far}");
            assert_eq!(origin(far).to_string(), far);
            let safe = far.replace("http:", "https:");
            assert_eq!(safe.parse::<Origin>().unwrap().to_string(), safe);
        }
    }

    #[test]
    fn only_whole_origins_are_taken() {
        for (wrong, error) in [
            ("https://*.hapnd.example", AddApiKeyError::Wildcard),
            ("https://api.hapnd.example/", OriginError::NotWhole.into()),
            ("https://api.hapnd.example/v1", OriginError::NotWhole.into()),
            ("https://api.hapnd.example?x", OriginError::NotWhole.into()),
            ("https://user@api.hapnd.example", OriginError::UserInfo.into()),
            ("api.hapnd.example", OriginError::Scheme.into()),
            ("ftp://api.hapnd.example", OriginError::Scheme.into()),
            ("https://api.hapnd.example.", OriginError::Host.into()),
            ("https://api.hapnd.example:0", OriginError::Host.into()),
            ("https:// api.hapnd.example", OriginError::Character.into()),
            ("https://", OriginError::Host.into()),
            ("", OriginError::Scheme.into()),
        ] {
            assert_eq!(wrong.parse::<Origin>(), Err(error), "{wrong}");
        }
    }

    #[cfg(feature = "url")]
    #[test]
    fn every_form_of_the_url_standard_is_understood() {
        let api: Origin = "HTTPS://API.Bücher.Example:443".parse().unwrap();
        assert_eq!(api.to_string(), "https://api.xn--bcher-kva.example");
        assert!(api.is_of(&"https://api.xn--bcher-kva.example/".parse().unwrap()));
    }

    #[cfg(feature = "url")]
    fn one_of(parts: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
        prop::sample::select(parts)
    }

    #[cfg(feature = "url")]
    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        /// As a client sees it that parses URLs by the URL standard.
        #[test]
        fn no_uri_fools_it_into_another_origin(
            scheme in one_of(&["https://", "HTTPS://", "http://", "https:", "//", ""]),
            user in one_of(&["", "", "@", "user@", "user:word@", "api.example@", "api.example:443@"]),
            host in one_of(&[
                "api.example", "API.Example", "api.example.", "api.example.evil.example",
                "xapi.example", "evil.example", "[::1]", "%61pi.example", "api%2eexample",
            ]),
            port in one_of(&["", "", ":", ":443", ":0443", ":+443", ":80", ":8443", ":65979"]),
            rest in one_of(&["", "/", "?", "/@evil.example", "\\@evil.example/", "#", "//evil.example"]),
            typo in prop::option::of((any::<prop::sample::Index>(), "[ -~]")),
        ) {
            let mut text = [scheme, user, host, port, rest].concat();
            if let Some((at, typo)) = typo {
                text.insert_str(at.index(text.len() + 1), &typo);
            }
            let Ok(uri) = text.parse::<Uri>() else { return Ok(()) };
            if origin("https://api.example").is_of(&uri) {
                let host = uri.host().unwrap().to_ascii_lowercase();
                prop_assert_eq!(host, "api.example");
                prop_assert_eq!(uri.port_u16().unwrap_or(443), 443);
                for written in [text, uri.to_string()] {
                    let url = url::Url::parse(&written).unwrap();
                    prop_assert_eq!(url.origin().ascii_serialization(), "https://api.example");
                    prop_assert_eq!(url.username(), "");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_written_alike(text in "https?://[a-z0-9.\\[\\]:*-]{0,20}") {
            if let Ok(origin) = text.parse::<Origin>() {
                prop_assert_eq!(origin.to_string().parse::<Origin>().unwrap(), origin.clone());
                prop_assert!(origin.is_of(&origin.to_string().parse().unwrap()));
            }
        }
    }
}
