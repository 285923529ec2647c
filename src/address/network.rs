//! [`parse_network`]: networks as text.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

use crate::text::is_text;

/// The error of a text that is not a network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// It is neither a network nor an address.
    #[error("not a network or an address: write `192.0.2.0/24`, `2001:db8::/32` or `192.0.2.1`")]
    Form,
    /// The address has bits outside of the network's prefix.
    #[error(
        "the address has bits outside of the prefix: write the network `{0}`, or the address alone"
    )]
    HostBits(IpNet),
    /// It is an IPv4-mapped IPv6 network that holds more than IPv4 addresses.
    #[error("the prefix of an IPv4-mapped network is too short: use at least 96")]
    Mapped,
}

impl From<Infallible> for NetworkError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The addresses of a network, such as `192.0.2.0/24`, or one address.
///
/// An IPv4-mapped IPv6 network is the IPv4 network that it stands for. A text or an [`IpNet`] whose address is not
/// the network's is refused: `10.0.0.1/8` may mean `10.0.0.1` or `10.0.0.0/8`.
///
/// # Examples
///
/// ```
/// use std::net::Ipv4Addr;
///
/// use tower_api_key::address::Network;
///
/// let network: Network = "192.0.2.1".parse()?;
/// assert_eq!(network, "192.0.2.1/32".parse()?);
/// assert_eq!(network, Ipv4Addr::new(192, 0, 2, 1).into());
/// assert_eq!("::ffff:10.0.0.0/104".parse::<Network>()?, "10.0.0.0/8".parse()?);
/// assert!("10.0.0.1/8".parse::<Network>().is_err());
/// # Ok::<_, tower_api_key::address::NetworkError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpNet);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        parse_network(text).map(Self)
    }
}

impl TryFrom<IpNet> for Network {
    type Error = NetworkError;

    fn try_from(network: IpNet) -> Result<Self, NetworkError> {
        normal(network).map(Self)
    }
}

impl TryFrom<&IpNet> for Network {
    type Error = NetworkError;

    fn try_from(network: &IpNet) -> Result<Self, NetworkError> {
        Self::try_from(*network)
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }
}

impl From<Ipv4Addr> for Network {
    fn from(address: Ipv4Addr) -> Self {
        IpAddr::from(address).into()
    }
}

impl From<Ipv6Addr> for Network {
    fn from(address: Ipv6Addr) -> Self {
        IpAddr::from(address).into()
    }
}

impl From<Network> for IpNet {
    fn from(network: Network) -> Self {
        network.0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

is_text!(Network);

/// Parses a network, or an address as a network of one.
fn parse_network(text: &str) -> Result<IpNet, NetworkError> {
    let address = |text: &str| text.parse::<IpAddr>().map_err(|_| NetworkError::Form);
    let network = match text.split_once('/') {
        None => IpNet::from(address(text)?),
        Some((text, prefix)) => {
            let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
            let prefix = prefix.parse().ok().filter(|_| digits).ok_or(NetworkError::Form)?;
            IpNet::new(address(text)?, prefix).map_err(|_| NetworkError::Form)?
        }
    };
    normal(network)
}

/// Returns a network as it is kept, if its address is that of the network.
fn normal(network: IpNet) -> Result<IpNet, NetworkError> {
    let network = canonical(network)?;
    if network.addr() != network.network() {
        return Err(NetworkError::HostBits(network.trunc()));
    }
    Ok(network)
}

fn canonical(network: IpNet) -> Result<IpNet, NetworkError> {
    let IpNet::V6(wide) = network else { return Ok(network) };
    let Some(address) = wide.addr().to_ipv4_mapped() else { return Ok(network) };
    let prefix = wide.prefix_len().checked_sub(96).ok_or(NetworkError::Mapped)?;
    Ipv4Net::new(address, prefix).map(IpNet::V4).map_err(|_| NetworkError::Mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_parsed() {
        for (text, network) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ] {
            assert_eq!(parse_network(text).unwrap().to_string(), network);
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in
            ["", "x", "10.0.0.0/33", "10.0.0/8", "010.0.0.0/8", "::/+8", "fe80::1%eth0", " ::1"]
        {
            assert_eq!(parse_network(text), Err(NetworkError::Form), "{text}");
        }
        assert_eq!(parse_network("::ffff:0:0/95"), Err(NetworkError::Mapped));
        let error = parse_network("10.0.0.1/8").unwrap_err().to_string();
        assert!(error.contains("`10.0.0.0/8`"), "{error}");
    }
}
