//! [`check_restrictions`]: what the record of a key allows.

use std::net::IpAddr;

use http::Method;
use http::header::{HeaderName, ORIGIN, REFERER};

use crate::head::RequestHead;
use crate::key::{KeyKind, OriginPattern, Restrictions, origin_syntax};
use crate::reject::{Rejection, RejectionKind};
use crate::store::KeyRecord;

/// Compares a request with the restrictions of its key. The layer does so for every key, so
/// that no restriction depends on a guard that somebody has to mount.
pub(crate) fn check_restrictions(
    key: &KeyRecord,
    head: &RequestHead<'_>,
    client_address: impl FnOnce() -> Option<IpAddr>,
) -> Result<(), Rejection> {
    let restrictions = &key.restrictions;
    let allowed_site = match key.kind {
        KeyKind::Public => restrictions.names_sites() && comes_from_site(restrictions, head),
        KeyKind::Secret => comes_from_site(restrictions, head),
    };
    if !allowed_site {
        return refuse("The API key does not work on this site");
    }
    if let Some(networks) = &restrictions.addresses {
        let within = |address| networks.iter().any(|network| network.contains(&address));
        if !client_address().is_some_and(within) {
            return refuse("The API key does not work from this address");
        }
    }
    if let Some(endpoints) = &restrictions.endpoints {
        let path = head.original_uri().path();
        let on_list = |method: &Method| endpoints.iter().any(|one| one.matches(method, path));
        if !on_list(head.method()) || (head.may_act_as_post() && !on_list(&Method::POST)) {
            return refuse("The API key does not work on this endpoint");
        }
    }
    Ok(())
}

fn refuse(message: &'static str) -> Result<(), Rejection> {
    Err(Rejection::new(RejectionKind::NotAllowed).with_message(message))
}

/// Judges the page by `Origin`, which is whole or absent; `Referer` may be cut short by the
/// page, so it decides only where there is no `Origin`, or where a path is asked for.
fn comes_from_site(restrictions: &Restrictions, head: &RequestHead<'_>) -> bool {
    let Restrictions { origins, referrers, .. } = restrictions;
    if origins.is_none() && referrers.is_none() {
        return true;
    }
    let Ok(origin) = only(head, &ORIGIN) else { return false };
    if let (Some(origins), Some(origin)) = (origins, origin)
        && !OriginPattern::any_matches(origins, origin)
    {
        return false;
    }
    if origin.is_some() && referrers.is_none() {
        return true;
    }
    let Ok(referrer) = only(head, &REFERER) else { return false };
    if let (Some(origins), None) = (origins, origin) {
        let of_page = referrer.and_then(|referrer| origin_syntax::split(referrer).ok());
        if !of_page.is_some_and(|page| OriginPattern::any_matches(origins, page.origin)) {
            return false;
        }
    }
    referrers.as_ref().is_none_or(|referrers| {
        referrers.iter().any(|pattern| {
            let of_page = referrer.is_some_and(|referrer| pattern.matches(referrer));
            match origin {
                Some(origin) => {
                    pattern.origin().matches(origin) && (of_page || !pattern.has_path())
                }
                None => of_page,
            }
        })
    })
}

/// Returns the value of a header that comes once.
fn only<'a>(head: &RequestHead<'a>, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = head.headers().get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::key::KeyHasher;
    use crate::store::NewKey;

    fn allows(key: NewKey, lines: &[(&str, &str)]) -> bool {
        let record = key.generate(&KeyHasher::sha256()).unwrap().record;
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
