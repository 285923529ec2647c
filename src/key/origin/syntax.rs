//! How an origin is written.
//!
//! Everything here is about `http` and `https`. An origin is *canonical* if it is written as
//! browsers send it (HTML standard, section 7.1.1): then, and only then, can it be compared
//! as text.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::OriginError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        let schemes = [Self::Http, Self::Https];
        schemes.into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(crate) const fn default_port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

/// A URL that is cut where its origin ends. Nothing in it is decoded, or known to be valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split<'a> {
    pub(crate) scheme: Scheme,
    /// The scheme, `://` and the authority.
    pub(crate) origin: &'a str,
    /// The host, which is not empty, and perhaps a port.
    pub(crate) authority: &'a str,
    /// The path, the query and the fragment.
    pub(crate) rest: &'a str,
}

/// Cuts a URL where every parser cuts it.
///
/// Refused is what some parsers skip or turn into something else: white space and control
/// characters, user names, missing slashes. A backslash ends the authority, as in browsers.
pub(crate) fn split(text: &str) -> Result<Split<'_>, OriginError> {
    if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(OriginError::Character);
    }
    let (name, after) = text.split_once("://").ok_or(OriginError::Scheme)?;
    let scheme = Scheme::parse(name).ok_or(OriginError::Scheme)?;
    let end = after.find(['/', '?', '#', '\\']).unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    if authority.contains('@') {
        return Err(OriginError::UserInfo);
    }
    if split_port(authority).0.is_empty() {
        return Err(OriginError::Host);
    }
    let (origin, _) = text.split_at(text.len() - rest.len());
    Ok(Split { scheme, origin, authority, rest })
}

/// Splits the port off, if there is one. It may be no number.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // That colon is within an IPv6 address.
        Some((_, after)) if after.ends_with(']') => (authority, None),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

/// Tells whether `origin` is one, and is written as browsers send it.
pub(super) fn is_canonical(origin: &str) -> bool {
    let Some((name, authority)) = origin.split_once("://") else {
        return false;
    };
    let Some(scheme) = Scheme::parse(name).filter(|scheme| scheme.as_str() == name) else {
        return false;
    };
    let (host, port) = split_port(authority);
    is_canonical_host(host)
        && port.is_none_or(|port| port != scheme.default_port() && is_canonical_port(port))
}

fn is_canonical_port(port: &str) -> bool {
    // A number has neither a sign nor zeros in front; so there is no port 0.
    !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok()
}

fn is_canonical_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(is_canonical_ipv6);
    }
    are_labels(host) && (!is_address(host) || host.parse::<Ipv4Addr>().is_ok())
}

/// Refuses IPv4 addresses in the form of IPv6: the two standards write them differently.
fn is_canonical_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>()
        .is_ok_and(|address| address.to_ipv4_mapped().is_none() && address.to_string() == text)
}

/// Tells whether `text` is one or more labels of a host name in lower case, with dots between.
fn are_labels(text: &str) -> bool {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    text.split('.').all(|label| !label.is_empty() && label.bytes().all(allowed))
}

/// Tells whether a URL parser takes the host for an IP address, or for a wrong one (URL
/// standard, section 3.5, "ends in a number").
pub(super) fn is_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    let hex = last.strip_prefix("0x");
    let is_hex = hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    host.starts_with('[') || is_number || is_hex
}

/// The longest origin that is read, in bytes: four for each of the characters that a host name may
/// have, and the rest. It bounds the work that a text can make.
pub(super) const MAX_LENGTH: usize = 1100;

/// Returns an origin as browsers write it, if it is one.
pub(super) fn canonical(origin: &str) -> Option<Cow<'_, str>> {
    if origin.len() > MAX_LENGTH {
        None
    } else if is_canonical(origin) {
        Some(Cow::Borrowed(origin))
    } else {
        rewrite(origin).map(Cow::Owned)
    }
}

/// Writes an origin as browsers do, if it is one and is written otherwise.
#[cfg(feature = "url")]
fn rewrite(origin: &str) -> Option<String> {
    if !split(origin).ok()?.rest.is_empty() {
        return None;
    }
    let rewritten = url::Url::parse(origin).ok()?.origin().ascii_serialization();
    is_canonical(&rewritten).then_some(rewritten)
}

/// Without the feature `url`, there is no other form.
#[cfg(not(feature = "url"))]
const fn rewrite(_: &str) -> Option<String> {
    None
}
