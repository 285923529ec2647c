//! The form for a new key, and its handler.

use std::time::Duration;

use http::StatusCode;
use maud::{Markup, html};

use super::fields::summary;
use super::form::Form;
use super::key_fields::KeyFields;
use super::key_form::KeyForm;
use super::key_parts::name;
use super::mistakes::Mistakes;
use super::offered::Offered;
use super::place::Place;
use super::reply::{Outcome, Reply};
use super::secret;
use super::site::Site;
use super::token::Token;
use super::visit::Visit;
use crate::key::{AbilitySet, KeyDigest, KeyHasher, KeyId, KeyKind};
use crate::manage::ManageError;
use crate::manage::api::{ApiError, CreateKey, Rules};
use crate::manage::name::check_name;
use crate::manage::once::Once;
use crate::store::{KeyState, NewKey, StoredKey};

/// How long a repeated form shows a new secret, if it is not known whether the first one was used.
pub(super) const AGAIN: Duration = Duration::from_secs(10 * 60);

/// How often repeated forms may rotate a key.
const ROTATIONS: usize = 20;

/// Shows an empty form.
pub(super) fn ask(visit: &Visit<'_>, kind: KeyKind) -> Outcome {
    check_kind(visit, kind)?;
    let form = KeyForm::empty(kind, visit.site.settings, token()?);
    Ok(form_page(visit.site, Some(&visit.offered()), &form, &Mistakes::default()))
}

/// Issues a key, or shows the form with its mistakes.
pub(super) async fn create(visit: &Visit<'_>, kind: KeyKind, sent: &Form) -> Outcome {
    check_kind(visit, kind)?;
    let (site, settings) = (visit.site, visit.site.settings);
    let offered = visit.offered();
    let typed = read(kind, sent)?;
    let json = typed.to_json(&offered);
    let mut mistakes = Mistakes::default();
    if check_name(&typed.name).is_err() {
        mistakes.add(Place::Name, site.texts().wrong_name.to_string());
    }
    if !settings.offers_stage(kind, &typed.stage) {
        mistakes.add(Place::Stage, site.texts().wrong_stage.to_string());
    }
    mistakes.check_access(
        &typed,
        (&settings.offered, &offered),
        &AbilitySet::default(),
        site.texts(),
    );
    mistakes.check_date(&typed, None, settings);
    let expires_at = typed.expires_at(settings, site.now);
    if expires_at.is_err() {
        mistakes.add(Place::Expiry, site.texts().wrong_expiry.to_string());
    }
    let read =
        mistakes.read(CreateKey::read(json.clone().into(), Rules::NONE), &typed, site.texts());
    let (Some(read), Ok(expires_at)) = (read, expires_at) else {
        return Ok(form_page(site, Some(&offered), &typed, &mistakes));
    };
    let mut key = NewKey::from(read).kind(kind).keep_public_text();
    if let Some(time) = expires_at {
        key = key.expires_at(time);
    }
    // The days count from now, which is later for a repeated form.
    let asked_for = format!("{} {} {}", serde_json::Value::from(json), typed.expiry, typed.date);
    let request: KeyDigest = KeyHasher::sha256().digest(&asked_for);
    match visit.keys.issue_once(key, &typed.token.request(), &request).await {
        Ok(Once::New(issued)) => Ok(secret::page(site, &issued.record, &issued.secret, false)),
        Ok(Once::Before { id, is_same }) => again(visit, &id, is_same).await,
        Err(error) => {
            mistakes.refuse(error, site.texts());
            Ok(form_page(site, Some(&offered), &typed, &mistakes))
        }
    }
}

/// Answers a repeated form. If a button is pressed twice, the first answer with the secret is lost. So the key is
/// rotated at once and the new secret is shown, unless the key was used or somebody else has its secret.
async fn again(visit: &Visit<'_>, id: &KeyId, is_same: bool) -> Outcome {
    let mut key = visit.keys.get(id).await?;
    let first = key.clone();
    for _ in 0..ROTATIONS {
        if !is_same || !may_show_another(visit, &key) {
            break;
        }
        match key.record.successor() {
            Some(successor) => key = visit.keys.get(&successor.clone()).await?,
            None => match visit.keys.rotate(key.record.id(), Duration::ZERO).await {
                Ok(rotated) => {
                    return Ok(secret::page(visit.site, &rotated.record, &rotated.secret, true));
                }
                // Another request was faster, and shows the secret of the successor.
                Err(ManageError::Rotated(successor)) => key = visit.keys.get(&successor).await?,
                Err(ManageError::State(_)) => break,
                Err(error) => return Err(error.into()),
            },
        }
    }
    Ok(already_created(visit.site, &first))
}

/// Returns whether the secret of a key may have been lost with the answer to this user: the key is the user's
/// own and new, was not used, and works or was rotated for the same reason.
pub(super) fn may_show_another(visit: &Visit<'_>, key: &StoredKey) -> bool {
    let (record, now) = (&key.record, visit.site.now);
    let is_own = record.created_by() == Some(visit.keys.actor());
    let is_new = now.duration_since(record.created_at()).is_ok_and(|age| age < AGAIN)
        || record.created_at() > now;
    let works = record.state(now) == KeyState::Active || record.successor().is_some();
    is_own && is_new && key.last_used_at.is_none() && works
}

fn already_created(site: &Site<'_>, key: &StoredKey) -> Reply {
    let texts = site.texts();
    let content = html! {
        header.ak-head {
            div {
                h1 tabindex="-1" autofocus { (texts.already_created) }
                p.ak-lead { (texts.already_created_says) }
            }
        }
        p { a href=(site.key(key.record.id())) { (name(&key.record)) } }
        p.ak-actions { a.ak-button href=(site.at("new")) { (texts.another_key) } }
    };
    Reply::refused(StatusCode::CONFLICT, &*texts.already_created, content)
}

/// Reads the form. A form without a token does not come from these pages.
pub(super) fn read(kind: KeyKind, sent: &Form) -> Result<KeyForm, ApiError> {
    let token = Token::read(sent.get("token")).map_or_else(token, Ok)?;
    Ok(KeyForm::read(kind, sent, token))
}

pub(super) fn form_page(
    site: &Site<'_>,
    offered: Option<&Offered>,
    form: &KeyForm,
    mistakes: &Mistakes,
) -> Reply {
    let texts = site.texts();
    let (title, lead, path) = match form.kind {
        KeyKind::Secret => (&texts.new_key, &texts.new_key_lead, "new"),
        KeyKind::Public => (&texts.new_public_key, &texts.new_public_key_lead, "new-public"),
    };
    let fields = KeyFields { site, offered, form, mistakes, is_new: true }.show();
    let content = html! {
        header.ak-head { div { (back(site)) h1 { (title) } p.ak-lead { (lead) } } }
        (summary(mistakes, texts))
        form.ak-form method="post" action=(site.at(path)) novalidate data-ak-once {
            (fields)
            div.ak-actions {
                button.ak-button.ak-primary type="submit" { (texts.create) }
                a.ak-button href=(site.list()) { (texts.cancel) }
            }
        }
    };
    Reply::refused(mistakes.status(), &**title, content)
}

/// Shows the way back to the list.
pub(super) fn back(site: &Site<'_>) -> Markup {
    html! { p.ak-back { a href=(site.list()) { span aria-hidden="true" { "← " } (site.texts().keys) } } }
}

fn check_kind(visit: &Visit<'_>, kind: KeyKind) -> Result<(), ApiError> {
    match kind == KeyKind::Public && !visit.site.settings.issues_public_keys() {
        true => Err(ApiError::not_found()),
        false => Ok(()),
    }
}

pub(super) fn token() -> Result<Token, ApiError> {
    Token::new().ok_or_else(ApiError::unavailable)
}
