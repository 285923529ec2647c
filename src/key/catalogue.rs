//! [`AbilityCatalogue`]: the abilities of an application, with descriptions.

use std::fmt;

use super::{Ability, AbilitySet};
use crate::valid::valid;

/// The abilities that an application knows, each with a description.
///
/// A [`KeyManager`](crate::KeyManager::abilities) with a catalogue issues no key with an ability that
/// is not in it, such as a misspelt one. `AccessPolicy::abilities` (feature `policy`) returns the
/// catalogue of all abilities that a policy requires.
///
/// User interfaces, such as the pages of the feature `pages`, group abilities by resource: the part
/// before the last `:`.
///
/// # Examples
///
/// ```
/// use tower_api_key::key::AbilityCatalogue;
///
/// let catalogue = AbilityCatalogue::new()
///     .ability("bots:read", "List and read bots")
///     .ability("bots:write", "Create, change and delete bots");
/// assert!(catalogue.knows(&"bots:read".parse()?));
/// assert!(catalogue.knows(&"bots:*".parse()?));
/// assert!(!catalogue.knows(&"bots:raed".parse()?));
/// # Ok::<_, tower_api_key::key::AbilityError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct AbilityCatalogue {
    entries: Vec<Entry>,
    /// The names of resources, and their titles.
    titles: Vec<(String, String)>,
    presets: Vec<Preset>,
}

/// An ability and its description.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    ability: Ability,
    says: String,
}

/// Abilities that are often chosen together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Preset {
    title: String,
    says: String,
    abilities: AbilitySet,
}

impl AbilityCatalogue {
    /// Creates a catalogue without abilities.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an ability and its description, or replaces the description.
    ///
    /// # Panics
    ///
    /// Panics if the ability does not parse or is a wildcard: a catalogue lists single abilities.
    #[track_caller]
    pub fn ability<A>(mut self, ability: A, says: impl Into<String>) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        let ability = valid(ability.try_into());
        assert!(
            !ability.is_wildcard(),
            "`{ability}` is a wildcard: add single abilities to a catalogue"
        );
        self.add(ability, says.into());
        self
    }

    /// Sets the title of a resource. The default is its name in abilities.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::key::AbilityCatalogue;
    ///
    /// let catalogue = AbilityCatalogue::new()
    ///     .resource("bots", "Chat bots")
    ///     .ability("bots:read", "List and read bots");
    /// assert_eq!(catalogue.titles().next(), Some(("bots", "Chat bots")));
    /// ```
    pub fn resource(mut self, name: impl Into<String>, title: impl Into<String>) -> Self {
        let (name, title) = (name.into(), title.into());
        match self.titles.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = title,
            None => self.titles.push((name, title)),
        }
        self
    }

    /// Adds a preset: several abilities that can be chosen at once, under a title.
    ///
    /// # Panics
    ///
    /// Panics if an ability does not parse, or the catalogue does not [know](Self::knows) it yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::key::AbilityCatalogue;
    ///
    /// let catalogue = AbilityCatalogue::new()
    ///     .ability("bots:read", "List and read bots")
    ///     .ability("bots:write", "Create, change and delete bots")
    ///     .preset("Read only", "Looks at everything, changes nothing", ["bots:read"])
    ///     .preset("Bots", "", ["bots:*"]);
    /// assert_eq!(catalogue.presets().count(), 2);
    /// ```
    #[track_caller]
    pub fn preset<A>(
        mut self,
        title: impl Into<String>,
        says: impl Into<String>,
        abilities: impl IntoIterator<Item = A>,
    ) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        let title = title.into();
        let mut parsed = Vec::new();
        for ability in abilities {
            let ability = valid(ability.try_into());
            assert!(
                self.knows(&ability),
                "the preset {title:?} has {ability}, which is not in the catalogue: add it before"
            );
            parsed.push(ability);
        }
        let abilities = parsed.into_iter().collect();
        self.presets.push(Preset { title, says: says.into(), abilities });
        self
    }

    pub(crate) fn add(&mut self, ability: Ability, says: String) {
        match self.entries.iter_mut().find(|entry| entry.ability == ability) {
            Some(entry) => entry.says = says,
            None => self.entries.push(Entry { ability, says }),
        }
    }

    /// Returns the abilities and their descriptions, in the order in which they were added.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::key::AbilityCatalogue;
    ///
    /// let catalogue = AbilityCatalogue::new().ability("bots:read", "List and read bots");
    /// let described: Vec<_> = catalogue.iter().map(|(ability, says)| (ability.as_str(), says)).collect();
    /// assert_eq!(described, [("bots:read", "List and read bots")]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&Ability, &str)> {
        self.entries.iter().map(|entry| (&entry.ability, &*entry.says))
    }

    /// Returns the resources with a title, and their titles, in the order in which they were added.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::key::AbilityCatalogue;
    ///
    /// let catalogue = AbilityCatalogue::new().resource("bots", "Chat bots");
    /// assert_eq!(catalogue.titles().collect::<Vec<_>>(), [("bots", "Chat bots")]);
    /// ```
    pub fn titles(&self) -> impl Iterator<Item = (&str, &str)> {
        self.titles.iter().map(|(name, title)| (&**name, &**title))
    }

    /// Returns the presets: their titles, descriptions and abilities.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::key::AbilityCatalogue;
    ///
    /// let catalogue = AbilityCatalogue::new()
    ///     .ability("bots:read", "List and read bots")
    ///     .preset("Read only", "For dashboards", ["bots:read"]);
    /// let (title, says, abilities) = catalogue.presets().next().unwrap();
    /// assert_eq!((title, says), ("Read only", "For dashboards"));
    /// assert!(abilities.can("bots:read"));
    /// ```
    pub fn presets(&self) -> impl Iterator<Item = (&str, &str, &AbilitySet)> {
        self.presets.iter().map(|preset| (&*preset.title, &*preset.says, &preset.abilities))
    }

    /// Returns the resource of an ability: the part before the last `:`, or nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::key::AbilityCatalogue;
    ///
    /// let ability = "billing:invoices:read".parse()?;
    /// assert_eq!(AbilityCatalogue::resource_of(&ability), "billing:invoices");
    /// # Ok::<_, tower_api_key::key::AbilityError>(())
    /// ```
    #[must_use]
    pub fn resource_of(ability: &Ability) -> &str {
        ability.as_str().rsplit_once(':').map_or("", |(resource, _)| resource)
    }

    /// Tells whether an ability is in the catalogue, or is a wildcard that matches one.
    #[must_use]
    pub fn knows(&self, ability: &Ability) -> bool {
        self.entries.iter().any(|entry| ability.covers(&entry.ability))
    }

    /// Returns the abilities of a set that it does not know, except those of `before`.
    pub(crate) fn unknown(&self, abilities: &AbilitySet, before: &AbilitySet) -> AbilitySet {
        let was_there = |ability: &Ability| before.iter().any(|before| before == ability);
        let unknown = abilities.iter().filter(|each| !self.knows(each) && !was_there(each));
        unknown.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_known_if_it_stands_for_something() {
        let catalogue = AbilityCatalogue::new()
            .ability("bots:read", "Read")
            .ability("billing:invoices:write", "Write")
            .ability("admin", "All else");
        let knows = |text: &str| catalogue.knows(&text.parse().unwrap());
        for known in ["bots:read", "bots:*", "billing:*", "billing:invoices:*", "admin", "*"] {
            assert!(knows(known), "{known}");
        }
        for unknown in ["bots:raed", "bot:*", "bots", "billing:invoices", "billing:orders:*"] {
            assert!(!knows(unknown), "{unknown}");
        }
        assert!(!AbilityCatalogue::new().knows(&"*".parse().unwrap()));
    }

    #[test]
    #[should_panic(expected = "`bots:*` is a wildcard")]
    fn a_wildcard_is_not_listed() {
        let _ = AbilityCatalogue::new().ability("bots:*", "All");
    }

    #[test]
    #[should_panic(expected = "has bots:wriet, which is not in the catalogue")]
    fn a_preset_has_no_ability_that_is_misspelt() {
        let _ = AbilityCatalogue::new().ability("bots:write", "Write").preset(
            "Bots",
            "",
            ["bots:wriet"],
        );
    }
}
