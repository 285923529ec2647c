//! What a layer is to decide of a request: a model in plain code, which knows what the documentation
//! says and nothing of how the layer does it.

use std::net::IpAddr;

use http::{HeaderMap, Method, Request, header};
use tower_api_key::RejectionKind;

use crate::credentials::{could_be_key, find};
use crate::decisions::*;
use crate::forwarded::{Trust, x_forwarded_for};
use crate::{Outcome, paths, policies};

/// Returns what may become of a request. There are two possibilities where the model does not say.
pub fn expected<B>(case: &Case, request: &Request<B>) -> Vec<Outcome> {
    let refused = |kind| vec![Outcome::Refused(kind)];
    let credential = match find(&case.layer.places.all(), request) {
        Err(kind) => return refused(kind),
        Ok(found) => found,
    };
    let Some(credential) = credential else { return without_key(case) };
    if !is_of_format(case.layer.format, &credential) {
        return refused(RejectionKind::Malformed);
    }
    let is_known = credential == KEY.as_bytes();
    match case.layer.store {
        Store::Fails => return refused(RejectionKind::Unavailable),
        _ if is_known => {}
        _ => return refused(RejectionKind::Unknown),
    }
    match of_key(case, request.headers()) {
        Ok(()) => vec![Outcome::Admitted("known".to_owned())],
        Err(kind) => refused(kind),
    }
}

fn is_of_format(format: Format, text: &[u8]) -> bool {
    let is_hex = |byte: &u8| b"0123456789abcdef".contains(byte);
    could_be_key(text)
        && (format == Format::Any
            || text
                .strip_prefix(b"sk_")
                .is_some_and(|rest| rest.len() == 40 && rest.iter().all(is_hex)))
}

fn without_key(case: &Case) -> Vec<Outcome> {
    let layer = &case.layer;
    let passes = match &layer.policy {
        Some(policy) if !policy.is_report_only => {
            matches!(rule(policy, &case.request), Some(Access::Public))
        }
        _ => layer.is_optional,
    };
    let asks = case.request.asks_for_method && !case.request.origins.is_empty();
    let mut outcomes = Vec::new();
    if layer.forwards_preflights && method(&case.request) == Method::OPTIONS && asks {
        outcomes.push(Outcome::Anonymous);
        // Whether two origins are a preflight, and which ones pass a policy, is left open.
        if case.request.origins.len() == 1 && layer.policy.is_none() {
            return outcomes;
        }
    }
    outcomes.push(match passes {
        true => Outcome::Anonymous,
        false => Outcome::Refused(RejectionKind::Missing),
    });
    outcomes
}

/// Judges a request with the key that the store knows.
fn of_key(case: &Case, headers: &HeaderMap) -> Result<(), RejectionKind> {
    let (key, layer, asked) = (&case.key, &case.layer, &case.request);
    if layer.format == Format::HexOfProd && key.stage != Some(Name::Prod) {
        return Err(RejectionKind::Unknown);
    }
    if key.is_revoked {
        return Err(RejectionKind::Revoked);
    }
    if key.is_disabled {
        return Err(RejectionKind::Disabled);
    }
    if key.expires.is_some_and(|seconds| seconds <= 0) {
        return Err(RejectionKind::Expired);
    }
    match &layer.policy {
        Some(policy) if !policy.is_report_only => by_policy(policy, key, asked)?,
        _ if key.is_public && !layer.accepts_public_keys => return Err(RejectionKind::NotAllowed),
        _ => {}
    }
    layer.guards.iter().take(3).try_for_each(|guard| by_guard(*guard, key, asked, headers))?;
    let allowed = comes_from_site(key, asked)
        && comes_from_address(case, headers)
        && key.endpoints.is_none_or(|endpoints| {
            subset(&ENDPOINTS, endpoints).into_iter().any(|endpoint| {
                let (own, path_of) = match endpoint.split_once(' ') {
                    Some((method, path)) => (Some(method), path),
                    None => (None, endpoint),
                };
                paths::means_method(own, &method(asked)) && paths::means_path(path_of, &path(asked))
            })
        });
    if allowed { Ok(()) } else { Err(RejectionKind::NotAllowed) }
}

fn rule(policy: &Policy, asked: &Asked) -> Option<Access> {
    let endpoints: Vec<_> =
        policy.rules.iter().map(|(number, _)| pick(&ENDPOINTS, *number)).collect();
    policies::find(&endpoints, &method(asked), &path(asked)).map(|number| policy.rules[number].1)
}

fn by_policy(policy: &Policy, key: &Key, asked: &Asked) -> Result<(), RejectionKind> {
    match rule(policy, asked) {
        None => Err(RejectionKind::NotAllowed),
        Some(Access::Public) => Ok(()),
        Some(Access::Key { kind, .. }) if kind.is_some_and(|public| public != key.is_public) => {
            Err(RejectionKind::NotAllowed)
        }
        Some(Access::Key { is_report_only: true, .. }) => Ok(()),
        Some(Access::Key { stage, .. }) if stage.is_some() && stage != key.stage => {
            Err(RejectionKind::WrongStage)
        }
        Some(Access::Key { reads, .. }) => {
            if reads {
                needs(key, "bots:read")
            } else {
                Ok(())
            }
        }
    }
}

fn needs(key: &Key, ability: &str) -> Result<(), RejectionKind> {
    let resource = format!("{}:*", ability.split(':').next().unwrap());
    let granting = subset(&ABILITIES, key.abilities);
    let granted = granting.into_iter().any(|own| own == ability || own == resource || own == "*");
    if granted { Ok(()) } else { Err(RejectionKind::MissingAbility) }
}

fn by_guard(
    guard: Guard,
    key: &Key,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<(), RejectionKind> {
    let path = path(asked);
    let segment = |second: bool| {
        let segments = paths::segments(&path)?;
        segments.get(usize::from(second)).map(|segment| (*segment).to_owned())
    };
    let is = |name: Option<Name>, expected: Option<String>| {
        name.is_some() && name.map(|name| name.as_str().to_owned()) == expected
    };
    let check = |passes: bool, kind| if passes { Ok(()) } else { Err(kind) };
    match guard {
        Guard::Stage(name) => check(key.stage == Some(name), RejectionKind::WrongStage),
        Guard::StageInPath(second) => {
            check(is(key.stage, segment(second)), RejectionKind::WrongStage)
        }
        Guard::Tenant(name) => check(key.tenant == Some(name), RejectionKind::WrongTenant),
        Guard::TenantInPath(second) => {
            check(is(key.tenant, segment(second)), RejectionKind::WrongTenant)
        }
        Guard::CanRead => needs(key, "bots:read"),
        Guard::CanReadAndSend => {
            needs(key, "bots:read")?;
            needs(key, "chat:send")
        }
        Guard::ByMethod => match method(asked).as_str() {
            "GET" | "HEAD" => needs(key, "bots:read"),
            "POST" | "PUT" | "DELETE" => needs(key, "bots:write"),
            _ => Err(RejectionKind::NotAllowed),
        },
        Guard::Public => check(key.is_public, RejectionKind::NotAllowed),
        Guard::SameOrigin => {
            check(key.is_public || is_same_origin(asked, headers), RejectionKind::NotAllowed)
        }
    }
}

fn is_same_origin(asked: &Asked, headers: &HeaderMap) -> bool {
    let sites: Vec<_> =
        asked.fetch_sites.iter().take(2).map(|number| pick(&FETCH_SITES, *number)).collect();
    match sites[..] {
        ["same-origin" | "none"] => true,
        [] => {
            let origins: Vec<_> = headers.get_all(header::ORIGIN).iter().collect();
            let hosts: Vec<_> = headers.get_all(header::HOST).iter().collect();
            let ([origin], [host]) = (&origins[..], &hosts[..]) else { return origins.is_empty() };
            let (origin, host) = (origin.to_str().unwrap(), host.to_str().unwrap());
            let origin = origin.to_ascii_lowercase();
            let Some((scheme, own)) = origin.split_once("://") else { return false };
            let port = if scheme == "https" { "443" } else { "80" };
            let whole = |authority: &str| match authority.contains(':') {
                true => authority.to_ascii_lowercase(),
                false => format!("{}:{port}", authority.to_ascii_lowercase()),
            };
            !own.contains(['/', '@']) && whole(own) == whole(host)
        }
        _ => false,
    }
}

fn comes_from_site(key: &Key, asked: &Asked) -> bool {
    if key.origins.is_none() && key.referrers.is_none() {
        // A public key works nowhere then.
        return !key.is_public;
    }
    let site = match asked.origins[..] {
        [] => None,
        [number] => match pick(&SITES, number).1 {
            Some(site) => Some(site),
            None => return false,
        },
        _ => return false,
    };
    let is_on = |list: u8, site: &str| {
        subset(&ORIGINS, list).into_iter().any(|pattern| is_site(pattern, site))
    };
    if let (Some(origins), Some(site)) = (key.origins, site)
        && !is_on(origins, site)
    {
        return false;
    }
    if site.is_some() && key.referrers.is_none() {
        return true;
    }
    let page = match asked.pages[..] {
        [] => None,
        [number] => pick(&PAGES, number).1,
        _ => return false,
    };
    if let (Some(origins), None) = (key.origins, site)
        && !page.is_some_and(|(own, _)| is_on(origins, own))
    {
        return false;
    }
    let Some(referrers) = key.referrers else { return true };
    subset(&REFERRERS, referrers).into_iter().any(|pattern| {
        let slash = pattern.match_indices('/').nth(2).unwrap().0;
        let (origin, path) = pattern.split_at(slash);
        let is_path = |own: Option<&str>| match (path, own) {
            ("/*", _) => true,
            (_, None) => false,
            (path, Some(own)) => match path.strip_suffix('*') {
                Some(start) => own.starts_with(start),
                None => own == path,
            },
        };
        let of_page = page.is_some_and(|(own, path)| is_site(origin, own) && is_path(path));
        match site {
            Some(site) => is_site(origin, site) && (of_page || path == "/*"),
            None => of_page,
        }
    })
}

fn is_site(pattern: &str, site: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == site,
        Some((scheme, rest)) => site.starts_with(scheme) && site.ends_with(rest),
    }
}

fn comes_from_address(case: &Case, headers: &HeaderMap) -> bool {
    let Some(networks) = case.key.addresses else { return true };
    let Some(peer) = case.request.peer else { return false };
    let peer: IpAddr = pick(&ADDRESSES, peer).parse().unwrap();
    let trust = match case.layer.trust {
        Trusted::Nobody => Trust::Nobody,
        Trusted::Ten => Trust::Networks(vec![([10, 0, 0, 0].into(), 8)]),
        Trusted::OneHop => Trust::Hops(1),
        Trusted::TwoHops => Trust::Hops(2),
    };
    let lines: Vec<_> =
        headers.get_all("x-forwarded-for").iter().map(|line| line.as_bytes()).collect();
    let entries = x_forwarded_for(&lines);
    let client = trust.client(peer.to_canonical(), Some(entries), case.layer.may_be_clients);
    client.is_some_and(|client| {
        subset(&NETWORKS, networks).into_iter().any(|network| match (network, client) {
            ("192.0.2.0/24", IpAddr::V4(client)) => client.octets().starts_with(&[192, 0, 2]),
            ("2001:db8::/32", IpAddr::V6(client)) => client.segments()[..2] == [0x2001, 0xdb8],
            ("0.0.0.0/0", IpAddr::V4(_)) => true,
            _ => false,
        })
    })
}
