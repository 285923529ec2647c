//! The catalogue of abilities in the environment, for all commands.

use std::env;

use tower_api_key::key::AbilityCatalogue;

use crate::exit::Failure;
use crate::id::parse_ability;
use crate::surplus::Surplus;

const NAME: &str = "API_KEYS_ABILITIES";

/// Returns the abilities in the environment, if there are any.
pub(crate) fn abilities() -> Result<Option<AbilityCatalogue>, Failure> {
    let text = match env::var(NAME) {
        Ok(text) => text,
        Err(env::VarError::NotPresent) => return Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            return Err(Failure::usage(format!("{NAME} is not text")));
        }
    };
    Surplus::check(&text).map_err(|surplus| Failure::usage(format!("{NAME} {surplus}")))?;
    let mut catalogue = AbilityCatalogue::new();
    for (index, text) in text.split_whitespace().enumerate() {
        let wrong = |error| Failure::usage(format!("{NAME}, ability {}: {error}", index + 1));
        let ability = parse_ability(text).map_err(wrong)?;
        if ability.is_wildcard() {
            return Err(wrong("wildcards are not allowed here: list the abilities".to_owned()));
        }
        catalogue = catalogue.ability(ability, text);
    }
    Ok(Some(catalogue))
}
