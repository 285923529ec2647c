//! The body of the API for a form, so that the same code reads it and finds the mistakes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::key_form::KeyForm;
use super::offered::Offered;
use crate::key::{Ability, AbilitySet};
use crate::store::KeyRecord;

impl KeyForm {
    /// Returns the body of the API for a new key, without its expiry.
    pub(super) fn to_json(&self, offered: &Offered) -> Map<String, Value> {
        let mut json = Map::new();
        json.insert("name".to_owned(), self.name.as_str().into());
        if !self.stage.is_empty() {
            json.insert("stage".to_owned(), self.stage.as_str().into());
        }
        json.insert("abilities".to_owned(), self.chosen(offered).into());
        json.insert("limits".to_owned(), items(&self.limits).into());
        let restrictions = self.lists().into_iter().map(|(name, text)| {
            let items = items(text);
            (name.to_owned(), if items.is_empty() { Value::Null } else { items.into() })
        });
        json.insert("restrictions".to_owned(), restrictions.collect::<Map<_, _>>().into());
        json
    }

    /// Returns the body of the API for the changes of a record, without its expiry.
    ///
    /// Unchanged fields are left out: a form cannot express everything, such as a list that allows nothing.
    pub(super) fn to_changes(&self, record: &KeyRecord, offered: &Offered) -> Map<String, Value> {
        let before = Self::of_record(record, offered, self.token.clone());
        let mut json = self.to_json(offered);
        json.remove("stage");
        if self.name == before.name {
            json.remove("name");
        }
        let chosen: BTreeSet<_> = self.chosen(offered).into_iter().collect();
        if *record.abilities() == set(&chosen) {
            json.remove("abilities");
        }
        if items(&self.limits) == items(&before.limits) {
            json.remove("limits");
        }
        let mut lists = json!(record.restrictions());
        let mut is_changed = false;
        for ((name, now), (_, before)) in self.lists().into_iter().zip(before.lists()) {
            if items(now) != items(before) {
                is_changed = true;
                lists[name] = json["restrictions"][name].take();
            }
        }
        match is_changed {
            true => drop(json.insert("restrictions".to_owned(), lists)),
            false => drop(json.remove("restrictions")),
        }
        json
    }

    fn lists(&self) -> [(&'static str, &str); 4] {
        [
            ("addresses", &self.addresses),
            ("origins", &self.origins),
            ("referrers", &self.referrers),
            ("endpoints", &self.endpoints),
        ]
    }
}

fn set(abilities: &BTreeSet<String>) -> AbilitySet {
    abilities.iter().filter_map(|ability| ability.parse::<Ability>().ok()).collect()
}

fn items(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}
