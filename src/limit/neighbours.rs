//! [`Neighbours`]: the addresses that count as one client.

use std::net::IpAddr;

/// The addresses that count as one client.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Neighbours {
    V4([u8; 4]),
    /// The first 64 bits.
    V6([u8; 8]),
}

impl Neighbours {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}
