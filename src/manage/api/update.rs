//! [`UpdateKey`]: the body of a request that updates a key.

use std::time::SystemTime;

use serde_json::Value;
use utoipa::ToSchema;

use super::ApiError;
use super::field::{Field, Fields};
use super::restrictions::restrictions;
use crate::key::{Ability, RateLimits, Restrictions};
use crate::manage::KeyUpdate;
use crate::rfc3339::parse_time;

/// The changes of a key. Fields that are left out stay as they are.
#[derive(ToSchema)]
#[schema(as = ApiKeyUpdate)]
#[serde(deny_unknown_fields)]
pub(in crate::manage) struct UpdateKey {
    /// What the key is for.
    #[schema(min_length = 3, max_length = 100, nullable = false)]
    name: Option<String>,
    /// The abilities: what the key may do.
    #[schema(nullable = false, max_items = 100)]
    abilities: Option<Vec<Ability>>,
    /// The time from which the key is refused; `null` is never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<SystemTime>>,
    /// The rate limits: how often the key may be used.
    #[schema(value_type = Option<Vec<String>>, nullable = false, max_items = 8)]
    limits: Option<RateLimits>,
    /// The restrictions: from where the key works, and on which endpoints. They replace all restrictions before.
    #[schema(nullable = false)]
    restrictions: Option<Restrictions>,
    /// Whether the key is disabled. It can be enabled again.
    #[schema(nullable = false)]
    disabled: Option<bool>,
}

impl UpdateKey {
    pub(in crate::manage) fn read(body: Value) -> Result<Self, ApiError> {
        let expiry = |field: Field| match field.is_null() {
            true => Ok(None),
            false => field.parse(parse_time).map(Some),
        };
        let mut fields = Fields::of_body(body)?;
        let update = Self {
            name: fields.take("name").map(Field::text).transpose()?,
            abilities: fields.take("abilities").map(Field::list_of).transpose()?,
            expires_at: fields.take("expires_at").map(expiry).transpose()?,
            limits: fields
                .take("limits")
                .map(|field| field.collect(RateLimits::new))
                .transpose()?,
            restrictions: fields.take("restrictions").map(restrictions).transpose()?,
            disabled: fields.take("disabled").map(Field::flag).transpose()?,
        };
        fields.end()?;
        Ok(update)
    }

    /// Returns the abilities in the order of the body.
    pub(super) fn abilities(&self) -> Vec<Ability> {
        self.abilities.clone().unwrap_or_default()
    }
}

impl From<UpdateKey> for KeyUpdate {
    fn from(read: UpdateKey) -> Self {
        let mut update = Self::new();
        if let Some(name) = read.name {
            update = update.name(name);
        }
        if let Some(abilities) = read.abilities {
            update = update.abilities(abilities);
        }
        if let Some(expires_at) = read.expires_at {
            update = update.expires_at(expires_at);
        }
        if let Some(limits) = read.limits {
            update = update.limits(limits);
        }
        if let Some(restrictions) = read.restrictions {
            update = update.restrictions(restrictions);
        }
        if let Some(disabled) = read.disabled {
            update = update.disabled(disabled);
        }
        update
    }
}
