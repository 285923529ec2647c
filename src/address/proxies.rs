//! [`TrustedProxies`]: whose word counts.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use ipnet::IpNet;

use super::forwarded;
use super::peer::peer_address;
use super::{NetworkError, parse_network};
use crate::head::RequestHead;

/// Which proxies are believed when they say for whom they ask.
///
/// A header is read only if it was written by such a proxy, and only as far to the left as
/// such proxies wrote it: everything further left is what the client claims. If an entry up to
/// there cannot be read, the client's address is not known. At most 100 entries, and 8192 bytes of
/// `Forwarded`, are read.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tower_api_key::{PeerAddress, RequestHead, TrustedProxies};
///
/// let mut request = Request::get("/")
///     .header("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.0.0.2")
///     .body(())
///     .unwrap();
/// request.extensions_mut().insert(PeerAddress("10.0.0.1:50000".parse()?));
/// let head = RequestHead::new(&request);
///
/// // The two nearest are ours, so the third is who asked them; it may claim what it likes.
/// let proxies = TrustedProxies::networks(["10.0.0.0/8"]);
/// assert_eq!(proxies.client_address(&head), Some("198.51.100.7".parse()?));
/// assert_eq!(TrustedProxies::none().client_address(&head), Some("10.0.0.1".parse()?));
/// # Ok::<_, std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TrustedProxies {
    trust: Trust,
    forwarded: bool,
}

#[derive(Clone, Debug, Default)]
enum Trust {
    #[default]
    Nobody,
    Networks(Arc<[IpNet]>),
    Hops(usize),
}

impl TrustedProxies {
    /// Believes nobody: the client is the socket's peer. The default.
    pub const fn none() -> Self {
        Self { trust: Trust::Nobody, forwarded: false }
    }

    /// Believes proxies in these networks, and through them each other. If all entries are of
    /// such proxies, the leftmost is the client.
    ///
    /// # Panics
    ///
    /// Panics if a network does not [parse](parse_network). For text from outside there is
    /// [`try_networks`](Self::try_networks).
    pub fn networks<N: AsRef<str>>(networks: impl IntoIterator<Item = N>) -> Self {
        Self::try_networks(networks).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Does as [`networks`](Self::networks) with text that may be wrong. No network at all is
    /// nobody.
    ///
    /// # Errors
    ///
    /// Returns an error if a network does not [parse](parse_network).
    pub fn try_networks<N: AsRef<str>>(
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Self, NetworkError> {
        let networks: Result<Arc<[_]>, _> =
            networks.into_iter().map(|network| parse_network(network.as_ref())).collect();
        Ok(Self { trust: Trust::Networks(networks?), forwarded: false })
    }

    /// Believes the `count` nearest proxies, wherever they are; the first of them is the
    /// socket's peer.
    ///
    /// Every request has to come through all of them: one that comes another way can claim any
    /// address. With fewer entries than that, the client's address is not known. Prefer networks
    /// where they are known.
    pub const fn hops(count: usize) -> Self {
        let trust = if count == 0 { Trust::Nobody } else { Trust::Hops(count) };
        Self { trust, forwarded: false }
    }

    /// Reads `Forwarded` (RFC 7239) instead of `X-Forwarded-For`.
    ///
    /// Only one of them is ever read: a proxy that writes one hands on what a client wrote in
    /// the other. Let the nearest proxy overwrite the field: what a client claims in it, such as
    /// a quote without end, can make the whole of it unreadable.
    pub fn forwarded_header(self) -> Self {
        Self { forwarded: true, ..self }
    }

    /// Returns the address of the client, if it is known.
    ///
    /// An IPv4 address is one, however it is written.
    #[must_use]
    pub fn client_address(&self, head: &RequestHead<'_>) -> Option<IpAddr> {
        let peer = peer_address(head.extensions())?;
        match &self.trust {
            Trust::Nobody => Some(peer),
            Trust::Networks(networks) => {
                let trusted = |address: &IpAddr| networks.iter().any(|net| net.contains(address));
                // What it wrote in the header is not read at all.
                if !trusted(&peer) {
                    return Some(peer);
                }
                self.walk(head.headers(), |entries| {
                    let mut nearest = peer;
                    while trusted(&nearest) {
                        match entries.next() {
                            Some(entry) => nearest = entry?,
                            None => break,
                        }
                    }
                    Some(nearest)
                })
            }
            Trust::Hops(count) => self.walk(head.headers(), |entries| {
                // The nearer ones have to be readable too: something else wrote what is not.
                (0..*count).try_fold(peer, |_, _| entries.next().flatten())
            }),
        }
    }

    /// Returns the address of the client or, if a proxy wrote what cannot be read, of the proxy.
    pub(crate) fn nearest_known(&self, head: &RequestHead<'_>) -> Option<IpAddr> {
        self.client_address(head).or_else(|| peer_address(head.extensions()))
    }

    /// Walks over what proxies wrote, the nearest first; `None` stands for what cannot be read.
    fn walk(
        &self,
        headers: &HeaderMap,
        walk: impl FnOnce(&mut dyn Iterator<Item = Option<IpAddr>>) -> Option<IpAddr>,
    ) -> Option<IpAddr> {
        if self.forwarded {
            walk(&mut forwarded::forwarded(headers)?.into_iter().rev())
        } else {
            walk(&mut forwarded::x_forwarded_for(headers))
        }
    }
}
