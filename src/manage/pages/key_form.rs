//! [`KeyForm`]: the values in the form of a key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::SystemTime;

use super::expiry::Expiry;
use super::form::Form;
use super::offered::Offered;
use super::place::Place;
use super::settings::Settings;
use super::time::{Civil, DAY, from_seconds, seconds};
use super::token::Token;
use crate::clock::later;
use crate::key::{Ability, KeyKind};
use crate::store::KeyRecord;

/// The value that leaves the expiry as it is.
pub(super) const KEEP: &str = "keep";
/// The value that chooses the level of each resource.
pub(super) const CUSTOM: &str = "custom";

/// The values in the form of a key. They are shown again if there is a mistake.
#[derive(Clone)]
pub(super) struct KeyForm {
    pub(super) kind: KeyKind,
    pub(super) name: String,
    pub(super) stage: String,
    /// The value of a preset, or [`CUSTOM`].
    pub(super) access: String,
    /// The levels, by the names of resources.
    pub(super) levels: BTreeMap<String, String>,
    pub(super) abilities: BTreeSet<String>,
    /// The value of an [`Expiry`], or [`KEEP`].
    pub(super) expiry: String,
    pub(super) date: String,
    pub(super) limits: String,
    pub(super) addresses: String,
    pub(super) origins: String,
    pub(super) referrers: String,
    pub(super) endpoints: String,
    pub(super) token: Token,
    /// The revision of the key that the form showed.
    pub(super) revision: String,
}

/// The error of an expiry that is not offered.
pub(super) struct ExpiryError;

impl KeyForm {
    /// Returns the form for a new key.
    pub(super) fn empty(kind: KeyKind, settings: &Settings, token: Token) -> Self {
        let first = settings.expiries.first().map(|expiry| expiry.value());
        // The default is 30 days, if that is offered.
        let month = settings.expiries.contains(&Expiry::Days(30)).then(|| "30".to_owned());
        Self {
            kind,
            name: String::new(),
            stage: String::new(),
            access: CUSTOM.to_owned(),
            levels: BTreeMap::new(),
            abilities: BTreeSet::new(),
            expiry: month.or(first).unwrap_or_default(),
            date: String::new(),
            limits: String::new(),
            addresses: String::new(),
            origins: String::new(),
            referrers: String::new(),
            endpoints: String::new(),
            token,
            revision: String::new(),
        }
    }

    /// Returns the form with the values of a key.
    pub(super) fn of_record(record: &KeyRecord, offered: &Offered, token: Token) -> Self {
        let has = |ability: &Ability| record.abilities().iter().any(|each| each == ability);
        let levels = offered
            .resources
            .iter()
            .map(|resource| (resource.name.clone(), resource.level_of(has).as_str().to_owned()));
        let restrictions = record.restrictions();
        Self {
            kind: record.kind(),
            name: record.name().to_owned(),
            stage: record.stage().as_ref().map(ToString::to_string).unwrap_or_default(),
            access: CUSTOM.to_owned(),
            levels: levels.collect(),
            abilities: record.abilities().iter().map(ToString::to_string).collect(),
            expiry: KEEP.to_owned(),
            date: record.expires_at().map(|time| Civil::of(time).date()).unwrap_or_default(),
            limits: lines(record.limits().iter()),
            addresses: lines(restrictions.addresses.iter().flat_map(|list| list.iter())),
            origins: lines(restrictions.origins.iter().flat_map(|list| list.iter())),
            referrers: lines(restrictions.referrers.iter().flat_map(|list| list.iter())),
            endpoints: lines(restrictions.endpoints.iter().flat_map(|list| list.iter())),
            token,
            revision: record.revision().to_string(),
        }
    }

    /// Reads the values that were sent.
    pub(super) fn read(kind: KeyKind, form: &Form, offered: &Offered, token: Token) -> Self {
        let text = |name: &str| form.get(name).to_owned();
        // Browsers send line breaks as two characters.
        let lines = |name: &str| form.get(name).replace("\r\n", "\n");
        let levels = offered
            .resources
            .iter()
            .map(|resource| (resource.name.clone(), text(&format!("level.{}", resource.name))));
        Self {
            kind,
            name: text("name"),
            stage: text("stage"),
            access: text("access"),
            levels: levels.collect(),
            abilities: form.all("ability").map(str::to_owned).collect(),
            expiry: text("expiry"),
            date: text("date"),
            limits: lines("limits"),
            addresses: lines("addresses"),
            origins: lines("origins"),
            referrers: lines("referrers"),
            endpoints: lines("endpoints"),
            token,
            revision: text("revision"),
        }
    }

    /// Returns whether a date was typed that the chosen expiry ignores.
    pub(super) fn has_date_without_effect(&self) -> bool {
        !self.date.is_empty() && self.expiry != Expiry::Date.value()
    }

    /// Returns the expiry of the key; `None` is never.
    pub(super) fn expires_at(
        &self,
        settings: &Settings,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, ExpiryError> {
        let offered = settings.expiries.iter().find(|offered| offered.value() == self.expiry);
        match offered.ok_or(ExpiryError)? {
            Expiry::Never => Ok(None),
            Expiry::Days(days) => later_by_days(now, *days).map(Some).ok_or(ExpiryError),
            Expiry::Date => {
                // The key works until the end of the day.
                let end = crate::rfc3339::parse_time(&format!("{}T23:59:59Z", self.date));
                let end = end.map_err(|_| ExpiryError)?;
                let most = settings.most_days().and_then(|days| later_by_days(now, days));
                // A date may be up to the end of the last offered day.
                let last = most.map(|most| from_seconds(seconds(most) / DAY * DAY + DAY - 1));
                match last.is_some_and(|last| end > last) {
                    true => Err(ExpiryError),
                    false => Ok(Some(end)),
                }
            }
        }
    }

    /// Returns the line of an item in its field.
    pub(super) fn line_of(&self, place: Place, item: usize) -> Option<usize> {
        let text = match place {
            Place::Limits => &self.limits,
            Place::Addresses => &self.addresses,
            Place::Origins => &self.origins,
            Place::Referrers => &self.referrers,
            Place::Endpoints => &self.endpoints,
            _ => return None,
        };
        let mut items = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        items.nth(item).map(|(index, _)| index + 1)
    }
}

fn later_by_days(now: SystemTime, days: u32) -> Option<SystemTime> {
    later(now, std::time::Duration::from_secs(u64::from(days) * DAY))
}

fn lines(items: impl Iterator<Item: fmt::Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join("\n")
}
