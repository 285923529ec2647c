//! [`AbilityCatalogue`]: the abilities that there are, in words.

use std::fmt;

use super::{Ability, AbilitySet};

/// The abilities that an application knows, and what each is, in words.
///
/// A [`KeyManager`](crate::KeyManager::abilities) with a catalogue issues no key with an ability that is not
/// in it, such as a misspelt one. `AccessPolicy::abilities` (feature `policy`) returns the catalogue of all
/// abilities that a policy requires.
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
}

/// An ability in words.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    ability: Ability,
    says: String,
}

impl AbilityCatalogue {
    /// Makes a catalogue without abilities.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an ability, and says what it is. If it is there, it is said anew.
    ///
    /// # Panics
    ///
    /// Panics if the ability does not parse, or is a wildcard: a catalogue lists single abilities.
    pub fn ability<A>(mut self, ability: A, says: impl Into<String>) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        let ability = ability.try_into().unwrap_or_else(|error| panic!("{error}"));
        assert!(!ability.is_wildcard(), "a catalogue lists single abilities, not {ability}");
        self.add(ability, says.into());
        self
    }

    pub(crate) fn add(&mut self, ability: Ability, says: String) {
        match self.entries.iter_mut().find(|entry| entry.ability == ability) {
            Some(entry) => entry.says = says,
            None => self.entries.push(Entry { ability, says }),
        }
    }

    /// Returns the abilities and what they are, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&Ability, &str)> {
        self.entries.iter().map(|entry| (&entry.ability, &*entry.says))
    }

    /// Tells whether an ability is in the catalogue, or is a wildcard for some that are.
    #[must_use]
    pub fn knows(&self, ability: &Ability) -> bool {
        self.entries.iter().any(|entry| ability.covers(&entry.ability))
    }

    /// Tells whether it knows each ability of a set, but for those that were there before.
    pub(crate) fn knows_all(&self, abilities: &AbilitySet, before: &AbilitySet) -> bool {
        let was_there = |ability| before.iter().any(|before| before == ability);
        abilities.iter().all(|ability| self.knows(ability) || was_there(ability))
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
    #[should_panic(expected = "a catalogue lists single abilities")]
    fn a_wildcard_is_not_listed() {
        let _ = AbilityCatalogue::new().ability("bots:*", "All");
    }
}
