//! [`Neighbours`]: the addresses that count as one client.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that count as one client.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Neighbours {
    V4([u8; 4]),
    /// The first 64 bits.
    V6([u8; 8]),
}

impl Neighbours {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl fmt::Display for Neighbours {
    /// Writes an address, or a network of several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(address) => Ipv4Addr::from(address).fmt(f),
            Self::V6([a, b, c, d, e, g, h, i]) => {
                let first = Ipv6Addr::from([a, b, c, d, e, g, h, i, 0, 0, 0, 0, 0, 0, 0, 0]);
                write!(f, "{first}/64")
            }
        }
    }
}
