//! The address of the client: the peer of the socket, or what trusted proxies say.
//!
//! The client's address is that of the socket's peer: axum's `ConnectInfo` (feature `axum`), tonic's
//! `TcpConnectInfo` (feature `tonic`), or a [`PeerAddress`] that the server puts into the extensions of
//! each request. Any client can send headers such as `X-Forwarded-For`, so they count only if they come
//! from [`TrustedProxies`].
//!
//! If the address is not known, an address restriction refuses the request.

mod forwarded;
mod network;
mod peer;
mod proxies;

pub use self::network::{NetworkError, parse_network};
pub use self::peer::PeerAddress;
pub use self::proxies::TrustedProxies;
