//! [`Restrictions`]: where a key may be used from, and on which endpoints.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::{EndpointPattern, InvalidFields, OriginPattern, ReferrerPattern};
use crate::address::Network;

/// The restrictions of a key: addresses, sites, pages and endpoints. The default has none.
///
/// A list allows only what is on it, and an empty list allows nothing. A request has to match every
/// list that is set.
///
/// Origins and referrers are what browsers report about the calling page. They keep other sites from
/// using a key, but not scripts, which can send any value.
///
/// # Examples
///
/// ```
/// use tower_api_key::NewKey;
///
/// let office = NewKey::named("the office").addresses(["192.0.2.0/24", "2001:db8::/32"]);
/// let widget = NewKey::named("the shop's widget").origins(["https://*.shop.example"]);
/// let reports = NewKey::named("reports").endpoints(["GET /v1/reports/*", "GET /v1/users/{id}"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Restrictions {
    /// The networks from which clients may use the key.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "as_text", deserialize_with = "networks")
    )]
    pub addresses: Option<Arc<[IpNet]>>,
    /// The sites whose pages may use the key, by `Origin` or, without that header, by `Referer`.
    pub origins: Option<Arc<[OriginPattern]>>,
    /// The pages that may use the key, by `Referer`.
    pub referrers: Option<Arc<[ReferrerPattern]>>,
    /// The methods and paths on which the key works.
    ///
    /// A `GET` with a body, or with a content type of gRPC, has to be allowed as a `POST`, too, because
    /// some servers look at the body and not at the method.
    pub endpoints: Option<Arc<[EndpointPattern]>>,
}

impl Restrictions {
    /// None at all.
    pub(crate) const NONE: Self =
        Self { addresses: None, origins: None, referrers: None, endpoints: None };

    /// Adds networks, or keeps what is wrong with them.
    pub(crate) fn add_addresses<N>(
        &mut self,
        networks: impl IntoIterator<Item = N>,
        invalid: &mut InvalidFields,
    ) where
        N: TryInto<Network, Error: fmt::Display>,
    {
        let networks = invalid.convert_all("addresses", networks);
        extend(&mut self.addresses, networks.into_iter().map(IpNet::from));
    }

    /// Adds sites, or keeps what is wrong with them.
    pub(crate) fn add_origins<O>(
        &mut self,
        origins: impl IntoIterator<Item = O>,
        invalid: &mut InvalidFields,
    ) where
        O: TryInto<OriginPattern, Error: fmt::Display>,
    {
        let origins = invalid.convert_all("origins", origins);
        extend(&mut self.origins, origins);
    }

    /// Adds pages, or keeps what is wrong with them.
    pub(crate) fn add_referrers<R>(
        &mut self,
        referrers: impl IntoIterator<Item = R>,
        invalid: &mut InvalidFields,
    ) where
        R: TryInto<ReferrerPattern, Error: fmt::Display>,
    {
        let referrers = invalid.convert_all("referrers", referrers);
        extend(&mut self.referrers, referrers);
    }

    /// Adds endpoints, or keeps what is wrong with them.
    pub(crate) fn add_endpoints<E>(
        &mut self,
        endpoints: impl IntoIterator<Item = E>,
        invalid: &mut InvalidFields,
    ) where
        E: TryInto<EndpointPattern, Error: fmt::Display>,
    {
        let endpoints = invalid.convert_all("endpoints", endpoints);
        extend(&mut self.endpoints, endpoints);
    }

    /// Tells whether only some sites may use the key.
    pub(crate) fn names_sites(&self) -> bool {
        self.origins.is_some() || self.referrers.is_some()
    }
}

/// Adds to a list; the first addition makes it one, also if there is nothing to add.
fn extend<T: Clone>(list: &mut Option<Arc<[T]>>, more: impl IntoIterator<Item = T>) {
    *list = Some(list.iter().flat_map(|list| list.iter().cloned()).chain(more).collect());
}

impl super::HeapSize for Restrictions {
    fn heap_size(&self) -> usize {
        let Self { addresses, origins, referrers, endpoints } = self;
        addresses.heap_size() + origins.heap_size() + referrers.heap_size() + endpoints.heap_size()
    }
}

/// Reads networks as text, so that each can match an address.
#[cfg(feature = "serde")]
fn networks<'de, D>(deserializer: D) -> Result<Option<Arc<[IpNet]>>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    use serde::Deserialize as _;
    use serde::de::Error as _;

    let networks = Option::<Vec<String>>::deserialize(deserializer)?;
    let parse = |text: &String| {
        let network: Network = text.parse().map_err(D::Error::custom)?;
        Ok(network.into())
    };
    networks.map(|networks| networks.iter().map(parse).collect()).transpose()
}

/// Writes networks in the one form that is read.
#[cfg(feature = "serde")]
fn as_text<S>(networks: &Option<Arc<[IpNet]>>, serializer: S) -> Result<S::Ok, S::Error>
where
    S: serde::Serializer,
{
    use serde::Serialize as _;

    let text =
        |networks: &Arc<[IpNet]>| -> Vec<_> { networks.iter().map(ToString::to_string).collect() };
    networks.as_ref().map(text).serialize(serializer)
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn networks_are_read_as_they_are_parsed() {
        let read = |value| serde_json::from_value::<Restrictions>(json!({ "addresses": value }));
        let mapped = read(json!(["::ffff:10.0.0.0/104"])).unwrap();
        assert_eq!(mapped.addresses.unwrap()[0].to_string(), "10.0.0.0/8");
        assert_eq!(read(json!(null)).unwrap(), Restrictions::default());
        assert_eq!(read(json!([])).unwrap().addresses.unwrap().len(), 0);
        let unknown = json!({ "adresses": ["10.0.0.0/8"] });
        assert!(serde_json::from_value::<Restrictions>(unknown).is_err());
        for wrong in [json!(["10.0.0.1/8"]), json!(["010.0.0.0/8"]), json!("10.0.0.0/8")] {
            assert!(read(wrong).is_err());
        }
    }
}
