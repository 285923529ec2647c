//! [`Mistakes`]: what is wrong with which field.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Map, Value};

use super::texts::{PageTexts, fill};
use crate::manage::api::ApiError;

/// A field of the form for a key, or the form as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Form,
    Name,
    Stage,
    Abilities,
    Expiry,
    Grace,
    Limits,
    Addresses,
    Origins,
    Referrers,
    Endpoints,
}

impl Place {
    /// Returns the id of the field.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Name => "name",
            Self::Stage => "stage",
            Self::Abilities => "abilities",
            Self::Expiry => "expiry",
            Self::Grace => "grace",
            Self::Limits => "limits",
            Self::Addresses => "addresses",
            Self::Origins => "origins",
            Self::Referrers => "referrers",
            Self::Endpoints => "endpoints",
        }
    }

    /// Returns what the field is called.
    pub(super) fn label(self, texts: &PageTexts) -> Option<&str> {
        Some(match self {
            Self::Form => return None,
            Self::Name => &texts.name,
            Self::Stage => &texts.stage,
            Self::Abilities => &texts.abilities,
            Self::Expiry => &texts.expiry,
            Self::Grace => &texts.grace,
            Self::Limits => &texts.limits,
            Self::Addresses => &texts.addresses,
            Self::Origins => &texts.origins,
            Self::Referrers => &texts.referrers,
            Self::Endpoints => &texts.endpoints,
        })
    }

    /// Tells whether the field is among those that are folded away.
    pub(super) const fn is_folded(self) -> bool {
        matches!(
            self,
            Self::Limits | Self::Addresses | Self::Origins | Self::Referrers | Self::Endpoints
        )
    }
}

/// What is wrong with which field.
#[derive(Clone, Debug, Default)]
pub(super) struct Mistakes {
    pub(super) list: Vec<(Place, String)>,
    pub(super) status: Option<StatusCode>,
    /// Where to go on, and what that is called.
    pub(super) link: Option<(String, String)>,
}

impl Mistakes {
    pub(super) fn of(place: Place, says: impl Into<String>) -> Self {
        let mut mistakes = Self::default();
        mistakes.add(place, says.into());
        mistakes
    }

    pub(super) fn add(&mut self, place: Place, says: String) {
        if self.at(place).is_none() {
            self.list.push((place, says));
            self.list.sort();
        }
    }

    pub(super) fn at(&self, place: Place) -> Option<&str> {
        self.list.iter().find(|(each, _)| *each == place).map(|(_, says)| &**says)
    }

    pub(super) fn are_folded(&self) -> bool {
        self.list.iter().any(|(place, _)| place.is_folded())
    }

    /// Returns the status of an answer that shows them.
    pub(super) fn status(&self) -> StatusCode {
        match self.list.is_empty() {
            true => StatusCode::OK,
            false => self.status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY),
        }
    }

    /// Adds what the API says of a field.
    pub(super) fn blame(&mut self, error: &ApiError, texts: &PageTexts) -> Place {
        let (place, line) = place_of(error.field());
        let message: Cow<'_, str> = match (place, error.status()) {
            (Place::Name, StatusCode::UNPROCESSABLE_ENTITY) => (&*texts.wrong_name).into(),
            _ => error.message().into(),
        };
        let says = match line {
            Some(line) => fill(&texts.in_line, &[("n", &line.to_string()), ("error", &message)]),
            None => message.into_owned(),
        };
        self.add(place, says);
        self.status.get_or_insert(error.status());
        place
    }

    /// Reads what the API would be sent, again and again without what is wrong, so that all of it is said at
    /// once.
    pub(super) fn read<T>(
        &mut self,
        json: &Map<String, Value>,
        read: impl Fn(Value) -> Result<T, ApiError>,
        texts: &PageTexts,
    ) -> Option<T> {
        let mut left = json.clone();
        // Each time, one field less is left.
        for _ in 0..=json.len() + 4 {
            let error = match read(left.clone().into()) {
                Ok(read) => return self.list.is_empty().then_some(read),
                Err(error) => error,
            };
            let place = self.blame(&error, texts);
            match place {
                Place::Form => break,
                Place::Name => drop(left.insert("name".to_owned(), "name".into())),
                Place::Addresses | Place::Origins | Place::Referrers | Place::Endpoints => {
                    left["restrictions"][place.id()] = Value::Null;
                }
                _ => drop(left.remove(place.id())),
            }
        }
        None
    }
}

/// Returns which field of the form is to blame for a field of the API, and in which line.
fn place_of(field: Option<&str>) -> (Place, Option<usize>) {
    let Some(field) = field else { return (Place::Form, None) };
    let (path, line) = match field.split_once('[') {
        Some((path, rest)) => (path, rest.trim_end_matches(']').parse().ok()),
        None => (field, None),
    };
    let line = line.map(|index: usize| index + 1);
    match path {
        "name" => (Place::Name, None),
        "stage" | "prefix" => (Place::Stage, None),
        "abilities" => (Place::Abilities, None),
        "expires_at" => (Place::Expiry, None),
        "limits" => (Place::Limits, line),
        "restrictions.addresses" => (Place::Addresses, line),
        "restrictions.origins" => (Place::Origins, line),
        "restrictions.referrers" => (Place::Referrers, line),
        "restrictions.endpoints" => (Place::Endpoints, line),
        "restrictions" => (Place::Addresses, None),
        _ => (Place::Form, None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manage::api::CreateKey;

    #[test]
    fn all_that_is_wrong_is_said_at_once_beside_its_field() {
        let json = json!({
            "name": "fine",
            "stage": "not a stage",
            "abilities": ["bots:read"],
            "limits": ["100 per minute", "often"],
            "restrictions": { "addresses": ["192.0.2.1", "home"], "origins": ["shop"] },
        });
        let mut mistakes = Mistakes::default();
        let read = mistakes.read(json.as_object().unwrap(), CreateKey::read, &PageTexts::english());
        assert!(read.is_none());
        let places: Vec<_> = mistakes.list.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, [Place::Stage, Place::Limits, Place::Addresses, Place::Origins]);
        assert!(mistakes.at(Place::Addresses).unwrap().starts_with("Line 2: "));
        assert_eq!(mistakes.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
}
