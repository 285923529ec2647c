//! [`CreateKey`]: the body of a request that issues a key.

use std::time::SystemTime;

use serde_json::Value;
use utoipa::ToSchema;

use super::ApiError;
use super::field::{Field, Fields, Mistakes};
use super::restrictions::restrictions;
use super::rules::Rules;
use crate::key::{Ability, RateLimits, Restrictions, Stage};
use crate::store::NewKey;

/// A new key.
#[derive(ToSchema)]
#[schema(as = NewApiKey)]
#[serde(deny_unknown_fields)]
pub(in crate::manage) struct CreateKey {
    /// What the key is for.
    #[schema(min_length = 3, max_length = 100, example = "Production Key")]
    name: String,
    /// The prefix of the key. Required if several formats have the stage.
    #[schema(example = "sk_live_")]
    prefix: Option<String>,
    /// The only stage in which the key works.
    #[schema(example = "live")]
    stage: Option<Stage>,
    /// The abilities: what the key may do.
    #[schema(required = false, max_items = 100)]
    abilities: Vec<Ability>,
    /// The time from which the key is refused; `null` is never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<SystemTime>,
    /// The rate limits: how often the key may be used.
    #[schema(value_type = Vec<String>, required = false, max_items = 8)]
    limits: RateLimits,
    /// The restrictions: from where the key works, and on which endpoints.
    #[schema(required = false)]
    restrictions: Restrictions,
}

impl CreateKey {
    pub(in crate::manage) fn read(body: Value, rules: Rules<'_>) -> Result<Self, ApiError> {
        let (mut fields, mut mistakes) = (Fields::of_body(body)?, Mistakes::default());
        let name = fields.require("name").and_then(|field| rules.name(field));
        let prefix = fields.take_value("prefix").map(Field::text).transpose();
        let stage = fields.take_value("stage").map(|field| field.parse(str::parse)).transpose();
        let abilities = fields.take("abilities").map(|field| rules.abilities(field)).transpose();
        let expires_at = fields.take("expires_at").map(|field| rules.expiry(field)).transpose();
        let limits = fields.take("limits").map(|field| field.collect(RateLimits::new)).transpose();
        let allowed = fields.take("restrictions").map(restrictions).transpose();
        let key = Self {
            name: mistakes.or_default(name),
            prefix: mistakes.or_default(prefix),
            stage: mistakes.or_default(stage),
            abilities: mistakes.or_default(abilities).unwrap_or_default(),
            expires_at: mistakes.or_default(expires_at).flatten(),
            limits: mistakes.or_default(limits).unwrap_or_default(),
            restrictions: mistakes.or_default(allowed).unwrap_or_default(),
        };
        mistakes.or_default(fields.end());
        mistakes.finish(key)
    }
}

impl From<CreateKey> for NewKey {
    fn from(read: CreateKey) -> Self {
        let mut key = Self::named(read.name)
            .abilities(read.abilities)
            .limits(read.limits)
            .restrictions(read.restrictions);
        if let Some(prefix) = read.prefix {
            key = key.prefix(prefix);
        }
        if let Some(stage) = read.stage {
            key = key.stage(stage);
        }
        if let Some(time) = read.expires_at {
            key = key.expires_at(time);
        }
        key
    }
}
