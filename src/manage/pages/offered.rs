//! [`Offered`]: the abilities of a catalogue as the form shows them, by resource.

use super::texts::PageTexts;
use crate::key::{Ability, AbilityCatalogue, AbilitySet};

/// The abilities that a form offers.
#[derive(Clone, Debug, Default)]
pub(super) struct Offered {
    pub(super) resources: Vec<Resource>,
    pub(super) presets: Vec<Preset>,
}

/// A resource, and its abilities.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) entries: Vec<Entry>,
}

/// An ability with its description.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) ability: Ability,
    pub(super) says: String,
}

/// A preset: abilities that are often granted together.
#[derive(Clone, Debug)]
pub(super) struct Preset {
    pub(super) title: String,
    pub(super) says: String,
    pub(super) abilities: AbilitySet,
}

impl Preset {
    /// Returns the value in the form. It does not depend on the other offers for an owner.
    pub(super) fn value(&self) -> String {
        format!("preset:{}", self.title)
    }
}

/// The level of access to a resource.
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

impl Offered {
    /// Offers a whole catalogue. Resources with a title come first, in the order of the titles.
    pub(super) fn of(catalogue: &AbilityCatalogue) -> Self {
        let mut offered = Self::default();
        for (name, title) in catalogue.titles() {
            offered.resources.push(Resource {
                name: name.to_owned(),
                title: title.to_owned(),
                entries: Vec::new(),
            });
        }
        for (ability, says) in catalogue.iter() {
            let entry = Entry { ability: ability.clone(), says: says.to_owned() };
            offered.resource(AbilityCatalogue::resource_of(ability)).entries.push(entry);
        }
        offered.resources.retain(|resource| !resource.entries.is_empty());
        let presets = catalogue.presets().map(|(title, says, abilities)| Preset {
            title: title.to_owned(),
            says: says.to_owned(),
            abilities: abilities.clone(),
        });
        offered.presets.extend(presets);
        offered
    }

    /// Returns the offers for an owner, without empty resources and presets.
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

    fn resource(&mut self, name: &str) -> &mut Resource {
        let known = self.resources.iter().position(|resource| resource.name == name);
        let index = known.unwrap_or_else(|| {
            let (name, title) = (name.to_owned(), name.to_owned());
            self.resources.push(Resource { name, title, entries: Vec::new() });
            self.resources.len() - 1
        });
        &mut self.resources[index]
    }
}

impl Resource {
    /// Returns the abilities of a level, or `None` for a custom one.
    pub(super) fn at(&self, level: Level) -> Vec<&Ability> {
        let entries = self.entries.iter().filter(|entry| match level {
            Level::None | Level::Custom => false,
            Level::Read => entry.reads(),
            Level::Write => true,
        });
        entries.map(|entry| &entry.ability).collect()
    }

    /// Returns the levels that differ for this resource.
    pub(super) fn levels(&self) -> impl Iterator<Item = Level> {
        let reading = self.entries.iter().filter(|entry| entry.reads()).count();
        let has_reading = (1..self.entries.len()).contains(&reading);
        let has_boxes = self.has_boxes();
        Level::ALL.into_iter().filter(move |level| match level {
            Level::Read => has_reading,
            Level::Custom => has_boxes,
            Level::None | Level::Write => true,
        })
    }

    /// Returns whether there are boxes of single abilities: one ability alone has its levels.
    pub(super) fn has_boxes(&self) -> bool {
        self.entries.len() > 1
    }

    /// Returns the level at which abilities that were sent one by one count.
    pub(super) fn level_of_boxes(&self) -> Level {
        if self.has_boxes() { Level::Custom } else { Level::Write }
    }

    fn only_reads(&self) -> bool {
        self.entries.iter().all(Entry::reads)
    }

    /// Returns the name of a level.
    pub(super) fn in_words<'a>(&self, level: Level, texts: &'a PageTexts) -> &'a str {
        match level {
            // There is nothing to write.
            Level::Write if self.only_reads() => &texts.level_read,
            Level::None => &texts.level_none,
            Level::Read => &texts.level_read,
            Level::Write => &texts.level_write,
            Level::Custom => &texts.level_custom,
        }
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
        // A level with all abilities is the highest.
        [Level::None, Level::Write, Level::Read].into_iter().find(is).unwrap_or(Level::Custom)
    }
}

impl Entry {
    fn reads(&self) -> bool {
        let action = self.ability.as_str().rsplit(':').next();
        matches!(action, Some("read" | "list" | "get" | "view"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> Offered {
        let catalogue = AbilityCatalogue::new()
            .resource("bots", "Bots")
            .ability("bots:read", "List and read bots")
            .ability("bots:write", "Change bots")
            .ability("bots:delete", "Delete bots")
            .ability("chat:send", "Send messages")
            .preset("Read only", "", ["bots:read"])
            .preset("Chat", "", ["chat:send"]);
        Offered::of(&catalogue)
    }

    #[test]
    fn levels_are_what_they_grant() {
        let offered = offered();
        let [bots, chat] = &offered.resources[..] else { panic!("there are two resources") };
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
        let only = offered().only(|ability| ability.as_str() == "chat:send");
        assert_eq!(
            only.entries().map(|entry| entry.ability.as_str()).collect::<Vec<_>>(),
            ["chat:send"]
        );
        assert_eq!(only.presets.iter().map(|preset| &*preset.title).collect::<Vec<_>>(), ["Chat"]);
    }
}
