//! Who is at the other end.
//!
//! The client's address is that of the socket's peer: axum's `ConnectInfo` (feature `axum`),
//! tonic's `TcpConnectInfo` (feature `tonic`), or a [`PeerAddress`] that the server puts into the
//! extensions of each request. Headers such as `X-Forwarded-For` are a claim of whoever sent
//! them; they count only if [`TrustedProxies`] says whose claim is believed.
//!
//! Where the address is not known, an address restriction refuses.

mod forwarded;
mod network;
pub(crate) mod peer;
pub(crate) mod proxies;

pub use self::network::{Network, NetworkError};

// They are documented at the root, by which users name them.
#[doc(hidden)]
pub use self::peer::PeerAddress;
#[doc(hidden)]
pub use self::proxies::TrustedProxies;
