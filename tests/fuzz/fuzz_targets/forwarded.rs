//! The address of the client behind proxies.
//!
//! The input is the trust (`nobody`, networks like `10.0.0.0/8 192.0.2.1/32`, or a number of hops),
//! the peer's address, and the values of the header. A `?` before the trust lets proxies be clients,
//! and a `f` before that reads `Forwarded`.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use tower_api_key::address::Network;
use tower_api_key::{PeerAddress, RequestHead, TrustedProxies};
use tower_api_key_fuzz::forwarded::{Trust, forwarded, x_forwarded_for};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut line = || str::from_utf8(lines.next()?).ok();
    let (Some(trust), Some(peer)) = (line(), line()) else { return };
    let _ = peer.parse::<Network>();
    let Ok(peer) = peer.parse::<IpAddr>() else { return };
    let Some(values) = lines.map(|value| HeaderValue::from_bytes(value).ok()).collect() else {
        return;
    };
    let values: Vec<HeaderValue> = values;

    let (is_forwarded, trust) = trust.strip_prefix('f').map_or((false, trust), |rest| (true, rest));
    let (may_be, trust) = trust.strip_prefix('?').map_or((false, trust), |rest| (true, rest));
    let Some((trust, mut proxies)) = read(trust) else { return };
    if is_forwarded {
        proxies = proxies.forwarded_header();
    }
    if may_be {
        proxies = proxies.may_be_clients();
    }

    let name = if is_forwarded { "forwarded" } else { "x-forwarded-for" };
    let mut headers = HeaderMap::new();
    for value in &values {
        headers.append(HeaderName::from_static(name), value.clone());
    }
    let mut request = Request::new(());
    *request.headers_mut() = headers;
    request.extensions_mut().insert(PeerAddress(SocketAddr::new(peer, 1)));

    let values: Vec<_> = values.iter().map(HeaderValue::as_bytes).collect();
    let entries = if is_forwarded { forwarded(&values) } else { Some(x_forwarded_for(&values)) };
    let expected = trust.client(peer.to_canonical(), entries, may_be);
    assert_eq!(proxies.client_address(&RequestHead::new(&request)), expected);
});

fn read(text: &str) -> Option<(Trust, TrustedProxies)> {
    if text == "nobody" {
        return Some((Trust::Nobody, TrustedProxies::none()));
    }
    if let Ok(hops) = text.parse::<u8>() {
        return Some((Trust::Hops(hops.into()), TrustedProxies::hops(hops.into())));
    }
    let proxies = TrustedProxies::try_networks(text.split(' ')).ok()?;
    let network = |text: &str| {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        Some((address.parse().ok()?, length.parse().ok()?))
    };
    Some((Trust::Networks(text.split(' ').map(network).collect::<Option<_>>()?), proxies))
}
