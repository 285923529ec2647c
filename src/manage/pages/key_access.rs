//! What a form gives access to: a preset, or the levels of resources with the boxes of single abilities.

use super::key_form::{CUSTOM, KeyForm};
use super::offered::{Level, Offered, Resource};
use crate::key::{Ability, AbilitySet};

impl KeyForm {
    /// Returns the level of a resource, or nothing for one that does not exist. Without a level, the boxes decide.
    pub(super) fn level(&self, resource: &Resource) -> Option<Level> {
        match self.levels.get(&resource.name).map_or("", |level| level) {
            "" if self.boxes(resource).next().is_some() => Some(resource.level_of_boxes()),
            "" => Some(Level::None),
            level => Level::ALL.into_iter().find(|known| known.as_str() == level),
        }
    }

    /// Returns the abilities of a resource whose boxes are ticked.
    fn boxes<'a>(&'a self, resource: &'a Resource) -> impl Iterator<Item = &'a Ability> {
        let abilities = resource.entries.iter().map(|entry| &entry.ability);
        abilities.filter(|ability| self.abilities.contains(ability.as_str()))
    }

    /// Returns the ticked abilities of a resource that its chosen level does not grant.
    pub(super) fn ignored_boxes<'a>(
        &'a self,
        resource: &'a Resource,
    ) -> impl Iterator<Item = &'a Ability> {
        let granted = match self.level(resource) {
            Some(Level::Custom) => None,
            level => Some(resource.at(level.unwrap_or(Level::None))),
        };
        self.boxes(resource).filter(move |ability| {
            granted.as_ref().is_some_and(|granted| !granted.contains(ability))
        })
    }

    /// Returns the resources with ticked boxes that the chosen level or preset ignores, and these abilities. The user
    /// may have meant the boxes, so they are neither granted nor dropped. The boxes of what the key had `before` are
    /// ticked in the form that is shown, so a lower level takes them away.
    pub(super) fn boxes_without_effect<'a>(
        &'a self,
        offered: &'a Offered,
        before: &'a AbilitySet,
    ) -> impl Iterator<Item = (&'a Resource, Vec<&'a str>)> {
        let was_there = |ability: &Ability| before.iter().any(|each| each == ability);
        let preset = offered.presets.iter().find(|preset| preset.value() == self.access);
        let ignored = offered.resources.iter().map(move |resource| {
            let ignored: Vec<_> = match preset {
                Some(preset) => {
                    let grants = |ability: &Ability| preset.abilities.grants(ability);
                    self.boxes(resource).filter(|ability| !grants(ability)).collect()
                }
                None => self.ignored_boxes(resource).collect(),
            };
            let new = ignored.into_iter().filter(|ability| !was_there(ability));
            (resource, new.map(Ability::as_str).collect::<Vec<_>>())
        });
        ignored.filter(|(_, abilities)| !abilities.is_empty())
    }

    /// Returns the chosen abilities: those of the preset, or those of the level of each resource and those that
    /// the catalogue does not have.
    pub(super) fn chosen(&self, offered: &Offered) -> Vec<String> {
        let mut presets = offered.presets.iter();
        if let Some(preset) = presets.find(|preset| preset.value() == self.access) {
            return preset.abilities.iter().map(ToString::to_string).collect();
        }
        let mut chosen = Vec::new();
        for resource in &offered.resources {
            match self.level(resource).unwrap_or(Level::None) {
                Level::Custom => chosen.extend(self.boxes(resource).map(ToString::to_string)),
                level => chosen.extend(resource.at(level).into_iter().map(ToString::to_string)),
            }
        }
        chosen.extend(self.others(offered).map(str::to_owned));
        chosen
    }

    /// Returns whether the chosen preset, or each chosen level, exists. A preset may have been removed since the form
    /// was shown.
    pub(super) fn has_access(&self, offered: &Offered) -> bool {
        if self.is_by_resource() {
            return offered.resources.iter().all(|resource| self.level(resource).is_some());
        }
        let mut presets = offered.presets.iter();
        presets.any(|preset| preset.value() == self.access)
    }

    /// Returns the chosen abilities that no form offers and that the key did not have `before`. They were written by
    /// hand, such as a wildcard, or were removed from the catalogue.
    pub(super) fn unknown_abilities<'a>(
        &'a self,
        catalogue: &'a Offered,
        before: &AbilitySet,
    ) -> Vec<&'a str> {
        let was_there = |ability: &str| before.iter().any(|each| each.as_str() == ability);
        match self.is_by_resource() {
            true => self.others(catalogue).filter(|ability| !was_there(ability)).collect(),
            false => Vec::new(),
        }
    }

    /// Returns whether the access is chosen for each resource, and not by a preset.
    pub(super) fn is_by_resource(&self) -> bool {
        matches!(&*self.access, CUSTOM | "")
    }

    /// Returns the chosen abilities that the catalogue does not have.
    pub(super) fn others<'a>(&'a self, offered: &'a Offered) -> impl Iterator<Item = &'a str> {
        let is_known =
            |ability: &str| offered.entries().any(|entry| entry.ability.as_str() == ability);
        self.abilities.iter().map(|ability| &**ability).filter(move |ability| !is_known(ability))
    }
}
