//! [`restrictions`]: reading from where a key works, and on which endpoints.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::ApiError;
use super::field::{Field, Fields, Mistakes};
use crate::address::Network;
use crate::key::Restrictions;

/// Reads an object of lists. `null` is no list, which restricts nothing.
pub(super) fn restrictions(field: Field) -> Result<Restrictions, ApiError> {
    let (mut fields, mut mistakes) = (field.object()?, Mistakes::default());
    let network = |text: &str| text.parse::<Network>().map(IpNet::from);
    let read = Restrictions {
        addresses: mistakes.or_default(list(&mut fields, "addresses", network)),
        origins: mistakes.or_default(list(&mut fields, "origins", str::parse)),
        referrers: mistakes.or_default(list(&mut fields, "referrers", str::parse)),
        endpoints: mistakes.or_default(list(&mut fields, "endpoints", str::parse)),
    };
    mistakes.or_default(fields.end());
    mistakes.finish(read)
}

fn list<T, E: fmt::Display>(
    fields: &mut Fields,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<Arc<[T]>>, ApiError> {
    let list = fields.take_value(name).map(|field| field.list(parse)).transpose()?;
    Ok(list.map(Arc::from))
}
