//! [`CacheFields`]: the cache headers of a layer's responses.

use std::mem;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use http::header::{AUTHORIZATION, CACHE_CONTROL, Entry, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::vary;
use crate::extract::{Carrier, CredentialPlace};
use crate::limit::prepare_usage;

/// The cache headers of a layer, prepared when its extractor is set.
#[derive(Clone)]
pub(crate) struct CacheFields {
    /// The headers in which the extractor looks for a key.
    names: Arc<[HeaderName]>,
    with_key: ResponseFields,
    without_key: ResponseFields,
}

/// The cache headers of a response.
#[derive(Clone)]
pub(crate) enum ResponseFields {
    /// The headers of most layers. Their values are static, so that clones count no references for
    /// which threads would wait.
    Static(&'static Prepared),
    Shared(Arc<Prepared>),
}

/// Headers that are cloned for each response.
pub(crate) struct Prepared {
    fields: HeaderMap,
    /// The same, and those of a key's limits.
    with_usage: HeaderMap,
}

impl CacheFields {
    pub(crate) fn new(places: &[CredentialPlace]) -> Self {
        const NAMES: [HeaderName; 2] = [HeaderName::from_static("x-api-key"), AUTHORIZATION];
        const LIST: HeaderValue = HeaderValue::from_static("x-api-key, authorization");
        static WITH_KEY: LazyLock<Prepared> = LazyLock::new(|| with_key(Some(LIST)).into());
        static WITHOUT_KEY: LazyLock<Prepared> = LazyLock::new(|| without_key(Some(LIST)).into());

        let names: Arc<[_]> = places.iter().filter_map(CredentialPlace::header).cloned().collect();
        let (with_key, without_key) = if *names == NAMES {
            (ResponseFields::Static(&WITH_KEY), ResponseFields::Static(&WITHOUT_KEY))
        } else {
            let list = vary::list(&names);
            (with_key(list.clone()).into(), without_key(list).into())
        };
        Self { names, with_key, without_key }
    }

    /// Returns the headers in which a key may be, as a `Vary`.
    pub(crate) fn vary(&self) -> Option<&HeaderValue> {
        self.without_key.get(VARY)
    }

    /// Returns the headers of a response to a key.
    #[inline]
    pub(crate) fn with_key(&self, carrier: &Carrier) -> ResponseFields {
        match (carrier, &self.with_key) {
            // Static headers name all static headers.
            (Carrier::Header(_), fields @ ResponseFields::Static(_)) => fields.clone(),
            _ => self.with_key_in(carrier.header()),
        }
    }

    fn with_key_in(&self, header: Option<&HeaderName>) -> ResponseFields {
        match header {
            // The extractor did not list this header among its places.
            Some(name) if !self.names.contains(name) => {
                let names = [&*self.names, std::slice::from_ref(name)].concat();
                with_key(vary::list(&names)).into()
            }
            _ => self.with_key.clone(),
        }
    }

    /// Returns the headers of a response to a request without a key.
    pub(crate) fn without_key(&self) -> ResponseFields {
        self.without_key.clone()
    }
}

fn with_key(vary: Option<HeaderValue>) -> HeaderMap {
    let mut fields = without_key(vary);
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    fields
}

fn without_key(vary: Option<HeaderValue>) -> HeaderMap {
    vary.into_iter().map(|vary| (VARY, vary)).collect()
}

impl ResponseFields {
    /// Returns them and the headers of a key's limits, whose values are to be set.
    pub(crate) fn with_usage(&self) -> HeaderMap {
        self.prepared().with_usage.clone()
    }

    fn prepared(&self) -> &Prepared {
        match self {
            Self::Static(prepared) => prepared,
            Self::Shared(prepared) => prepared,
        }
    }

    /// Adds them to the handler's headers.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        // Cloning is faster than inserting, unless capacity was reserved.
        if headers.capacity() == 0 {
            let empty = mem::replace(headers, HeaderMap::clone(self));
            // A map without capacity owns nothing. Dropping it would look for that in each of its parts, which is
            // more than one percent of the instructions of a request.
            mem::forget(empty);
            return;
        }
        for (name, value) in &**self {
            match headers.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(value.clone());
                }
                Entry::Occupied(entry) if *name == VARY => vary::add_to(entry, value),
                Entry::Occupied(_) => {}
            }
        }
    }
}

impl Deref for ResponseFields {
    type Target = HeaderMap;

    fn deref(&self) -> &HeaderMap {
        &self.prepared().fields
    }
}

impl From<HeaderMap> for ResponseFields {
    fn from(fields: HeaderMap) -> Self {
        Self::Shared(Arc::new(fields.into()))
    }
}

impl From<HeaderMap> for Prepared {
    fn from(fields: HeaderMap) -> Self {
        let mut with_usage = fields.clone();
        prepare_usage(&mut with_usage);
        Self { fields, with_usage }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::extract::{
        Basic, Bearer, Cookie, Credential, Extract, FirstOf, Header, Query, Subprotocol,
    };
    use crate::head::RequestHead;

    fn usual() -> CacheFields {
        CacheFields::new(&FirstOf::default().places())
    }

    fn found(extractor: &dyn Extract, header: &str, value: &str) -> Carrier {
        let request = Request::get("/").header(header, value).body(()).unwrap();
        extractor.extract(&RequestHead::new(&request)).unwrap().unwrap().carrier
    }

    #[test]
    fn a_vary_names_where_keys_may_be_and_where_this_one_was() {
        let none = CacheFields::new(&[]);
        let usual = usual();
        let acme = CacheFields::new(&FirstOf::new(Header::new("x-acme-key"), Bearer).places());
        let query = CacheFields::new(&Query::new("k").places());
        let sockets = FirstOf::new(Subprotocol::default(), Cookie::new("k"));
        let sockets = CacheFields::new(&sockets.places());

        let api_key = found(&Header::x_api_key(), "x-api-key", "K");
        let bearer = found(&Bearer, "authorization", "Bearer K");
        let basic = found(&Basic, "authorization", "Basic Szo=");
        let ticket = Credential::in_header(HeaderName::from_static("ticket"), &b"K"[..]).carrier;
        let parameter = Credential::in_query("k", &b"K"[..]).carrier;
        let subprotocol = found(&Subprotocol::default(), "sec-websocket-protocol", "a, key.K");
        let cookie = found(&Cookie::new("k"), "cookie", "a=b; k=K");
        for (fields, carrier, vary) in [
            (&usual, &api_key, Some("x-api-key, authorization")),
            (&usual, &bearer, Some("x-api-key, authorization")),
            (&usual, &basic, Some("x-api-key, authorization")),
            (&usual, &ticket, Some("x-api-key, authorization, ticket")),
            (&usual, &parameter, Some("x-api-key, authorization")),
            (&usual, &Carrier::Elsewhere, Some("x-api-key, authorization")),
            (&acme, &bearer, Some("x-acme-key, authorization")),
            (&acme, &api_key, Some("x-acme-key, authorization, x-api-key")),
            (&none, &bearer, Some("authorization")),
            (&none, &ticket, Some("ticket")),
            (&none, &Carrier::Elsewhere, None),
            (&query, &parameter, None),
            (&sockets, &subprotocol, Some("sec-websocket-protocol, cookie")),
            (&sockets, &cookie, Some("sec-websocket-protocol, cookie")),
            (&usual, &cookie, Some("x-api-key, authorization, cookie")),
        ] {
            let fields = fields.with_key(carrier);
            assert_eq!(fields.get(VARY).map(HeaderValue::as_bytes), vary.map(str::as_bytes));
            assert_eq!(fields[CACHE_CONTROL], "private", "{carrier:?}");
        }
        assert_eq!(acme.vary().unwrap(), "x-acme-key, authorization");
        assert_eq!(none.vary(), None);
    }

    /// Returns the lines of a response for which a handler wrote those of `own`.
    fn written(fields: &ResponseFields, own: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in own {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        fields.write(&mut headers);
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_a_handler_says_to_caches_stays() {
        const KEYS: &str = "vary: x-api-key, authorization";
        const PRIVATE: &str = "cache-control: private";
        for (own, private, vary) in [
            (&[][..], &[PRIVATE][..], KEYS),
            (&["cache-control: no-store"], &[], KEYS),
            (&["cache-control: max-age=60", "cache-control: public"], &[], KEYS),
            // They are for some caches only.
            (&["cdn-cache-control: max-age=60"], &[PRIVATE], KEYS),
            (&["expires: Thu, 01 Jan 2099 00:00:00 GMT"], &[PRIVATE], KEYS),
            (
                &["vary: accept", "vary: Authorization"],
                &[PRIVATE],
                "vary: accept, Authorization, x-api-key",
            ),
        ] {
            let others = own.iter().filter(|line| !line.starts_with("vary"));
            let mut without_key: Vec<_> = others.copied().chain([vary]).collect();
            let mut with_key = [&without_key, private].concat();
            without_key.sort_unstable();
            with_key.sort_unstable();
            assert_eq!(written(&usual().with_key(&Carrier::Elsewhere), own), with_key);
            assert_eq!(written(&usual().without_key(), own), without_key);
        }
    }
}
