//! `api-keys update`.

use clap::{ArgGroup, Args};
use tower_api_key::KeyUpdate;
use tower_api_key::key::RateLimits;

use crate::checks::{Checks, check_name};
use crate::exit::{Exit, Failure};
use crate::grants::{Dates, Granted, Grants};
use crate::id::IdArg;
use crate::mistakes::Mistakes;
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
    /// Reports all mistakes at once, before the database is opened.
    pub(crate) fn check(&self, checks: &Checks<'_>) -> Result<(), Failure> {
        // The key may have abilities that are no longer in the catalogue.
        let checks = &Checks { abilities: None, ..*checks };
        let mut mistakes = Mistakes::default();
        mistakes.ok(self.id.parse());
        if let Some(name) = &self.change.name {
            check_name(name, "--name".to_owned(), &mut mistakes);
        }
        let _ = self.change.update(checks, &mut mistakes);
        mistakes.check()
    }

    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let id = self.id.parse()?;
        let mut mistakes = Mistakes::default();
        let update = self.change.update(&session.checks(), &mut mistakes);
        mistakes.check()?;
        let changed = session.keys.update(&id, &update).await?;
        let sets_expiry = self.change.dates.sets_expiry();
        if let Some(time) = changed.record.expires_at().filter(|_| sets_expiry) {
            say(format_args!("It expires at {}.", format_relative(time, session.now)));
        }
        session.changed("Changed", changed).await
    }
}

impl Change {
    fn update(&self, checks: &Checks<'_>, mistakes: &mut Mistakes) -> KeyUpdate {
        let mut update = KeyUpdate::new();
        if let Some(name) = &self.name {
            update = update.name(name);
        }
        if self.disable || self.enable {
            update = update.disabled(self.disable);
        }
        let expires_at = self.dates.expires_at(checks.now, mistakes);
        if expires_at.is_some() || self.no_expiry {
            update = update.expires_at(expires_at);
        }
        let rotation_due_at = self.dates.rotation_due_at(checks.now, mistakes);
        if rotation_due_at.is_some() || self.no_rotation {
            update = update.rotation_due_at(rotation_due_at);
        }
        self.grants.check(checks, mistakes).change(self.without_lists(update))
    }

    /// Removes the lists that are to be removed.
    fn without_lists(&self, mut update: KeyUpdate) -> KeyUpdate {
        if self.no_abilities {
            update = update.without_abilities();
        }
        if self.unlimited {
            update = update.limits(RateLimits::default());
        }
        if self.any_address {
            update = update.without_addresses();
        }
        if self.any_origin {
            update = update.without_origins();
        }
        if self.any_referrer {
            update = update.without_referrers();
        }
        if self.any_endpoint {
            update = update.without_endpoints();
        }
        update
    }
}

impl Granted {
    /// Replaces the lists that are given. A list without anything in it would allow nothing.
    fn change(self, mut update: KeyUpdate) -> KeyUpdate {
        if !self.abilities.is_empty() {
            update = update.abilities(self.abilities);
        }
        if !self.limits.is_empty() {
            update = update.limits(self.limits);
        }
        if !self.addresses.is_empty() {
            update = update.addresses(self.addresses);
        }
        if !self.origins.is_empty() {
            update = update.origins(self.origins);
        }
        if !self.referrers.is_empty() {
            update = update.referrers(self.referrers);
        }
        if !self.endpoints.is_empty() {
            update = update.endpoints(self.endpoints);
        }
        let Some(metadata) = self.metadata else { return update };
        let set = |update: KeyUpdate, (name, value)| update.metadata(name, value);
        metadata.into_iter().fold(update.without_metadata(), set)
    }
}
