//! [`UpdateKey`]: the body of a request that updates a key.

use std::time::SystemTime;

use serde_json::Value;
use utoipa::ToSchema;

use super::ApiError;
use super::field::{Field, Fields, Mistakes};
use super::restrictions::restrictions;
use super::rules::Rules;
use crate::key::{Ability, RateLimits, Restrictions};
use crate::manage::KeyUpdate;

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
    pub(in crate::manage) fn read(body: Value, rules: Rules<'_>) -> Result<Self, ApiError> {
        let (mut fields, mut mistakes) = (Fields::of_body(body)?, Mistakes::default());
        let name = fields.take("name").map(|field| rules.name(field)).transpose();
        let abilities = fields.take("abilities").map(|field| rules.abilities(field)).transpose();
        let expires_at = fields.take("expires_at").map(|field| rules.expiry(field)).transpose();
        let limits = fields.take("limits").map(|field| field.collect(RateLimits::new)).transpose();
        let allowed = fields.take("restrictions").map(restrictions).transpose();
        let disabled = fields.take("disabled").map(Field::flag).transpose();
        let update = Self {
            name: mistakes.or_default(name),
            abilities: mistakes.or_default(abilities),
            expires_at: mistakes.or_default(expires_at),
            limits: mistakes.or_default(limits),
            restrictions: mistakes.or_default(allowed),
            disabled: mistakes.or_default(disabled),
        };
        mistakes.or_default(fields.end());
        mistakes.finish(update)
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
