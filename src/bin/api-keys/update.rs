//! `api-keys update`.

use std::sync::Arc;
use std::time::SystemTime;

use clap::{ArgGroup, Args};
use tower_api_key::KeyUpdate;

use crate::exit::{Exit, Failure};
use crate::grants::{Dates, Grants};
use crate::id::IdArg;
use crate::say::say;
use crate::session::Session;
use crate::time::format_relative;

/// Change a key; all other settings stay
///
/// Options that may be repeated replace the whole list: all abilities, all limits, all addresses.
#[derive(Args)]
#[command(override_usage = "api-keys update <ID> <CHANGES>...")]
#[command(after_help = "\
Examples:
  api-keys update key_4SnPgVzDkgSrTyBgzJxQ --name 'hourly import' --expires-in 90d
  api-keys update key_4SnPgVzDkgSrTyBgzJxQ --ability imports:read --ability imports:write
  api-keys update key_4SnPgVzDkgSrTyBgzJxQ --any-address --unlimited --no-expiry
  api-keys update key_4SnPgVzDkgSrTyBgzJxQ --disable")]
#[command(group(ArgGroup::new("any change").args(CHANGES).required(true).multiple(true)))]
pub(crate) struct Update {
    #[command(flatten)]
    id: IdArg,
    #[command(flatten)]
    change: Change,
}

#[derive(Args)]
struct Change {
    /// The name of the key, 3 to 100 characters: what it is for
    #[arg(long)]
    name: Option<String>,
    /// Disable the key until it is enabled again
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Enable the key again
    #[arg(long)]
    enable: bool,
    #[command(flatten)]
    grants: Grants,
    /// Remove all abilities
    #[arg(long, conflicts_with = "abilities")]
    no_abilities: bool,
    /// Remove all rate limits
    #[arg(long, conflicts_with = "limits")]
    unlimited: bool,
    /// Allow all addresses
    #[arg(long, conflicts_with = "addresses")]
    any_address: bool,
    /// Allow pages of all sites
    #[arg(long, conflicts_with = "origins")]
    any_origin: bool,
    /// Allow all pages
    #[arg(long, conflicts_with = "referrers")]
    any_referrer: bool,
    /// Allow all endpoints
    #[arg(long, conflicts_with = "endpoints")]
    any_endpoint: bool,
    #[command(flatten)]
    dates: Dates,
    /// Remove the expiry
    #[arg(long, conflicts_with_all = ["expires_in", "expires_at"])]
    no_expiry: bool,
    /// Remove the date of rotation
    #[arg(long, conflicts_with = "rotate_in")]
    no_rotation: bool,
}

/// The options of changes. At least one is required.
const CHANGES: [&str; 21] = [
    "name",
    "disable",
    "enable",
    "abilities",
    "no_abilities",
    "limits",
    "unlimited",
    "addresses",
    "any_address",
    "origins",
    "any_origin",
    "referrers",
    "any_referrer",
    "endpoints",
    "any_endpoint",
    "metadata",
    "expires_in",
    "expires_at",
    "no_expiry",
    "rotate_in",
    "no_rotation",
];

impl Update {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let id = self.id.parse()?;
        let sets_expiry = self.change.dates.sets_expiry();
        let update = self.change.update(session.now)?;
        let changed = session.keys.update(&id, &update).await?;
        if let Some(time) = changed.record.expires_at().filter(|_| sets_expiry) {
            say(format_args!("It expires at {}.", format_relative(time, session.now)));
        }
        session.changed("Changed", changed).await
    }
}

impl Change {
    fn update(self, now: SystemTime) -> Result<KeyUpdate, Failure> {
        let mut update = KeyUpdate::new();
        if let Some(name) = &self.name {
            update = update.name(name);
        }
        if self.disable || self.enable {
            update = update.disabled(self.disable);
        }
        let expires_at = self.dates.expires_at(now)?;
        if expires_at.is_some() || self.no_expiry {
            update = update.expires_at(expires_at);
        }
        let rotation_due_at = self.dates.rotation_due_at(now)?;
        if rotation_due_at.is_some() || self.no_rotation {
            update = update.rotation_due_at(rotation_due_at);
        }
        let limits = self.grants.limits()?;
        if !limits.is_empty() || self.unlimited {
            update = update.limits(limits);
        }
        Ok(self.grant(update))
    }

    fn grant(self, mut update: KeyUpdate) -> KeyUpdate {
        let grants = self.grants;
        if !grants.abilities.is_empty() || self.no_abilities {
            update = update.abilities(grants.abilities.into());
        }
        if let Some(addresses) = list(grants.addresses, self.any_address) {
            update = update.addresses(addresses);
        }
        if let Some(origins) = list(grants.origins, self.any_origin) {
            update = update.origins(origins);
        }
        if let Some(referrers) = list(grants.referrers, self.any_referrer) {
            update = update.referrers(referrers);
        }
        if let Some(endpoints) = list(grants.endpoints, self.any_endpoint) {
            update = update.endpoints(endpoints);
        }
        match grants.metadata {
            Some(metadata) => update.metadata(metadata),
            None => update,
        }
    }
}

/// Returns the new restriction, if an option was given.
fn list<T>(list: Vec<T>, any: bool) -> Option<Option<Arc<[T]>>> {
    match (list.is_empty(), any) {
        (false, _) => Some(Some(list.into())),
        (true, true) => Some(None),
        (true, false) => None,
    }
}
