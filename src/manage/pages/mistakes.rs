//! [`Mistakes`]: the mistakes in a form, by field.

use std::time::SystemTime;

use http::StatusCode;

use super::expiry::Expiry;
use super::key_form::KeyForm;
use super::offered::Offered;
use super::place::Place;
use super::settings::Settings;
use super::texts::{PageTexts, fill};
use super::time::Civil;
use crate::key::{Ability, AbilitySet, IssueError};
use crate::manage::ManageError;
use crate::manage::api::ApiError;
use crate::store::KeyState;

/// The mistakes in a form, by field.
#[derive(Clone, Debug, Default)]
pub(super) struct Mistakes {
    pub(super) list: Vec<(Place, String)>,
    pub(super) status: Option<StatusCode>,
    /// A link to continue, and its text.
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

    /// Checks the chosen access: it is offered, and does not contradict itself. `before` is what the key has already.
    pub(super) fn check_access(
        &mut self,
        typed: &KeyForm,
        (catalogue, offered): (&Offered, &Offered),
        before: &AbilitySet,
        texts: &PageTexts,
    ) {
        if !typed.has_access(offered) {
            self.add(Place::Abilities, texts.wrong_access.to_string());
        }
        let unknown = typed.unknown_abilities(catalogue, before);
        if !unknown.is_empty() {
            let says = fill(&texts.wrong_abilities, &[("abilities", &listed(unknown))]);
            self.add(Place::Abilities, says);
        }
        let without_effect = typed.boxes_without_effect((catalogue, offered), before);
        let says: Vec<_> = without_effect
            .map(|(resource, abilities)| {
                let level = match typed.is_by_resource() {
                    true => resource.in_words(resource.level_of_boxes(), texts),
                    false => &texts.by_resource,
                };
                let values = [
                    ("resource", &*resource.title),
                    ("abilities", &listed(abilities)),
                    ("level", level),
                ];
                fill(&texts.wrong_boxes, &values)
            })
            .collect();
        if !says.is_empty() {
            self.add(Place::Abilities, says.join(" "));
        }
    }

    /// Checks that a typed date is the chosen expiry. `before` is the expiry that the form shows as a date.
    pub(super) fn check_date(
        &mut self,
        typed: &KeyForm,
        before: Option<SystemTime>,
        settings: &Settings,
    ) {
        let (texts, offers_dates) = (&settings.texts, settings.expiries.contains(&Expiry::Date));
        let shown = before.map(|time| Civil::of(time).date()).unwrap_or_default();
        // Without that choice, the form has no date.
        if offers_dates && typed.has_date_without_effect() && typed.date != shown {
            self.add(Place::Expiry, fill(&texts.wrong_date, &[("choice", &texts.on_date)]));
        }
    }

    pub(super) fn at(&self, place: Place) -> Option<&str> {
        self.list.iter().find(|(each, _)| *each == place).map(|(_, says)| &**says)
    }

    pub(super) fn are_folded(&self) -> bool {
        self.list.iter().any(|(place, _)| place.is_folded())
    }

    /// Returns the status of an answer that shows the mistakes.
    pub(super) fn status(&self) -> StatusCode {
        match self.list.is_empty() {
            true => StatusCode::OK,
            false => self.status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY),
        }
    }

    /// Adds the error of the manager.
    pub(super) fn refuse(&mut self, error: ManageError, texts: &PageTexts) {
        let says = in_words(&error, texts);
        let error = ApiError::from(error);
        let (place, _) = place_of(error.field());
        self.add(place, says);
        self.status.get_or_insert(error.status());
    }

    /// Returns what was read of the body of the API, or adds its wrong fields.
    pub(super) fn read<T>(
        &mut self,
        read: Result<T, ApiError>,
        typed: &KeyForm,
        texts: &PageTexts,
    ) -> Option<T> {
        match read {
            Ok(read) => self.list.is_empty().then_some(read),
            Err(error) => {
                for (field, message) in error.errors() {
                    self.blame(field, message, typed, texts);
                }
                self.status.get_or_insert(error.status());
                None
            }
        }
    }

    fn blame(&mut self, field: Option<&str>, message: &str, typed: &KeyForm, texts: &PageTexts) {
        let (place, item) = place_of(field);
        let form = place.wrong(texts).unwrap_or("{error}");
        let says = fill(form, &[("error", message)]);
        let says = match item.and_then(|item| typed.line_of(place, item)) {
            Some(line) => fill(&texts.in_line, &[("n", &line.to_string()), ("error", &says)]),
            None => says,
        };
        self.add(place, says);
    }
}

/// Lists abilities, each as code.
fn listed<'a>(abilities: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = abilities.into_iter().map(|ability| format!("`{ability}`"));
    quoted.collect::<Vec<_>>().join(", ")
}

/// Describes an error of the manager.
fn in_words(error: &ManageError, texts: &PageTexts) -> String {
    let says = match error {
        ManageError::NotFound => &texts.not_found,
        ManageError::Name => &texts.wrong_name,
        ManageError::Expiry => &texts.wrong_expiry,
        ManageError::UnknownAbility(unknown) => {
            let unknown = listed(unknown.iter().map(Ability::as_str));
            return fill(&texts.wrong_abilities, &[("abilities", &unknown)]);
        }
        ManageError::Exceeds(_) => &texts.exceeds,
        ManageError::State(KeyState::Suspended) | ManageError::Suspended => &texts.suspended_says,
        ManageError::State(state) => {
            return fill(&texts.in_this_state, &[("state", texts.state_named(*state))]);
        }
        ManageError::Rotated(_) => &texts.already_rotated,
        ManageError::Format => &texts.old_format,
        ManageError::Issue(
            IssueError::Ambiguous(_) | IssueError::Prefix(_) | IssueError::Meaning(_),
        ) => &texts.wrong_stage,
        ManageError::TooManyKeys(most) => {
            return fill(&texts.too_many_keys, &[("n", &most.to_string())]);
        }
        ManageError::Invalid(_)
        | ManageError::NoAuditLog
        | ManageError::UsageNotKept
        | ManageError::UsageRange
        | ManageError::Issue(_)
        | ManageError::Conflict
        | ManageError::Deadline(_)
        | ManageError::Store(_) => &texts.unavailable,
    };
    says.to_string()
}

/// Returns the field of the form for a field of the API, and the index of its item.
fn place_of(field: Option<&str>) -> (Place, Option<usize>) {
    let Some(field) = field else { return (Place::Form, None) };
    let (path, item) = match field.split_once('[') {
        Some((path, rest)) => (path, rest.trim_end_matches(']').parse().ok()),
        None => (field, None),
    };
    match path {
        "name" => (Place::Name, None),
        "stage" | "prefix" => (Place::Stage, None),
        "abilities" => (Place::Abilities, None),
        "expires_at" => (Place::Expiry, None),
        "limits" => (Place::Limits, item),
        "restrictions.addresses" => (Place::Addresses, item),
        "restrictions.origins" => (Place::Origins, item),
        "restrictions.referrers" => (Place::Referrers, item),
        "restrictions.endpoints" => (Place::Endpoints, item),
        "restrictions" => (Place::Addresses, None),
        _ => (Place::Form, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyKind;
    use crate::manage::api::{CreateKey, Rules};
    use crate::manage::pages::form::Form;
    use crate::manage::pages::offered::Offered;
    use crate::manage::pages::token::Token;

    fn mistakes(texts: &PageTexts) -> Mistakes {
        let sent = form_urlencoded::Serializer::new(String::new())
            .append_pair("name", "fine")
            .append_pair("stage", "not a stage")
            .append_pair("limits", "100 per minute\r\noften")
            .append_pair("addresses", "\r\n192.0.2.1\r\n \r\n home \r\n")
            .append_pair("origins", "shop")
            .finish();
        let (sent, offered) = (Form::parse(sent.as_bytes()), Offered::default());
        let typed = KeyForm::read(KeyKind::Secret, &sent, Token::new().unwrap());
        let mut mistakes = Mistakes::default();
        let read = CreateKey::read(typed.to_json(&offered).into(), Rules::NONE);
        let read = mistakes.read(read, &typed, texts);
        assert!(read.is_none());
        mistakes
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_beside_its_field_by_the_line_that_was_typed() {
        let mistakes = mistakes(&PageTexts::english());
        let places: Vec<_> = mistakes.list.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, [Place::Stage, Place::Limits, Place::Addresses, Place::Origins]);
        assert!(mistakes.at(Place::Limits).unwrap().starts_with("Line 2: "));
        assert!(mistakes.at(Place::Addresses).unwrap().starts_with("Line 4: "));
        assert_eq!(mistakes.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_product() {
        let mut texts = PageTexts::english();
        texts.in_line = "Zeile {n}: {error}".into();
        texts.wrong_addresses = "Das ist keine Adresse.".into();
        let mistakes = mistakes(&texts);
        assert_eq!(mistakes.at(Place::Addresses), Some("Zeile 4: Das ist keine Adresse."));
    }
}
