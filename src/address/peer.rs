//! [`PeerAddress`]: the address of the socket's peer.

use std::net::{IpAddr, SocketAddr};

use http::Extensions;

/// The address at the other end of the socket, as an extension of a request.
///
/// The addresses of axum and tonic are found with the features `axum` and `tonic`. Any other server
/// inserts this one, which takes precedence.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tower_api_key::{PeerAddress, RequestHead, TrustedProxies};
///
/// let mut request = Request::new(());
/// request.extensions_mut().insert(PeerAddress("192.0.2.1:50000".parse()?));
/// let client = TrustedProxies::none().client_address(&RequestHead::new(&request));
/// assert_eq!(client, Some("192.0.2.1".parse()?));
/// # Ok::<_, std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Returns the address of the socket's peer. An IPv4-mapped IPv6 address is returned as IPv4.
pub(super) fn peer_address(extensions: &Extensions) -> Option<IpAddr> {
    let socket = extensions.get().map(|PeerAddress(socket)| *socket);
    let socket = socket.or_else(|| of_axum(extensions)).or_else(|| of_tonic(extensions))?;
    Some(socket.ip().to_canonical())
}

#[cfg(feature = "axum")]
fn of_axum(extensions: &Extensions) -> Option<SocketAddr> {
    use axum::extract::ConnectInfo;
    use axum::extract::connect_info::MockConnectInfo;

    let real = extensions.get().map(|ConnectInfo(socket)| *socket);
    real.or_else(|| extensions.get().map(|MockConnectInfo(socket)| *socket))
}

#[cfg(not(feature = "axum"))]
fn of_axum(_: &Extensions) -> Option<SocketAddr> {
    None
}

#[cfg(feature = "tonic")]
fn of_tonic(extensions: &Extensions) -> Option<SocketAddr> {
    // It is also set for connections with TLS.
    extensions.get::<tonic::transport::server::TcpConnectInfo>()?.remote_addr()
}

#[cfg(not(feature = "tonic"))]
fn of_tonic(_: &Extensions) -> Option<SocketAddr> {
    None
}
