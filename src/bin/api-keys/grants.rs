//! Options of `issue` and `update`: abilities, restrictions, limits and expiry.

use std::time::{Duration, SystemTime};

use clap::Args;
use ipnet::IpNet;
use serde_json::{Map, Value};
use tower_api_key::address::parse_network;
use tower_api_key::key::{EndpointPattern, OriginPattern, RateLimits, ReferrerPattern};
use tower_api_key::{Ability, RateLimit};

use crate::exit::Failure;
use crate::id::parse_ability;
use crate::time::{later, parse_end, parse_period};

/// What a key may do, from where and how often
#[derive(Args, Clone)]
#[command(next_help_heading = "What the key may do")]
pub(crate) struct Grants {
    /// An ability, such as `imports:write`, `imports:*` or `*`; may be repeated
    #[arg(long = "ability", value_name = "ABILITY", value_delimiter = ',')]
    #[arg(value_parser = parse_ability)]
    pub(crate) abilities: Vec<Ability>,
    /// A rate limit, such as `1000 per hour` or `100 per minute, burst 20, shared by tenant`; may be
    /// repeated
    #[arg(long = "limit", value_name = "LIMIT")]
    pub(crate) limits: Vec<RateLimit>,
    /// A network or address from which the key works, such as `192.0.2.0/24`; may be repeated
    #[arg(long = "address", value_name = "NETWORK", value_delimiter = ',')]
    #[arg(value_parser = parse_network)]
    pub(crate) addresses: Vec<IpNet>,
    /// A site whose pages may use the key, such as `https://*.shop.example`; may be repeated
    #[arg(long = "origin", value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) origins: Vec<OriginPattern>,
    /// Pages that may use the key, such as `https://app.example/*`; may be repeated
    #[arg(long = "referrer", value_name = "REFERRER")]
    pub(crate) referrers: Vec<ReferrerPattern>,
    /// An endpoint on which the key works, such as `GET /v1/users/{id}` or `/v1/reports/*`; may be
    /// repeated
    #[arg(long = "endpoint", value_name = "ENDPOINT")]
    pub(crate) endpoints: Vec<EndpointPattern>,
    /// Metadata of the application, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = parse_object)]
    pub(crate) metadata: Option<Map<String, Value>>,
}

/// How long a key works, and when it should be replaced
#[derive(Args)]
#[command(next_help_heading = "How long it works")]
pub(crate) struct Dates {
    /// The period after which the key expires, such as `90d`
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    expires_in: Option<Duration>,
    /// The time at which the key expires, such as `2027-01-31`, the end of that day in UTC, or
    /// `2027-01-31T12:00:00+01:00`
    #[arg(long, value_name = "TIME", value_parser = parse_end, conflicts_with = "expires_in")]
    expires_at: Option<SystemTime>,
    /// The period after which the key should be replaced; it still works then
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    rotate_in: Option<Duration>,
}

impl Grants {
    pub(crate) fn limits(&self) -> Result<RateLimits, Failure> {
        let limits = RateLimits::new(self.limits.iter().cloned());
        limits.map_err(|error| Failure::usage(error.to_string()))
    }
}

impl Dates {
    pub(crate) const fn sets_expiry(&self) -> bool {
        self.expires_in.is_some() || self.expires_at.is_some()
    }

    pub(crate) fn expires_at(&self, now: SystemTime) -> Result<Option<SystemTime>, Failure> {
        match self.expires_in {
            Some(period) => later(now, period).map(Some),
            None => Ok(self.expires_at),
        }
    }

    pub(crate) fn rotation_due_at(&self, now: SystemTime) -> Result<Option<SystemTime>, Failure> {
        self.rotate_in.map(|period| later(now, period)).transpose()
    }
}

fn parse_object(text: &str) -> Result<Map<String, Value>, String> {
    // Not with the error of the parser, which may repeat a part of it.
    serde_json::from_str(text).map_err(|_| "not a JSON object".to_owned())
}
