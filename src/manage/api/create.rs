//! [`CreateKey`]: the body of a request that issues a key.

use std::time::SystemTime;

use serde_json::Value;
use utoipa::ToSchema;

use super::ApiError;
use super::field::Fields;
use super::restrictions::restrictions;
use crate::key::{Ability, RateLimits, Restrictions, Stage};
use crate::rfc3339::parse_time;
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
    pub(in crate::manage) fn read(body: Value) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let key = Self {
            name: fields.require("name")?.text()?,
            prefix: fields.take_value("prefix").map(|field| field.text()).transpose()?,
            stage: fields.take_value("stage").map(|field| field.parse(str::parse)).transpose()?,
            abilities: fields
                .take("abilities")
                .map(|field| field.list_of())
                .transpose()?
                .unwrap_or_default(),
            expires_at: fields
                .take_value("expires_at")
                .map(|field| field.parse(parse_time))
                .transpose()?,
            limits: fields
                .take("limits")
                .map(|field| field.collect(RateLimits::new))
                .transpose()?
                .unwrap_or_default(),
            restrictions: fields
                .take("restrictions")
                .map(restrictions)
                .transpose()?
                .unwrap_or_default(),
        };
        fields.end()?;
        Ok(key)
    }

    /// Returns the abilities in the order of the body.
    pub(super) fn abilities(&self) -> Vec<Ability> {
        self.abilities.clone()
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
