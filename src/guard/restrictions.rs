//! [`check_restrictions`]: what the record of a key allows.

use std::net::IpAddr;

use http::header::{HeaderName, ORIGIN, REFERER};
use http::{HeaderValue, Method};

use crate::head::RequestHead;
use crate::key::{EndpointPattern, KeyKind, OriginPattern, Page, Restrictions, Site};
use crate::reject::{Reason, Rejection};
use crate::store::KeyRecord;

const UNKNOWN_ADDRESS: &str = "The API key does not work from this address, which the server does not know: in axum, serve \
     with `into_make_service_with_connect_info::<SocketAddr>()`; have trusted proxies tell it. (Builds without debug \
     assertions do not say this.)";

/// Checks a request against the restrictions of its key. The layer does so for every key, so that no
/// restriction depends on a mounted guard.
pub(crate) fn check_restrictions(
    key: &KeyRecord,
    head: &RequestHead<'_>,
    client_address: impl FnOnce() -> Option<IpAddr>,
) -> Result<(), Rejection> {
    let restrictions = key.restrictions();
    let allowed_site = match key.kind {
        KeyKind::Public => restrictions.names_sites() && comes_from_site(restrictions, head),
        KeyKind::Secret => comes_from_site(restrictions, head),
    };
    if !allowed_site {
        return refuse(Reason::Site, "The API key does not work on this site");
    }
    let mut address = None;
    let is_allowed = allows_address(restrictions, || {
        address = client_address();
        address
    });
    if !is_allowed {
        let message = "The API key does not work from this address";
        return match address {
            // Developers whose server tells no addresses read this first. Users of a release learn nothing.
            None if cfg!(debug_assertions) => refuse(Reason::UnknownAddress, UNKNOWN_ADDRESS),
            None => refuse(Reason::UnknownAddress, message),
            Some(_) => refuse(Reason::Address, message),
        };
    }
    if !allows_endpoint(restrictions, head) {
        return refuse(Reason::Endpoint, "The API key does not work on this endpoint");
    }
    Ok(())
}

/// Checks the address, which is computed only for keys that restrict it.
pub(crate) fn allows_address(
    restrictions: &Restrictions,
    client_address: impl FnOnce() -> Option<IpAddr>,
) -> bool {
    let Some(networks) = &restrictions.addresses else { return true };
    let within = |address| networks.iter().any(|network| network.contains(&address));
    client_address().is_some_and(within)
}

/// Checks the method and the path.
#[inline]
pub(crate) fn allows_endpoint(restrictions: &Restrictions, head: &RequestHead<'_>) -> bool {
    restrictions.endpoints.as_ref().is_none_or(|endpoints| is_on(endpoints, head))
}

fn is_on(endpoints: &[EndpointPattern], head: &RequestHead<'_>) -> bool {
    let path = head.normal_path();
    let on_list = |method: &Method| {
        let path = path.as_ref();
        path.is_some_and(|path| EndpointPattern::any_matches(endpoints, method, path))
    };
    on_list(head.judged_method()) && (!head.may_act_as_post() || on_list(&Method::POST))
}

fn refuse(reason: Reason, message: &'static str) -> Result<(), Rejection> {
    Err(Rejection::not_allowed(reason).with_message(message))
}

/// Checks the page by `Origin`, which is whole or absent. A page can shorten `Referer`, so it decides
/// only if there is no `Origin`, or if a path is required.
#[inline]
fn comes_from_site(restrictions: &Restrictions, head: &RequestHead<'_>) -> bool {
    !restrictions.names_sites() || comes_from_named_site(restrictions, head)
}

fn comes_from_named_site(restrictions: &Restrictions, head: &RequestHead<'_>) -> bool {
    let Restrictions { origins, referrers, .. } = restrictions;
    let Ok(site) = site(head) else { return false };
    let is_on = |list: &[OriginPattern], site| list.iter().any(|own| own.matches_site(site));
    if let (Some(origins), Some(site)) = (origins, &site)
        && !is_on(origins, site)
    {
        return false;
    }
    if site.is_some() && referrers.is_none() {
        return true;
    }
    let Ok(page) = page(head) else { return false };
    if let (Some(origins), None) = (origins, &site)
        && !page.as_ref().is_some_and(|page| is_on(origins, page.site()))
    {
        return false;
    }
    referrers.as_ref().is_none_or(|referrers| {
        referrers.iter().any(|pattern| {
            let of_page = page.as_ref().is_some_and(|page| pattern.matches_page(page));
            match &site {
                Some(site) => {
                    pattern.origin().matches_site(site) && (of_page || !pattern.has_path())
                }
                None => of_page,
            }
        })
    })
}

/// The header occurs more than once, or is not valid.
struct Unreadable;

/// Returns what `Origin` names.
fn site<'a>(head: &RequestHead<'a>) -> Result<Option<Site<'a>>, Unreadable> {
    let Some(origin) = only(head, &ORIGIN)? else { return Ok(None) };
    let short = Some(origin).filter(|origin| origin.len() <= Site::MAX_LENGTH);
    let site = short.and_then(|origin| origin.to_str().ok()).and_then(Site::parse);
    site.map(Some).ok_or(Unreadable)
}

/// Returns the page that `Referer` names, or none if it is too long.
fn page<'a>(head: &RequestHead<'a>) -> Result<Option<Page<'a>>, Unreadable> {
    match only(head, &REFERER)?.filter(|referrer| referrer.len() <= Page::MAX_LENGTH) {
        Some(referrer) => Ok(Page::parse(referrer.to_str().map_err(|_| Unreadable)?)),
        None => Ok(None),
    }
}

/// Returns the value of a header that occurs once.
fn only<'a>(
    head: &RequestHead<'a>,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Unreadable> {
    let mut values = head.headers().get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::key::KeyScheme;
    use crate::store::NewKey;

    fn allows(key: NewKey, lines: &[(&str, &str)]) -> bool {
        let record = key.generate(&KeyScheme::default()).unwrap().record;
        let request = lines
            .iter()
            .fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).unwrap();
        check_restrictions(&record, &RequestHead::new(&request), || None).is_ok()
    }

    #[test]
    fn the_origin_decides_and_the_referrer_where_there_is_none() {
        let key = || NewKey::named("x").origins(["https://a.example", "https://b.example"]);
        for (lines, allowed) in [
            (&[("origin", "https://a.example")][..], true),
            (&[("origin", "https://b.example"), ("referer", "https://c.example/")], true),
            (&[("origin", "https://c.example"), ("referer", "https://a.example/")], false),
            (&[("referer", "https://b.example/x?y")], true),
            (&[("referer", "https://c.example/")], false),
            (&[("referer", "https://a.example/"), ("referer", "https://a.example/")], false),
            (&[("origin", "null"), ("referer", "https://a.example/")], false),
            (&[("origin", "https://a.example"), ("origin", "https://a.example")], false),
            (&[], false),
        ] {
            assert_eq!(allows(key(), lines), allowed, "{lines:?}");
        }
    }

    #[test]
    fn a_path_is_compared_with_the_referrer_and_its_site_with_the_origin_too() {
        let key =
            || NewKey::named("x").referrers(["https://a.example/shop/*", "https://b.example"]);
        for (lines, allowed) in [
            (&[("referer", "https://a.example/shop/1")][..], true),
            (&[("referer", "https://a.example/")], false),
            (&[("referer", "https://b.example/any")], true),
            (&[("origin", "https://b.example")], true),
            (&[("origin", "https://a.example")], false),
            (&[("origin", "https://a.example"), ("referer", "https://a.example/shop/1")], true),
            (&[("origin", "https://c.example"), ("referer", "https://a.example/shop/1")], false),
            (&[("origin", "null"), ("referer", "https://b.example/")], false),
            (&[], false),
        ] {
            assert_eq!(allows(key(), lines), allowed, "{lines:?}");
        }
    }

    #[test]
    fn a_referrer_that_is_too_long_is_none() {
        let key =
            || NewKey::named("x").referrers(["https://a.example/shop/*", "https://b.example"]);
        let page = |length: usize| format!("https://a.example/shop/{}", "x".repeat(length - 23));
        let (longest, longer) = (page(4096), page(4097));
        assert_eq!(longest.len(), 4096);
        assert!(allows(key(), &[("referer", &longest)]));
        assert!(!allows(key(), &[("referer", &longer)]));
        // As without one, the origin decides where it is enough.
        let b = ("origin", "https://b.example");
        assert!(allows(key(), &[b, ("referer", &longer)]));
        assert!(!allows(key(), &[("origin", "https://a.example"), ("referer", &longer)]));
        let site = || NewKey::named("x").origins(["https://a.example"]);
        assert!(allows(site(), &[("referer", &longest)]));
        assert!(!allows(site(), &[("referer", &longer)]));
    }

    #[test]
    fn a_request_is_on_every_list_that_there_is() {
        let key = || {
            let key = NewKey::named("x").origins(["https://a.example", "https://b.example"]);
            key.referrers(["https://b.example", "https://c.example"])
        };
        for (site, allowed) in [("a", false), ("b", true), ("c", false)] {
            let (origin, page) =
                (format!("https://{site}.example"), format!("https://{site}.example/"));
            assert_eq!(allows(key(), &[("origin", &origin)]), allowed);
            assert_eq!(allows(key(), &[("referer", &page)]), allowed);
        }
        assert!(!allows(key().endpoints(["/other"]), &[("origin", "https://b.example")]));
        assert!(allows(key().endpoints(["/other", "GET /"]), &[("origin", "https://b.example")]));
        assert!(!allows(key().addresses(["0.0.0.0/0"]), &[("origin", "https://b.example")]));
    }

    #[test]
    fn an_empty_list_allows_nothing_and_a_public_key_needs_a_site() {
        let site = [("origin", "https://a.example")];
        assert!(allows(NewKey::named("x"), &site));
        assert!(!allows(NewKey::named("x").origins::<&str>([]), &site));
        assert!(!allows(NewKey::named("x").referrers::<&str>([]), &site));
        assert!(!allows(NewKey::named("x").endpoints::<&str>([]), &site));
        assert!(!allows(NewKey::named("x").addresses::<&str>([]), &site));
        let public = || NewKey::named("x").kind(KeyKind::Public);
        assert!(!allows(public(), &site));
        assert!(allows(public().origins(["https://a.example"]), &site));
        assert!(allows(public().referrers(["https://a.example"]), &site));
    }
}
