//! The parts of a key on pages: its name, state and abilities.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

use super::offered::Offered;
use super::site::Site;
use super::texts::{PageTexts, fill};
use super::time::{DAY, moment, relative};
use crate::key::{Ability, AbilitySet, KeyKind};
use crate::store::{Actor, KeyRecord, KeyState, public_text};

/// The time before the expiry in which a key "expires soon".
const SOON: Duration = Duration::from_secs(14 * DAY);

/// The state of a key on the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Active,
    ExpiresSoon,
    Disabled,
    Expired,
    Revoked,
    /// The key has a successor. The key itself may still work.
    Rotated,
    /// The tenant of the key is suspended.
    Suspended,
}

impl Shown {
    pub(super) fn of(record: &KeyRecord, now: SystemTime) -> Self {
        let soon = |time: SystemTime| time.duration_since(now).is_ok_and(|left| left < SOON);
        match record.state(now) {
            KeyState::Suspended => Self::Suspended,
            _ if record.successor().is_some() => Self::Rotated,
            KeyState::Active if record.expires_at().is_some_and(soon) => Self::ExpiresSoon,
            KeyState::Active => Self::Active,
            KeyState::Disabled => Self::Disabled,
            KeyState::Expired => Self::Expired,
            KeyState::Revoked => Self::Revoked,
        }
    }

    fn says(self, texts: &PageTexts) -> &str {
        match self {
            Self::Active => &texts.active,
            Self::ExpiresSoon => &texts.expires_soon,
            Self::Disabled => &texts.disabled,
            Self::Expired => &texts.expired,
            Self::Revoked => &texts.revoked,
            Self::Rotated => &texts.rotated,
            Self::Suspended => &texts.suspended,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Active => "ak-state ak-good",
            Self::ExpiresSoon | Self::Rotated => "ak-state ak-soon",
            Self::Disabled | Self::Suspended => "ak-state ak-off",
            Self::Expired | Self::Revoked => "ak-state ak-bad",
        }
    }
}

/// Shows the state of a key, with its details.
pub(super) fn state(record: &KeyRecord, site: &Site<'_>) -> Markup {
    let (texts, shown) = (site.texts(), Shown::of(record, site.now));
    html! {
        span class=(shown.class()) { (shown.says(texts)) }
        @if let Some(successor) = record.successor() {
            " " a.ak-small href=(site.key(successor)) { (texts.to_successor) }
        }
        @match (shown, record.expires_at()) {
            (Shown::ExpiresSoon | Shown::Expired, Some(time)) => {
                " " span.ak-small { (relative(time, site.now, texts)) }
            }
            (Shown::Rotated, Some(time)) if record.state(site.now) == KeyState::Active => {
                " " span.ak-small { (texts.works_until) " " (moment(time, texts)) }
            }
            _ => {}
        }
    }
}

/// Shows that all keys are refused, if their tenant is suspended.
pub(super) fn suspension<'a>(
    mut records: impl Iterator<Item = &'a KeyRecord>,
    texts: &PageTexts,
) -> Markup {
    html! {
        @if records.any(KeyRecord::is_suspended) { div.ak-note role="note" { p { (texts.suspended_says) } } }
    }
}

/// Shows a name, isolated so that right-to-left text does not change the text around it.
pub(super) fn name(record: &KeyRecord) -> Markup {
    html! { bdi.ak-name { (record.name()) } }
}

/// Shows the beginning and the end of a key, or the whole text of a public key, if the store keeps it.
pub(super) fn hint(record: &KeyRecord, site: &Site<'_>) -> Markup {
    html! {
        code.ak-key { (public_text(record, &site.settings.keys.settings.scheme).unwrap_or(record.hint().as_str())) }
        @if record.kind() == KeyKind::Public { " " span.ak-tag { (site.texts().public) } }
    }
}

/// Describes abilities in the words of the catalogue.
pub(super) fn abilities_in_words(
    abilities: &AbilitySet,
    offered: &Offered,
    texts: &PageTexts,
) -> Vec<String> {
    let mut words = Vec::new();
    let is_known = |ability: &Ability| offered.entries().any(|entry| entry.ability == *ability);
    for resource in &offered.resources {
        let has = |ability: &Ability| abilities.iter().any(|each| each == ability);
        let of_it = resource.entries.iter().filter(|entry| has(&entry.ability));
        let of_it: Vec<_> = of_it.map(|entry| entry.says.clone()).collect();
        match of_it.len() {
            count if count > 1 && count == resource.entries.len() => {
                words.push(fill(&texts.all_of, &[("resource", &resource.title)]));
            }
            _ => words.extend(of_it),
        }
    }
    for ability in abilities.iter().filter(|ability| !is_known(ability)) {
        words.push(match ability.as_str().strip_suffix(":*") {
            _ if ability.as_str() == "*" => texts.everything.to_string(),
            Some(name) => {
                let resource = offered.resources.iter().find(|resource| resource.name == name);
                let title = resource.map_or(name, |resource| &resource.title);
                fill(&texts.all_of, &[("resource", title)])
            }
            None => ability.to_string(),
        });
    }
    words
}

/// Shows an actor.
pub(super) fn actor(actor: &Actor, texts: &PageTexts) -> Markup {
    match actor {
        Actor::System => html! { (texts.the_system) },
        Actor::Key(id) => html! { (texts.a_key) " " code { (id) } },
        Actor::Named(name) => html! { bdi { (name.as_str()) } },
    }
}
