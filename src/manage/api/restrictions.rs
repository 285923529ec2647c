//! [`restrictions`]: reading from where a key works, and on which endpoints.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::ApiError;
use super::field::{Field, Fields};
use crate::address::Network;
use crate::key::Restrictions;

/// Reads an object of lists. `null` is no list, which restricts nothing.
pub(super) fn restrictions(field: Field) -> Result<Restrictions, ApiError> {
    let mut fields = field.object()?;
    let read = Restrictions {
        addresses: list(&mut fields, "addresses", |text| text.parse::<Network>().map(IpNet::from))?,
        origins: list(&mut fields, "origins", str::parse)?,
        referrers: list(&mut fields, "referrers", str::parse)?,
        endpoints: list(&mut fields, "endpoints", str::parse)?,
    };
    fields.end()?;
    Ok(read)
}

fn list<T, E: fmt::Display>(
    fields: &mut Fields,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<Arc<[T]>>, ApiError> {
    let list = fields.take_value(name).map(|field| field.list(parse)).transpose()?;
    Ok(list.map(Arc::from))
}
