//! [`AbilityCatalogue`]: the abilities that a form offers, in words.

use std::fmt;

use crate::key::{Ability, AbilitySet};

/// The abilities that the pages offer, and what they are called there.
///
/// Abilities are grouped by resource, which is what is in front of their last `:`. For each resource, the
/// form offers none, reading, everything, or a choice of its abilities. An ability reads if its action is
/// `read`, `list`, `get` or `view`.
///
/// An owner is offered the abilities that it may grant, and no others.
///
/// # Examples
///
/// ```
/// use tower_api_key::manage::pages::AbilityCatalogue;
///
/// let catalogue = AbilityCatalogue::new()
///     .resource("bots", "Bots")
///     .ability("bots:read", "List and read bots")
///     .ability("bots:write", "Create, change and delete bots")
///     .ability("chat:send", "Send messages")
///     .preset("Read only", "Looks at everything, changes nothing", ["bots:read"]);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct AbilityCatalogue {
    pub(super) resources: Vec<Resource>,
    pub(super) presets: Vec<Preset>,
}

/// What abilities are for.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) entries: Vec<Entry>,
}

/// An ability in words.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) ability: Ability,
    pub(super) says: String,
}

/// Abilities that are often wanted together.
#[derive(Clone, Debug)]
pub(super) struct Preset {
    pub(super) title: String,
    pub(super) says: String,
    pub(super) abilities: AbilitySet,
}

impl Preset {
    /// Returns the value in the form. It is the same whatever else an owner may be offered.
    pub(super) fn value(&self) -> String {
        format!("preset:{}", self.title)
    }
}

/// How much of a resource is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    None,
    Read,
    Write,
    Custom,
}

impl Level {
    pub(super) const ALL: [Self; 4] = [Self::None, Self::Read, Self::Write, Self::Custom];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
            Self::Custom => "custom",
        }
    }
}

impl AbilityCatalogue {
    /// Offers no abilities.
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers each ability that a policy asks for, in its own name.
    #[cfg(feature = "policy")]
    pub fn from_policy(policy: &crate::policy::AccessPolicy) -> Self {
        let mut catalogue = Self::new();
        for requirement in policy.rules().iter().filter_map(|rule| rule.requirement()) {
            for ability in requirement.sets_of_abilities().into_iter().flatten() {
                if !catalogue.entries().any(|entry| entry.ability == ability) {
                    let says = ability.to_string();
                    catalogue.add(ability, says);
                }
            }
        }
        catalogue
    }

    /// Names a resource. Without a name, it is called as in its abilities.
    pub fn resource(mut self, name: impl Into<String>, title: impl Into<String>) -> Self {
        let name = name.into();
        let index = self.index_of(&name);
        self.resources[index].title = title.into();
        self
    }

    /// Offers an ability, and says what it is.
    ///
    /// # Panics
    ///
    /// Panics if the ability does not parse.
    pub fn ability<A>(mut self, ability: A, says: impl Into<String>) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        self.add(parsed(ability), says.into());
        self
    }

    /// Offers several abilities at once, under a title.
    ///
    /// # Panics
    ///
    /// Panics if an ability does not parse.
    pub fn preset<A>(
        mut self,
        title: impl Into<String>,
        says: impl Into<String>,
        abilities: impl IntoIterator<Item = A>,
    ) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        let abilities = abilities.into_iter().map(parsed).collect();
        self.presets.push(Preset { title: title.into(), says: says.into(), abilities });
        self
    }

    /// Returns what may be granted, without what would be empty.
    pub(super) fn only(&self, grants: impl Fn(&Ability) -> bool) -> Self {
        let mut only = self.clone();
        for resource in &mut only.resources {
            resource.entries.retain(|entry| grants(&entry.ability));
        }
        only.resources.retain(|resource| !resource.entries.is_empty());
        only.presets.retain(|preset| preset.abilities.iter().all(&grants));
        only
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.resources.iter().flat_map(|resource| &resource.entries)
    }

    fn add(&mut self, ability: Ability, says: String) {
        let name = ability.as_str().rsplit_once(':').map_or("", |(name, _)| name).to_owned();
        let index = self.index_of(&name);
        self.resources[index].entries.push(Entry { ability, says });
    }

    fn index_of(&mut self, name: &str) -> usize {
        if let Some(index) = self.resources.iter().position(|resource| resource.name == name) {
            return index;
        }
        let title = name.to_owned();
        self.resources.push(Resource { name: name.to_owned(), title, entries: Vec::new() });
        self.resources.len() - 1
    }
}

impl Resource {
    /// Returns the abilities that are granted at a level, unless that is a choice of its own.
    pub(super) fn at(&self, level: Level) -> Vec<&Ability> {
        let entries = self.entries.iter().filter(|entry| match level {
            Level::None | Level::Custom => false,
            Level::Read => entry.reads(),
            Level::Write => true,
        });
        entries.map(|entry| &entry.ability).collect()
    }

    /// Returns the levels that differ.
    pub(super) fn levels(&self) -> impl Iterator<Item = Level> {
        let reading = self.entries.iter().filter(|entry| entry.reads()).count();
        let has_reading = (1..self.entries.len()).contains(&reading);
        let has_choice = self.entries.len() > 1;
        Level::ALL.into_iter().filter(move |level| match level {
            Level::Read => has_reading,
            Level::Custom => has_choice,
            Level::None | Level::Write => true,
        })
    }

    pub(super) fn only_reads(&self) -> bool {
        self.entries.iter().all(Entry::reads)
    }

    /// Returns the level of abilities that were chosen.
    pub(super) fn level_of(&self, is_chosen: impl Fn(&Ability) -> bool) -> Level {
        let chosen: Vec<_> = self
            .entries
            .iter()
            .map(|entry| &entry.ability)
            .filter(|&each| is_chosen(each))
            .collect();
        let is = |level: &Level| *level != Level::Custom && self.at(*level) == chosen;
        // What is the same as everything is called so.
        [Level::None, Level::Write, Level::Read].into_iter().find(is).unwrap_or(Level::Custom)
    }
}

impl Entry {
    fn reads(&self) -> bool {
        let action = self.ability.as_str().rsplit(':').next();
        matches!(action, Some("read" | "list" | "get" | "view"))
    }
}

fn parsed<A>(ability: A) -> Ability
where
    A: TryInto<Ability, Error: fmt::Display>,
{
    ability.try_into().unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> AbilityCatalogue {
        AbilityCatalogue::new()
            .resource("bots", "Bots")
            .ability("bots:read", "List and read bots")
            .ability("bots:write", "Change bots")
            .ability("bots:delete", "Delete bots")
            .ability("chat:send", "Send messages")
            .preset("Read only", "", ["bots:read"])
            .preset("Chat", "", ["chat:send"])
    }

    #[test]
    fn levels_are_what_they_grant() {
        let catalogue = catalogue();
        let [bots, chat] = &catalogue.resources[..] else { panic!("there are two resources") };
        let level = |chosen: &[&str]| bots.level_of(|each| chosen.contains(&each.as_str()));
        assert_eq!(level(&[]), Level::None);
        assert_eq!(level(&["bots:read", "chat:send"]), Level::Read);
        assert_eq!(level(&["bots:read", "bots:write", "bots:delete"]), Level::Write);
        assert_eq!(level(&["bots:write"]), Level::Custom);
        assert!(bots.levels().eq(Level::ALL));
        assert!(chat.levels().eq([Level::None, Level::Write]));
    }

    #[test]
    fn what_may_not_be_granted_is_not_offered() {
        let only = catalogue().only(|ability| ability.as_str() == "chat:send");
        assert_eq!(
            only.entries().map(|entry| entry.ability.as_str()).collect::<Vec<_>>(),
            ["chat:send"]
        );
        assert_eq!(only.presets.iter().map(|preset| &*preset.title).collect::<Vec<_>>(), ["Chat"]);
    }
}
