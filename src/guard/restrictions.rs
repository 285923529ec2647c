//! [`check_restrictions`]: what the record of a key allows.

use std::net::IpAddr;

use http::header::{HeaderName, ORIGIN, REFERER};

use crate::head::RequestHead;
use crate::key::{KeyKind, Restrictions};
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
        if !endpoints.iter().any(|endpoint| endpoint.matches(head.method(), path)) {
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
    if !restrictions.names_sites() {
        return true;
    }
    let (Ok(origin), Ok(referrer)) = (only(head, &ORIGIN), only(head, &REFERER)) else {
        return false;
    };
    let by_origin = restrictions.origins.as_ref().is_none_or(|origins| match (origin, referrer) {
        (Some(origin), _) => origins.iter().any(|pattern| pattern.matches(origin)),
        (None, Some(referrer)) => origins.iter().any(|pattern| pattern.matches_referrer(referrer)),
        (None, None) => false,
    });
    let by_referrer = restrictions.referrers.as_ref().is_none_or(|referrers| {
        referrers.iter().any(|pattern| {
            let of_page = referrer.is_some_and(|referrer| pattern.matches(referrer));
            match origin {
                Some(origin) => {
                    pattern.origin().matches(origin) && (of_page || !pattern.has_path())
                }
                None => of_page,
            }
        })
    });
    by_origin && by_referrer
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
