//! [`TrustedProxies`]: the proxies that may name the client.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use ipnet::IpNet;

use super::forwarded;
use super::peer::peer_address;
use super::{Network, NetworkError};
use crate::head::RequestHead;
use crate::valid::valid;

/// The proxies that are trusted to name the client's address, such as in `X-Forwarded-For`.
///
/// A header is read only if such a proxy wrote it, and only as far to the left as such proxies wrote
/// it: a client can forge everything further left. The client's address is not known if an entry up to
/// there cannot be read. It is also not known if the list ends with a trusted proxy, which then asks
/// for an unnamed client. At most 100 entries, and 8192 bytes of `Forwarded`, are read.
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
/// // The two nearest proxies are ours. The third entry is their client, whatever it claims.
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

/// The result of following the proxies from the socket's peer to the client.
enum End {
    Client(IpAddr),
    /// A trusted proxy does not name its client.
    Silent(IpAddr),
    /// An entry cannot be read, or there are fewer entries than hops.
    Unreadable,
}

impl TrustedProxies {
    /// Trusts no proxy: the client is the socket's peer. The default.
    pub const fn none() -> Self {
        Self::new(Trust::Nobody)
    }

    const fn new(trust: Trust) -> Self {
        Self { trust, forwarded: false, may_be_clients: false }
    }

    /// Trusts the proxies in these networks.
    ///
    /// A trusted proxy is never the client, unless [`may_be_clients`](Self::may_be_clients) is set. So
    /// give the addresses of the proxies, not a network with clients in it.
    ///
    /// # Panics
    ///
    /// Panics if a network does not [parse](Network). For text from outside, use
    /// [`try_networks`](Self::try_networks).
    #[track_caller]
    pub fn networks<N>(networks: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<Network, Error: Into<NetworkError>>,
    {
        valid(Self::try_networks(networks))
    }

    /// Like [`networks`](Self::networks), for text that may be wrong. Without any network, no proxy is
    /// trusted.
    ///
    /// # Errors
    ///
    /// Returns an error if a network does not [parse](Network).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::TrustedProxies;
    ///
    /// assert!(TrustedProxies::try_networks(["10.0.0.1", "2001:db8::/32"]).is_ok());
    /// let error = TrustedProxies::try_networks(["10.0.0.1/8"]).unwrap_err();
    /// assert!(error.to_string().contains("10.0.0.0/8"));
    /// ```
    pub fn try_networks<N>(networks: impl IntoIterator<Item = N>) -> Result<Self, NetworkError>
    where
        N: TryInto<Network, Error: Into<NetworkError>>,
    {
        let network = |network: N| network.try_into().map(IpNet::from).map_err(Into::into);
        let networks: Result<Arc<[_]>, NetworkError> = networks.into_iter().map(network).collect();
        Ok(Self::new(Trust::Networks(networks?)))
    }

    /// Trusts the `count` nearest proxies, whatever their addresses are. The first of them is the
    /// socket's peer.
    ///
    /// Every request has to pass through all of them: one that takes another way can claim any address.
    /// With fewer entries, the client's address is not known. Prefer networks if they are known.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{PeerAddress, RequestHead, TrustedProxies};
    ///
    /// let request = Request::get("/")
    ///     .header("x-forwarded-for", "203.0.113.5, 198.51.100.7")
    ///     .extension(PeerAddress("10.0.0.1:4711".parse()?))
    ///     .body(())?;
    /// let client = TrustedProxies::hops(1).client_address(&RequestHead::new(&request));
    /// assert_eq!(client, Some("198.51.100.7".parse()?));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub const fn hops(count: usize) -> Self {
        Self::new(if count == 0 { Trust::Nobody } else { Trust::Hops(count) })
    }

    /// Uses the address of a trusted proxy as the client's if the proxy names no client: for health
    /// checks of the proxies themselves, and for clients in the networks of the proxies.
    ///
    /// A key that is restricted to the proxies' addresses then works for every client of a proxy that
    /// does not name it, such as a proxy that forwards connections and writes no header. With
    /// [`hops`](Self::hops), the client of a request without the header is its peer.
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
    /// Only one of them is read, because a proxy that writes one forwards the other as the client wrote
    /// it. Let the nearest proxy overwrite the header: a client can otherwise make all of it
    /// unreadable, for example by a quote without an end.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{PeerAddress, RequestHead, TrustedProxies};
    ///
    /// let proxies = TrustedProxies::networks(["10.0.0.1"]).forwarded_header();
    /// let request = Request::get("/")
    ///     .header("forwarded", "for=198.51.100.7;proto=https")
    ///     .extension(PeerAddress("10.0.0.1:4711".parse()?))
    ///     .body(())?;
    /// let client = proxies.client_address(&RequestHead::new(&request));
    /// assert_eq!(client, Some("198.51.100.7".parse()?));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn forwarded_header(self) -> Self {
        Self { forwarded: true, ..self }
    }

    /// Returns the address of the client, if it is known.
    ///
    /// An IPv4-mapped IPv6 address is returned as IPv4.
    #[must_use]
    pub fn client_address(&self, head: &RequestHead<'_>) -> Option<IpAddr> {
        match self.end(peer_address(head.extensions())?, head.headers()) {
            End::Client(address) => Some(address),
            End::Silent(address) => self.may_be_clients.then_some(address),
            End::Unreadable => None,
        }
    }

    /// Returns the address of the client or, if it is not known, of a proxy: the proxy that names no
    /// client, or the nearest one if an entry cannot be read.
    pub(crate) fn nearest_known(&self, head: &RequestHead<'_>) -> Option<IpAddr> {
        let peer = peer_address(head.extensions())?;
        Some(match self.end(peer, head.headers()) {
            End::Client(address) | End::Silent(address) => address,
            End::Unreadable => peer,
        })
    }

    /// Follows the entries of trusted proxies.
    fn end(&self, peer: IpAddr, headers: &HeaderMap) -> End {
        match &self.trust {
            Trust::Nobody => End::Client(peer),
            Trust::Networks(networks) => {
                let trusted = |address: &IpAddr| networks.iter().any(|net| net.contains(address));
                // Its entries in the header are not read at all.
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
                        // The nearer entries have to be readable, too: a trusted proxy writes no
                        // other.
                        Some(Some(entry)) => nearest = entry,
                        None if hop == 0 => return End::Silent(peer),
                        // A client that bypasses a proxy may have written the rest.
                        Some(None) | None => return End::Unreadable,
                    }
                }
                End::Client(nearest)
            }),
        }
    }

    /// Walks over the entries, the nearest first; `None` stands for one that cannot be read.
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
