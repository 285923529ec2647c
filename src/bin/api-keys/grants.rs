//! Options of `issue` and `update`: abilities, restrictions, limits and expiry.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Map, Value};
use tower_api_key::address::Network;
use tower_api_key::key::{EndpointPattern, OriginPattern, RateLimits, ReferrerPattern};
use tower_api_key::{Ability, ManageError, RateLimit};

use crate::checks::Checks;
use crate::exit::Exit;
use crate::id::parse_ability;
use crate::mistakes::{Given, Mistakes, given, place};
use crate::time::{later, parse_end, parse_period};

/// What a key may do, from where and how often
#[derive(Args, Clone)]
#[command(next_help_heading = "What the key may do")]
pub(crate) struct Grants {
    /// An ability, such as `imports:write`, `imports:*` or `*`; may be repeated
    #[arg(long = "ability", value_name = "ABILITY", value_delimiter = ',')]
    #[arg(value_parser = given(parse_ability))]
    abilities: Vec<Given<Ability>>,
    /// A rate limit, such as `1000 per hour` or `100 per minute, burst 20, shared by tenant`; may be
    /// repeated
    #[arg(long = "limit", value_name = "LIMIT")]
    #[arg(value_parser = given(str::parse::<RateLimit>))]
    limits: Vec<Given<RateLimit>>,
    /// A network or address from which the key works, such as `192.0.2.0/24`; may be repeated
    #[arg(long = "address", value_name = "NETWORK", value_delimiter = ',')]
    #[arg(value_parser = given(str::parse::<Network>))]
    addresses: Vec<Given<Network>>,
    /// A site whose pages may use the key, such as `https://*.shop.example`; may be repeated
    #[arg(long = "origin", value_name = "ORIGIN", value_delimiter = ',')]
    #[arg(value_parser = given(str::parse::<OriginPattern>))]
    origins: Vec<Given<OriginPattern>>,
    /// Pages that may use the key, such as `https://app.example/*`; may be repeated
    #[arg(long = "referrer", value_name = "REFERRER")]
    #[arg(value_parser = given(str::parse::<ReferrerPattern>))]
    referrers: Vec<Given<ReferrerPattern>>,
    /// An endpoint on which the key works, such as `GET /v1/users/{id}` or `/v1/reports/*`; may be
    /// repeated
    #[arg(long = "endpoint", value_name = "ENDPOINT")]
    #[arg(value_parser = given(str::parse::<EndpointPattern>))]
    endpoints: Vec<Given<EndpointPattern>>,
    /// Metadata of the application, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = given(parse_object))]
    metadata: Option<Given<Map<String, Value>>>,
}

/// How long a key works, and when it should be replaced
#[derive(Args, Clone)]
#[command(next_help_heading = "How long it works")]
pub(crate) struct Dates {
    /// The period after which the key expires, such as `90d`
    #[arg(long, value_name = "PERIOD", value_parser = given(parse_period))]
    expires_in: Option<Given<Duration>>,
    /// The time at which the key expires, such as `2027-01-31`, the end of that day in UTC, or
    /// `2027-01-31T12:00:00+01:00`
    #[arg(long, value_name = "TIME", value_parser = given(parse_end), conflicts_with = "expires_in")]
    expires_at: Option<Given<SystemTime>>,
    /// The period after which the key should be replaced; it still works then
    #[arg(long, value_name = "PERIOD", value_parser = given(parse_period))]
    rotate_in: Option<Given<Duration>>,
}

/// The valid values of [`Grants`].
pub(crate) struct Granted {
    pub(crate) abilities: Vec<Ability>,
    pub(crate) limits: RateLimits,
    pub(crate) addresses: Vec<Network>,
    pub(crate) origins: Vec<OriginPattern>,
    pub(crate) referrers: Vec<ReferrerPattern>,
    pub(crate) endpoints: Vec<EndpointPattern>,
    pub(crate) metadata: Option<Map<String, Value>>,
}

impl Grants {
    /// Returns the valid values, without abilities that are not in the catalogue.
    pub(crate) fn check(&self, checks: &Checks<'_>, mistakes: &mut Mistakes) -> Granted {
        let given = self.clone();
        let abilities = mistakes.take_all("--ability", given.abilities);
        for unknown in abilities.iter().filter(|ability| !checks.knows(ability)) {
            let says = "unknown ability: correct its spelling, or add it to API_KEYS_ABILITIES";
            mistakes.add(place("--ability", unknown.as_str()), says, Exit::Refused);
        }
        let limits = RateLimits::new(mistakes.take_all("--limit", given.limits));
        let limits = limits.map_err(|error| mistakes.add("--limit", error, Exit::Usage));
        Granted {
            abilities,
            limits: limits.unwrap_or_default(),
            addresses: mistakes.take_all("--address", given.addresses),
            origins: mistakes.take_all("--origin", given.origins),
            referrers: mistakes.take_all("--referrer", given.referrers),
            endpoints: mistakes.take_all("--endpoint", given.endpoints),
            metadata: mistakes.take("--metadata", given.metadata),
        }
    }
}

impl Dates {
    pub(crate) const fn sets_expiry(&self) -> bool {
        self.expires_in.is_some() || self.expires_at.is_some()
    }

    pub(crate) fn expires_at(
        &self,
        now: SystemTime,
        mistakes: &mut Mistakes,
    ) -> Option<SystemTime> {
        let (option, time) = match &self.expires_in {
            Some(period) => ("--expires-in", end_of("--expires-in", period, now, mistakes)),
            None => ("--expires-at", mistakes.take("--expires-at", self.expires_at.clone())),
        };
        if time.is_some_and(|time| time <= now) {
            mistakes.refuse(option, &ManageError::Expiry);
        }
        time
    }

    pub(crate) fn rotation_due_at(
        &self,
        now: SystemTime,
        mistakes: &mut Mistakes,
    ) -> Option<SystemTime> {
        end_of("--rotate-in", self.rotate_in.as_ref()?, now, mistakes)
    }
}

fn end_of(
    option: &'static str,
    period: &Given<Duration>,
    now: SystemTime,
    mistakes: &mut Mistakes,
) -> Option<SystemTime> {
    let period = mistakes.take(option, Some(period.clone()))?;
    later(now, period).map_err(|failure| mistakes.add(option, failure, Exit::Usage)).ok()
}

fn parse_object(text: &str) -> Result<Map<String, Value>, String> {
    // Not with the error of the parser, which may repeat a part of it.
    serde_json::from_str(text).map_err(|_| "not a JSON object".to_owned())
}
