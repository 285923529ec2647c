//! Who the client is behind proxies, read once more in a plain way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whose word counts.
#[derive(Clone, Debug)]
pub enum Trust {
    Nobody,
    /// The proxies in networks of IPv4, given by their address and the length of their prefix.
    Networks(Vec<(Ipv4Addr, u32)>),
    Hops(usize),
}

impl Trust {
    fn trusts(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Networks(networks), IpAddr::V4(address)) => {
                networks.iter().any(|(network, length)| {
                    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                    network.to_bits() & mask == address.to_bits() & mask
                })
            }
            _ => false,
        }
    }

    /// Returns the client, if it is known. The entries are those of the header, from the first to
    /// the last, of which `None` is one that cannot be read; they are `None` altogether if the list
    /// cannot be taken apart.
    pub fn client(
        &self,
        peer: IpAddr,
        entries: Option<Vec<Option<IpAddr>>>,
        may_be_clients: bool,
    ) -> Option<IpAddr> {
        match self {
            Self::Nobody | Self::Hops(0) => Some(peer),
            Self::Networks(_) => {
                if !self.trusts(peer) {
                    return Some(peer);
                }
                let mut nearest = peer;
                for entry in entries?.into_iter().rev() {
                    nearest = entry?;
                    if !self.trusts(nearest) {
                        return Some(nearest);
                    }
                }
                may_be_clients.then_some(nearest)
            }
            Self::Hops(count) => {
                let entries = entries?;
                if entries.is_empty() {
                    return may_be_clients.then_some(peer);
                }
                let read =
                    entries.iter().rev().take(*count).copied().collect::<Option<Vec<_>>>()?;
                (read.len() == *count).then(|| read[*count - 1])
            }
        }
    }
}

/// Reads the lines of `X-Forwarded-For` as far as they are looked at: the last hundred entries.
pub fn x_forwarded_for(lines: &[&[u8]]) -> Vec<Option<IpAddr>> {
    let entries = lines.iter().flat_map(|line| line.split(|byte| *byte == b','));
    let mut entries: Vec<_> = entries
        .map(|entry| {
            let entry = str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
            let bare = entry.parse::<Ipv6Addr>().ok().map(IpAddr::from);
            bare.map(|address| address.to_canonical()).or_else(|| node(entry))
        })
        .collect();
    // What lies further to the left cannot be read.
    let far = entries.len().saturating_sub(100);
    entries[..far].fill(None);
    entries
}

/// Reads the lines of `Forwarded`, character by character.
pub fn forwarded(lines: &[&[u8]]) -> Option<Vec<Option<IpAddr>>> {
    if lines.iter().map(|line| line.len()).sum::<usize>() > 8192 {
        return None;
    }
    let mut entries = Vec::new();
    for line in lines {
        let line = str::from_utf8(line).ok()?;
        if !line.chars().all(|c| c == '\t' || (' '..='~').contains(&c)) {
            return None;
        }
        for element in split_outside_quotes(line, ',')? {
            entries.push(address_of(&element)?);
        }
    }
    (entries.len() <= 100).then_some(entries)
}

/// Splits a text at a separator that is not within quotes; `None` if a quote has no end.
fn split_outside_quotes(text: &str, separator: char) -> Option<Vec<String>> {
    let (mut parts, mut within, mut escaped) = (vec![String::new()], false, false);
    for c in text.chars() {
        if c == separator && !within {
            parts.push(String::new());
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if within => escaped = true,
            '"' => within = !within,
            _ => {}
        }
        parts.last_mut()?.push(c);
    }
    (!within).then_some(parts)
}

/// Returns the address that an element names; `None` if the element cannot be read.
fn address_of(element: &str) -> Option<Option<IpAddr>> {
    let (mut names, mut address) = (Vec::new(), None);
    for pair in split_outside_quotes(element, ';')? {
        let pair = pair.trim_matches([' ', '\t']);
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        let name = name.to_ascii_lowercase();
        if !is_token(&name) || names.contains(&name) || names.len() == 16 {
            return None;
        }
        let value = match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => Some(value.to_owned()).filter(|value| is_token(value))?,
        };
        if name == "for" {
            address = node(&value);
        }
        names.push(name);
    }
    Some(address)
}

/// Reads a quoted string after its first quote, up to its end.
fn unquote(quoted: &str) -> Option<String> {
    let (mut value, mut chars) = (String::new(), quoted.chars());
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(value),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

fn is_token(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(allowed)
}

/// Reads an address with or without a port, of IPv6 in brackets.
fn node(text: &str) -> Option<IpAddr> {
    let (address, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (address, port) = text.split_once(']')?;
            (IpAddr::V6(address.parse().ok()?).to_canonical(), port)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (IpAddr::V4(text[..end].parse().ok()?), &text[end..])
        }
    };
    let is_number = |port: &str| {
        port.chars().all(|c| c.is_ascii_digit())
            && port.parse::<u32>().is_ok_and(|port| port < 65536)
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_number)).then_some(address)
}
