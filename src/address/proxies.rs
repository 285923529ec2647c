//! [`TrustedProxies`]: whose word counts.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use ipnet::IpNet;

use super::forwarded;
use super::peer::peer_address;
use super::{Network, NetworkError};
use crate::head::RequestHead;

/// Which proxies are believed when they say for whom they ask.
///
/// A header is read only if it was written by such a proxy, and only as far to the left as
/// such proxies wrote it: everything further left is what the client claims. If an entry up to
/// there cannot be read, the client's address is not known, and neither is it if the list ends with
/// such a proxy: it asks for somebody, and does not say for whom. At most 100 entries, and 8192
/// bytes of `Forwarded`, are read.
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
    may_be_clients: bool,
}

#[derive(Clone, Debug, Default)]
enum Trust {
    #[default]
    Nobody,
    Networks(Arc<[IpNet]>),
    Hops(usize),
}

/// Where the way from the socket's peer to the client ends.
enum End {
    Client(IpAddr),
    /// A trusted proxy says nothing about for whom it asks.
    Silent(IpAddr),
    /// Something wrote what cannot be read, or there are fewer entries than hops.
    Unreadable,
}

impl TrustedProxies {
    /// Believes nobody: the client is the socket's peer. The default.
    pub const fn none() -> Self {
        Self::new(Trust::Nobody)
    }

    const fn new(trust: Trust) -> Self {
        Self { trust, forwarded: false, may_be_clients: false }
    }

    /// Believes proxies in these networks, and through them each other.
    ///
    /// None of them is a client, unless they [may be](Self::may_be_clients): name the proxies'
    /// addresses, and not the network in which clients are as well.
    ///
    /// # Panics
    ///
    /// Panics if a network does not [parse](Network). For text from outside there is
    /// [`try_networks`](Self::try_networks).
    pub fn networks<N>(networks: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<Network, Error: Into<NetworkError>>,
    {
        Self::try_networks(networks).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Does as [`networks`](Self::networks) with text that may be wrong. No network at all is
    /// nobody.
    ///
    /// # Errors
    ///
    /// Returns an error if a network does not [parse](Network).
    pub fn try_networks<N>(networks: impl IntoIterator<Item = N>) -> Result<Self, NetworkError>
    where
        N: TryInto<Network, Error: Into<NetworkError>>,
    {
        let network = |network: N| network.try_into().map(IpNet::from).map_err(Into::into);
        let networks: Result<Arc<[_]>, NetworkError> = networks.into_iter().map(network).collect();
        Ok(Self::new(Trust::Networks(networks?)))
    }

    /// Believes the `count` nearest proxies, wherever they are; the first of them is the
    /// socket's peer.
    ///
    /// Every request has to come through all of them: one that comes another way can claim any
    /// address. With fewer entries than that, the client's address is not known. Prefer networks
    /// where they are known.
    pub const fn hops(count: usize) -> Self {
        Self::new(if count == 0 { Trust::Nobody } else { Trust::Hops(count) })
    }

    /// Takes a trusted proxy for the client where it names nobody: for health checks of the
    /// proxies themselves, and for clients in the networks of the proxies.
    ///
    /// A key that is restricted to the proxies' addresses then works for everybody for whom
    /// a proxy asks without saying so, such as one that hands connections on and writes no header. With
    /// [`hops`](Self::hops), it is the peer of a request without the header.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{PeerAddress, RequestHead, TrustedProxies};
    ///
    /// let mut request = Request::get("/healthz").body(()).unwrap();
    /// request.extensions_mut().insert(PeerAddress("10.0.0.1:50000".parse()?));
    /// let head = RequestHead::new(&request);
    ///
    /// let proxies = TrustedProxies::networks(["10.0.0.0/8"]);
    /// assert_eq!(proxies.client_address(&head), None);
    /// assert_eq!(proxies.may_be_clients().client_address(&head), Some("10.0.0.1".parse()?));
    /// # Ok::<_, std::net::AddrParseError>(())
    /// ```
    pub fn may_be_clients(self) -> Self {
        Self { may_be_clients: true, ..self }
    }

    /// Reads `Forwarded` (RFC 7239) instead of `X-Forwarded-For`.
    ///
    /// Only one of them is ever read: a proxy that writes one hands on what a client wrote in
    /// the other. Let the nearest proxy overwrite the header: what a client claims in it, such as
    /// a quote without end, can make the whole of it unreadable.
    pub fn forwarded_header(self) -> Self {
        Self { forwarded: true, ..self }
    }

    /// Returns the address of the client, if it is known.
    ///
    /// An IPv4 address is one, however it is written.
    #[must_use]
    pub fn client_address(&self, head: &RequestHead<'_>) -> Option<IpAddr> {
        match self.end(peer_address(head.extensions())?, head.headers()) {
            End::Client(address) => Some(address),
            End::Silent(address) => self.may_be_clients.then_some(address),
            End::Unreadable => None,
        }
    }

    /// Returns the address of the client or, if it is not known, of a proxy: of the one that says
    /// nothing, and of the nearest one if something cannot be read.
    pub(crate) fn nearest_known(&self, head: &RequestHead<'_>) -> Option<IpAddr> {
        let peer = peer_address(head.extensions())?;
        Some(match self.end(peer, head.headers()) {
            End::Client(address) | End::Silent(address) => address,
            End::Unreadable => peer,
        })
    }

    /// Follows what proxies wrote, as far as they are believed.
    fn end(&self, peer: IpAddr, headers: &HeaderMap) -> End {
        match &self.trust {
            Trust::Nobody => End::Client(peer),
            Trust::Networks(networks) => {
                let trusted = |address: &IpAddr| networks.iter().any(|net| net.contains(address));
                // What it wrote in the header is not read at all.
                if !trusted(&peer) {
                    return End::Client(peer);
                }
                self.walk(headers, |entries| {
                    let mut nearest = peer;
                    while trusted(&nearest) {
                        match entries.next() {
                            Some(Some(entry)) => nearest = entry,
                            Some(None) => return End::Unreadable,
                            None => return End::Silent(nearest),
                        }
                    }
                    End::Client(nearest)
                })
            }
            Trust::Hops(count) => self.walk(headers, |entries| {
                let mut nearest = peer;
                for hop in 0..*count {
                    match entries.next() {
                        // The nearer ones have to be readable too: something else wrote what is not.
                        Some(Some(entry)) => nearest = entry,
                        None if hop == 0 => return End::Silent(peer),
                        // Who comes past a proxy may have written the rest.
                        Some(None) | None => return End::Unreadable,
                    }
                }
                End::Client(nearest)
            }),
        }
    }

    /// Walks over what proxies wrote, the nearest first; `None` stands for what cannot be read.
    fn walk(
        &self,
        headers: &HeaderMap,
        walk: impl FnOnce(&mut dyn Iterator<Item = Option<IpAddr>>) -> End,
    ) -> End {
        if !self.forwarded {
            return walk(&mut forwarded::x_forwarded_for(headers));
        }
        match forwarded::forwarded(headers) {
            Some(entries) => walk(&mut entries.into_iter().rev()),
            None => End::Unreadable,
        }
    }
}
