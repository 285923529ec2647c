//! [`OriginPattern`]: the sites that may use a key.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::text::is_text;
use thiserror::Error;

pub(crate) mod syntax;

/// The sites that may use a key: `https://shop.example`, `https://*.shop.example` or
/// `http://localhost:8080`.
///
/// The whole scheme, the whole host and the port are compared. `https://shop.example` matches neither
/// `http://shop.example` nor `https://shop.example:8443`, nor a host that only starts or ends with
/// `shop.example`. A wildcard stands for one or more whole labels: `https://*.shop.example` matches
/// `https://a.shop.example` and `https://a.b.shop.example`, but not `https://shop.example`.
///
/// A wildcard is the whole first label, and at least two labels follow it. Public suffixes are not
/// known: `https://*.co.uk` is accepted, and matches the sites of every company there. The schemes are
/// `http` and `https`; those of browser extensions and applications are refused. Also refused are a dot
/// at the end of the host name, the port 0, labels with characters other than letters, digits, `-` and
/// `_`, and IPv4-mapped IPv6 addresses.
///
/// A pattern is written as browsers send an origin (HTML standard, section 7.1.1): in lower case, in
/// punycode, without the default port. With the feature `url`, every form of the URL standard is
/// accepted, and stored as browsers send it.
///
/// # Examples
///
/// ```
/// use tower_api_key::key::OriginPattern;
///
/// let shops: OriginPattern = "https://*.shop.example".parse()?;
/// assert!(shops.matches("https://berlin.shop.example"));
/// assert!(!shops.matches("https://shop.example"));
/// assert!(!shops.matches("https://berlin.shop.example.evil.example"));
/// assert!("https://*".parse::<OriginPattern>().is_err());
/// # Ok::<_, tower_api_key::key::OriginError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct OriginPattern {
    text: Arc<str>,
    // Stored, because finding it takes longer than comparing the text.
    has_wildcard: bool,
}

impl OriginPattern {
    /// Tells whether `origin`, the value of an `Origin` header, matches.
    ///
    /// Origins as browsers send them are compared without allocating. With the feature `url`, other
    /// forms of the URL standard match, too: `HTTPS://Shop.Example:443` is `https://shop.example`. Only
    /// origins match: not `null`, nor a text with a path, a user name or white space.
    ///
    /// A label in punycode is compared as text, even if it cannot be decoded.
    #[must_use]
    pub fn matches(&self, origin: &str) -> bool {
        Site::parse(origin).is_some_and(|site| self.matches_site(&site))
    }

    /// Like [`matches`](Self::matches), with an origin that is parsed already.
    pub(crate) fn matches_site(&self, Site(site): &Site<'_>) -> bool {
        if !self.has_wildcard {
            return **site == *self.text;
        }
        let Some((scheme, rest)) = self.text.split_once('*') else {
            return false;
        };
        // The text between them is whole labels, because the site is an origin.
        site.len() > scheme.len() + rest.len() && site.starts_with(scheme) && site.ends_with(rest)
    }
}

/// The origin of a request, as browsers write it: parsed once, and compared as text with any number of
/// patterns.
#[derive(Debug)]
pub(crate) struct Site<'a>(Cow<'a, str>);

impl<'a> Site<'a> {
    /// The longest origin that is read, in bytes.
    pub(crate) const MAX_LENGTH: usize = syntax::MAX_LENGTH;

    pub(crate) fn parse(origin: &'a str) -> Option<Self> {
        syntax::canonical(origin).map(Self)
    }
}

impl super::HeapSize for OriginPattern {
    fn heap_size(&self) -> usize {
        self.text.heap_size()
    }
}

impl FromStr for OriginPattern {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let url = syntax::split(text)?;
        if !url.rest.is_empty() {
            return Err(OriginError::NotWhole);
        }
        let Some(base) = url.authority.strip_prefix("*.") else {
            return Ok(Self { text: canonical(text)?.into(), has_wildcard: false });
        };
        let base = format!("{}://{base}", url.scheme.as_str());
        let base = canonical(&base)?;
        let url = syntax::split(&base)?;
        let (host, _) = syntax::split_port(url.authority);
        if !host.contains('.') || syntax::is_address(host) {
            return Err(OriginError::Wildcard);
        }
        let text = format!("{}://*.{}", url.scheme.as_str(), url.authority).into();
        Ok(Self { text, has_wildcard: true })
    }
}

fn canonical(origin: &str) -> Result<Cow<'_, str>, OriginError> {
    let otherwise = if origin.contains('*') { OriginError::Wildcard } else { OriginError::Host };
    syntax::canonical(origin).ok_or(otherwise)
}

/// The error of an origin or referrer pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OriginError {
    /// It has white space or a control character.
    #[error("an origin has no white space and no control characters")]
    Character,
    /// It does not start with `http://` or `https://`.
    #[error("an origin starts with `https://` or `http://`")]
    Scheme,
    /// It has a user name or a password.
    #[error("an origin has no user name and no password")]
    UserInfo,
    /// Its host or port is not valid or, without the feature `url`, not written as browsers send it.
    #[cfg_attr(feature = "url", error("the host or the port of the origin is not valid"))]
    #[cfg_attr(
        not(feature = "url"),
        error(
            "write the origin as browsers send it, in lower case, in punycode and without the \
             default port, or enable the feature `url` of tower-api-key"
        )
    )]
    Host,
    /// Its wildcard is not the whole first label, or fewer than two labels of a host name
    /// follow it.
    #[error(
        "a wildcard is the whole first label of a host name, and at least two labels follow it, \
         as in `https://*.shop.example`"
    )]
    Wildcard,
    /// Something follows the host and the port.
    #[error("an origin ends after its host and port: remove what follows")]
    NotWhole,
    /// Its path is not in normal form, has a wildcard elsewhere than in a `/*` at its end or,
    /// without the feature `url`, is not written as browsers send it.
    #[error(
        "the path of a referrer is written as browsers send it, without empty and dot segments, \
         encoded dots and slashes, and `;`, and has a wildcard only in a `/*` at its end"
    )]
    Path,
    /// It has a query or a fragment.
    #[error("the pattern of a referrer has no query and no fragment")]
    Query,
}

is_text!(OriginPattern);

impl fmt::Debug for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OriginPattern").field(&self.text).finish()
    }
}

impl fmt::Display for OriginPattern {
    /// Writes it in the form that browsers send.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
