//! [`Checks`]: what options are checked against before the database is opened.

use std::time::SystemTime;

use tower_api_key::key::{AbilityCatalogue, KeyFormats};
use tower_api_key::{Ability, ManageError};

use crate::line::is_name;
use crate::mistakes::Mistakes;

/// What options are checked against, so that all mistakes are reported at once.
pub(crate) struct Checks<'a> {
    pub(crate) formats: &'a KeyFormats,
    /// The abilities that exist, if the environment lists them.
    pub(crate) abilities: Option<&'a AbilityCatalogue>,
    pub(crate) now: SystemTime,
}

impl Checks<'_> {
    pub(crate) fn knows(&self, ability: &Ability) -> bool {
        self.abilities.is_none_or(|catalogue| catalogue.knows(ability))
    }
}

/// Checks the name of a key, which is at `place`.
pub(crate) fn check_name(name: &str, place: String, mistakes: &mut Mistakes) {
    if !is_name(name) {
        mistakes.refuse(place, &ManageError::Name);
    }
}
