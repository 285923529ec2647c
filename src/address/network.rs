//! [`parse_network`]: networks as text.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

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

/// Parses a network in CIDR notation, or an address as a network of one.
///
/// An IPv4-mapped IPv6 network becomes an IPv4 network.
///
/// # Errors
///
/// Returns an error if the text has another form, or if the address has bits outside of the prefix:
/// `10.0.0.1/8` may mean `10.0.0.1` or `10.0.0.0/8`.
///
/// # Examples
///
/// ```
/// use tower_api_key::address::parse_network;
///
/// assert_eq!(parse_network("192.0.2.1")?, parse_network("192.0.2.1/32")?);
/// assert_eq!(parse_network("::ffff:10.0.0.0/104")?, parse_network("10.0.0.0/8")?);
/// assert!(parse_network("10.0.0.1/8").is_err());
/// # Ok::<_, tower_api_key::address::NetworkError>(())
/// ```
pub fn parse_network(text: &str) -> Result<IpNet, NetworkError> {
    let address = |text: &str| text.parse::<IpAddr>().map_err(|_| NetworkError::Form);
    let network = match text.split_once('/') {
        None => IpNet::from(address(text)?),
        Some((text, prefix)) => {
            let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
            let prefix = prefix.parse().ok().filter(|_| digits).ok_or(NetworkError::Form)?;
            IpNet::new(address(text)?, prefix).map_err(|_| NetworkError::Form)?
        }
    };
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
