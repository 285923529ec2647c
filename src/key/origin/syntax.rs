//! The syntax of origins.
//!
//! This module handles only `http` and `https`. An origin is *canonical* if it is written as browsers
//! send it (HTML standard, section 7.1.1): only then can it be compared as text.

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

/// A URL, split at the end of its origin. Nothing in it is decoded or validated.
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

/// Splits a URL where every parser splits it.
///
/// It refuses what some parsers skip or change: white space and control characters, user names, missing
/// slashes. A backslash ends the authority, as in browsers.
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

/// Splits off the port, if there is one. It may not be a number.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // That colon is inside an IPv6 address.
        Some((_, after)) if after.ends_with(']') => (authority, None),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

/// Tells whether `origin` is an origin, written as browsers send it.
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
    // A number has neither a sign nor leading zeros, so port 0 is refused.
    !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok()
}

fn is_canonical_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(is_canonical_ipv6);
    }
    are_labels(host) && (!is_address(host) || host.parse::<Ipv4Addr>().is_ok())
}

/// Refuses IPv4-mapped IPv6 addresses: the two standards write them differently.
fn is_canonical_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>()
        .is_ok_and(|address| address.to_ipv4_mapped().is_none() && address.to_string() == text)
}

/// Tells whether `text` is one or more labels of a host name in lower case, separated by dots.
fn are_labels(text: &str) -> bool {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    text.split('.').all(|label| !label.is_empty() && label.bytes().all(allowed))
}

/// Tells whether a URL parser reads the host as an IP address, or as an invalid one (URL standard,
/// section 3.5, "ends in a number").
pub(super) fn is_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    let hex = last.strip_prefix("0x");
    let is_hex = hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    host.starts_with('[') || is_number || is_hex
}

/// The longest origin that is read, in bytes: four for each possible character of a host name, and the
/// rest. It bounds the work for a text.
pub(super) const MAX_LENGTH: usize = 1100;

/// Returns an origin as browsers write it, if the text is one.
pub(super) fn canonical(origin: &str) -> Option<Cow<'_, str>> {
    if origin.len() > MAX_LENGTH {
        None
    } else if is_canonical(origin) {
        Some(Cow::Borrowed(origin))
    } else {
        rewrite(origin).map(Cow::Owned)
    }
}

/// Rewrites an origin as browsers write it, if it is one in another form.
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
