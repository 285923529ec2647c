//! Reading `X-Forwarded-For` and `Forwarded` (RFC 7239).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{FORWARDED, HeaderName};
use http::{HeaderMap, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The most entries of a list that are read: no chain of proxies is as long.
const MAX_ENTRIES: usize = 100;
/// The most parameters of an element. RFC 7239 defines four.
const MAX_PARAMETERS: usize = 16;
/// The most bytes of `Forwarded` that are read.
const MAX_BYTES: usize = 8192;

/// Returns the addresses from the last to the first. All lines are one list (RFC 9110, section 5.3).
pub(super) fn x_forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).enumerate().map(
        |(index, entry)| {
            let entry = str::from_utf8(entry).ok().filter(|_| index < MAX_ENTRIES)?;
            node(entry.trim_matches([' ', '\t']))
        },
    )
}

/// Returns the `for` of each element, from the first to the last; `None` if the list cannot be split,
/// because a quote may hide a comma.
pub(super) fn forwarded(headers: &HeaderMap) -> Option<Vec<Option<IpAddr>>> {
    let mut elements = Vec::new();
    if headers.get_all(FORWARDED).iter().map(HeaderValue::len).sum::<usize>() > MAX_BYTES {
        return None;
    }
    for line in &headers.get_all(FORWARDED) {
        let mut rest = to_text(line)?;
        loop {
            if elements.len() == MAX_ENTRIES {
                return None;
            }
            let (address, after) = element(rest)?;
            elements.push(address);
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
    }
    Some(elements)
}

fn to_text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// Reads `forwarded-element`, up to the comma or the end.
fn element(text: &str) -> Option<(Option<IpAddr>, &str)> {
    let (mut address, mut seen, mut rest) = (None, Vec::new(), text);
    loop {
        let (name, after) = token(rest.trim_start_matches([' ', '\t']));
        if !name.is_empty() {
            let name = name.to_ascii_lowercase();
            let (value, after) = value(after.strip_prefix('=')?)?;
            if name == "for" {
                address = bracketed_node(&value);
            }
            // RFC 7239, section 4: each parameter at most once.
            if seen.contains(&name) || seen.len() == MAX_PARAMETERS {
                return None;
            }
            seen.push(name);
            rest = after;
        } else {
            rest = after;
        }
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(';') {
            Some(next) => rest = next,
            None if rest.is_empty() || rest.starts_with(',') => return Some((address, rest)),
            None => return None,
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    let tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at(text.find(|c| !tchar(c)).unwrap_or(text.len()))
}

/// Reads a token or a quoted string (RFC 9110, section 5.6.4).
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = token(text);
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let (mut value, mut chars) = (String::new(), quoted.char_indices());
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[index + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

/// Reads `1.2.3.4`, `1.2.3.4:99`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:99`.
fn node(text: &str) -> Option<IpAddr> {
    match text.parse::<Ipv6Addr>() {
        Ok(address) => Some(IpAddr::V6(address).to_canonical()),
        Err(_) => bracketed_node(text),
    }
}

/// Reads a `node` of RFC 7239, section 6, in which IPv6 addresses have brackets. `unknown` and
/// obfuscated nodes have no address.
fn bracketed_node(text: &str) -> Option<IpAddr> {
    let (address, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (address, rest) = bracketed.split_once(']')?;
            (IpAddr::V6(address.parse().ok()?), rest)
        }
        None => {
            let (address, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), rest)
        }
    };
    if let Some(port) = rest.strip_prefix(':') {
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        port.parse::<u16>().ok().filter(|_| digits)?;
    } else if !rest.is_empty() {
        return None;
    }
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::address::{PeerAddress, TrustedProxies};
    use crate::head::RequestHead;

    fn client(proxies: &TrustedProxies, name: &str, lines: &[&[u8]]) -> Option<IpAddr> {
        let mut request = Request::new(());
        request.extensions_mut().insert(PeerAddress("10.0.0.1:5000".parse().unwrap()));
        for line in lines {
            let value = HeaderValue::from_bytes(line).ok()?;
            request.headers_mut().append(HeaderName::try_from(name).unwrap(), value);
        }
        proxies.client_address(&RequestHead::new(&request))
    }

    fn ours() -> TrustedProxies {
        TrustedProxies::networks(["10.0.0.0/8", "fd00::/8"])
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn entries_are_read_however_proxies_write_them() {
        for (entry, read) in [
            ("1.2.3.4", "1.2.3.4"),
            (" \t1.2.3.4 ", "1.2.3.4"),
            ("1.2.3.4:99", "1.2.3.4"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("[::ffff:1.2.3.4]:1", "1.2.3.4"),
        ] {
            let read_from = |proxies| client(&proxies, "x-forwarded-for", &[entry.as_bytes()]);
            assert_eq!(read_from(ours()), address(read), "{entry}");
            assert_eq!(read_from(TrustedProxies::hops(1)), address(read), "{entry}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_address() {
        for entry in [
            "",
            " ",
            "unknown",
            "_hidden",
            "example.com",
            "1.2.3",
            "1.2.3.4.5",
            "010.0.0.1",
            "1.2.3.4:",
            "1.2.3.4:65536",
            "1.2.3.4:+1",
            "1.2.3.4:x",
            "1.2.3.4 5",
            "[1.2.3.4]",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]:",
            "fe80::1%eth0",
            "\"1.2.3.4\"",
            "\u{e4}",
            "1.2.3.4;",
            "for=1.2.3.4",
            "1.2.3.4,",
            "0x01020304",
        ] {
            for proxies in [ours(), TrustedProxies::hops(1)] {
                let read = client(&proxies, "x-forwarded-for", &[entry.as_bytes()]);
                assert_eq!(read, None, "{entry}");
            }
        }
    }

    #[test]
    fn the_list_is_walked_from_the_right_over_all_lines() {
        for (lines, read) in [
            (&["9.9.9.9, 1.2.3.4, 10.0.0.2"][..], address("1.2.3.4")),
            (&["9.9.9.9, 1.2.3.4", "10.0.0.2"], address("1.2.3.4")),
            (&["9.9.9.9", "1.2.3.4, 10.0.0.2"], address("1.2.3.4")),
            (&["garbage, 1.2.3.4"], address("1.2.3.4")),
            (&["1.2.3.4, garbage"], None),
            (&["1.2.3.4, , 10.0.0.2"], None),
            (&["1.2.3.4", ""], None),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(client(&ours(), "x-forwarded-for", &lines), read, "{lines:?}");
        }
    }

    #[test]
    fn hops_are_counted_from_the_right() {
        let line = &[&b"9.9.9.9, 1.2.3.4, 5.6.7.8"[..]];
        for (count, read) in [
            (0, address("10.0.0.1")),
            (1, address("5.6.7.8")),
            (2, address("1.2.3.4")),
            (3, address("9.9.9.9")),
            (4, None),
        ] {
            assert_eq!(client(&TrustedProxies::hops(count), "x-forwarded-for", line), read);
        }
        assert_eq!(client(&TrustedProxies::hops(1), "x-forwarded-for", &[]), None);
        let line = &[&b"9.9.9.9, 1.2.3.4, garbage"[..]];
        assert_eq!(client(&TrustedProxies::hops(2), "x-forwarded-for", line), None);
    }

    #[test]
    fn a_trusted_proxy_that_names_nobody_is_the_client_only_where_it_may_be() {
        let x_forwarded_for: [(&[&str], _); 9] = [
            (&[], address("10.0.0.1")),
            (&["10.0.0.3"], address("10.0.0.3")),
            (&["10.0.0.3, fd00::2"], address("10.0.0.3")),
            (&["10.0.0.3", "10.0.0.2"], address("10.0.0.3")),
            // What is there and cannot be read is not nothing.
            (&[""], None),
            (&[","], None),
            (&[", 10.0.0.3"], None),
            (&["", "10.0.0.3"], None),
            (&["unknown, 10.0.0.3"], None),
        ];
        let forwarded: [(&[&str], _); 8] = [
            (&[], address("10.0.0.1")),
            (&["for=10.0.0.3"], address("10.0.0.3")),
            (&["for=10.0.0.3, for=\"[fd00::2]\""], address("10.0.0.3")),
            (&[""], None),
            (&[","], None),
            (&["proto=https"], None),
            (&["for=unknown, for=10.0.0.3"], None),
            (&["for=\"10.0.0.3"], None),
        ];
        let x_forwarded_for = x_forwarded_for.map(|case| (ours(), "x-forwarded-for", case));
        let forwarded = forwarded.map(|case| (ours().forwarded_header(), "forwarded", case));
        for (proxies, name, (lines, read)) in x_forwarded_for.into_iter().chain(forwarded) {
            let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(client(&proxies, name, &lines), None, "{name}: {lines:?}");
            let found = client(&proxies.may_be_clients(), name, &lines);
            assert_eq!(found, read, "{name}: {lines:?}");
        }
        // A request that did not come through all hops came from anywhere.
        for (hops, line, read) in [
            (1, None, address("10.0.0.1")),
            (2, None, address("10.0.0.1")),
            (2, Some("1.2.3.4"), None),
        ] {
            let lines: Vec<_> = line.iter().map(|line: &&str| line.as_bytes()).collect();
            let proxies = TrustedProxies::hops(hops);
            assert_eq!(client(&proxies, "x-forwarded-for", &lines), None);
            assert_eq!(client(&proxies.may_be_clients(), "x-forwarded-for", &lines), read);
        }
    }

    #[test]
    fn a_header_is_nothing_without_trust_in_the_peer_and_only_one_is_read() {
        let line = &[&b"1.2.3.4"[..]];
        for name in ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"] {
            assert_eq!(client(&TrustedProxies::none(), name, line), address("10.0.0.1"), "{name}");
            let elsewhere = TrustedProxies::networks(["192.0.2.0/24"]);
            let nowhere = TrustedProxies::networks::<&str>([]);
            for proxies in [elsewhere, nowhere] {
                for proxies in [proxies.clone(), proxies.forwarded_header()] {
                    assert_eq!(client(&proxies, name, line), address("10.0.0.1"), "{name}");
                    assert_eq!(client(&proxies, name, &[b"for=\""]), address("10.0.0.1"), "{name}");
                }
            }
        }
        let ours = || ours().may_be_clients();
        let forwarded = ours().forwarded_header();
        assert_eq!(client(&forwarded, "x-forwarded-for", line), address("10.0.0.1"));
        assert_eq!(client(&ours(), "forwarded", &[b"for=1.2.3.4"]), address("10.0.0.1"));
        let request = Request::get("/").header("x-forwarded-for", "1.2.3.4").body(()).unwrap();
        let head = RequestHead::new(&request);
        for proxies in [TrustedProxies::none(), ours(), TrustedProxies::hops(1)] {
            assert_eq!(proxies.client_address(&head), None, "without a peer");
        }
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        for (lines, read) in [
            (&["for=1.2.3.4"][..], address("1.2.3.4")),
            (&["For=\"[2001:db8:cafe::17]:4711\""], address("2001:db8:cafe::17")),
            (&["for=1.2.3.4;proto=http;by=203.0.113.43"], address("1.2.3.4")),
            (&["by=203.0.113.43 ; for=\"1.2.3.4:80\""], address("1.2.3.4")),
            (&["for=9.9.9.9, for=1.2.3.4, for=10.0.0.2"], address("1.2.3.4")),
            (&["for=9.9.9.9", "for=1.2.3.4;by=\"a,b;c\"", "for=10.0.0.2"], address("1.2.3.4")),
            (&["for=9.9.9.9;by=\"x\\\", for=8.8.8.8\", for=1.2.3.4"], address("1.2.3.4")),
            (&["for=unknown, for=1.2.3.4"], address("1.2.3.4")),
            (&["for=1.2.3.4, for=unknown"], None),
            (&["for=1.2.3.4, for=_hidden"], None),
            (&["for=1.2.3.4, by=10.0.0.2"], None),
            (&["for=1.2.3.4;for=5.6.7.8"], None),
            (&["for=2001:db8::1"], None),
            (&["for=\"2001:db8::1\""], None),
            (&["for=\"1.2.3.4"], None),
            (&["for=9.9.9.9, for=\"x, for=1.2.3.4"], None),
            (&["for=1.2.3.4 x"], None),
            (&["for"], None),
            (&["for="], None),
            (&["1.2.3.4"], None),
            (&["for=1.2.3.4,"], None),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
            let read_as = client(&ours().forwarded_header(), "forwarded", &lines);
            assert_eq!(read_as, read, "{lines:?}");
        }
    }

    #[test]
    fn an_endless_list_is_not_read_to_its_end() {
        let long = vec!["10.0.0.2"; 10_000].join(", ");
        assert_eq!(client(&ours(), "x-forwarded-for", &[long.as_bytes()]), None);
        for long in [
            vec!["for=10.0.0.2"; 101].join(", "),
            format!("for=1.2.3.4;by=\"{}\"", "x".repeat(8192)),
            (0..20).map(|number| format!("x{number}=y;")).collect::<String>() + "for=1.2.3.4",
        ] {
            assert_eq!(client(&ours().forwarded_header(), "forwarded", &[long.as_bytes()]), None);
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(line in prop::collection::vec(any::<u8>(), 0..80), hops in 0usize..4) {
            for name in ["x-forwarded-for", "forwarded"] {
                for proxies in [ours(), TrustedProxies::hops(hops)] {
                    client(&proxies, name, &[&line]);
                    client(&proxies.forwarded_header(), name, &[&line]);
                }
            }
        }

        #[test]
        fn what_a_client_claims_changes_nothing(
            claim in "[0-9a-z.:,;=\"_ -]{0,60}",
            client_at in any::<[u8; 4]>().prop_filter("not ours", |bytes| bytes[0] != 10),
            trusted in 0u8..4,
        ) {
            let real = IpAddr::from(client_at);
            let mut entries = vec![real.to_string()];
            entries.extend((0..trusted).map(|number| format!("10.0.0.{number}")));
            let list = format!("{claim}, {}", entries.join(", "));
            prop_assert_eq!(client(&ours(), "x-forwarded-for", &[list.as_bytes()]), Some(real));
            let hops = TrustedProxies::hops(usize::from(trusted) + 1);
            prop_assert_eq!(client(&hops, "x-forwarded-for", &[list.as_bytes()]), Some(real));
            // A client cannot close a quote that it opened, but it can make the list unreadable.
            let list = format!("{claim}, for={}", entries.join(", for="));
            let read = client(&ours().forwarded_header(), "forwarded", &[list.as_bytes()]);
            prop_assert!(read.is_none() || read == Some(real), "{read:?}");
        }
    }
}
