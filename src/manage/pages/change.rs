//! The form that changes a key.

use http::StatusCode;
use maud::html;

use super::actions::done;
use super::create::{back, read, token};
use super::fields::summary;
use super::form::Form;
use super::key_fields::KeyFields;
use super::key_form::{KEEP, KeyForm};
use super::key_parts::{hint, name};
use super::mistakes::Mistakes;
use super::offered::Offered;
use super::place::Place;
use super::reply::{Outcome, Reply};
use super::site::Site;
use super::visit::Visit;
use crate::key::KeyId;
use crate::manage::api::{Rules, UpdateKey};
use crate::manage::name::check_name;
use crate::manage::{KeyUpdate, ManageError};
use crate::store::StoredKey;

pub(super) async fn ask(visit: &Visit<'_>) -> Outcome {
    let id = visit.key_id()?;
    let key = visit.keys.get(id).await?;
    let offered = visit.offered();
    let form = KeyForm::of_record(&key.record, &offered, token()?);
    Ok(form_page(visit.site, Some(&offered), id, Some(&key), &form, &Mistakes::default()))
}

/// Changes a key, or shows the form with its mistakes.
pub(super) async fn change(visit: &Visit<'_>, sent: &Form) -> Outcome {
    let id = visit.key_id()?;
    let (site, settings) = (visit.site, visit.site.settings);
    let mut key = visit.keys.get(id).await?;
    let offered = visit.offered();
    let mut typed = read(key.record.kind(), sent)?;
    let mut mistakes = Mistakes::default();
    if typed.revision != key.record.revision().to_string() {
        changed_meanwhile(site, &key, &mut typed, &mut mistakes);
    }
    if check_name(&typed.name).is_err() {
        mistakes.add(Place::Name, site.texts().wrong_name.to_string());
    }
    mistakes.check_access(
        &typed,
        (&settings.offered, &offered),
        key.record.abilities(),
        site.texts(),
    );
    mistakes.check_date(&typed, key.record.expires_at(), settings);
    let expires_at = match &*typed.expiry {
        KEEP => Ok(None),
        _ => typed.expires_at(settings, site.now).map(Some),
    };
    if expires_at.is_err() {
        mistakes.add(Place::Expiry, site.texts().wrong_expiry.to_string());
    }
    let json = typed.to_changes(&key.record, &offered);
    let update = mistakes.read(UpdateKey::read(json.into(), Rules::NONE), &typed, site.texts());
    if let (Some(update), Ok(expires_at)) = (update, expires_at) {
        let mut update = KeyUpdate::from(update);
        if let Some(expires_at) = expires_at {
            update = update.expires_at(expires_at);
        }
        match visit.keys.update_revision(id, key.record.revision(), &update).await {
            Ok(_) => return Ok(done(site, id, "changed")),
            Err(ManageError::Conflict) => {
                key = visit.keys.get(id).await?;
                changed_meanwhile(site, &key, &mut typed, &mut mistakes);
            }
            Err(error) => mistakes.refuse(error, site.texts()),
        }
    }
    Ok(form_page(site, Some(&offered), id, Some(&key), &typed, &mistakes))
}

/// Informs the user that another change would be overwritten. Sending the form again overwrites it.
fn changed_meanwhile(
    site: &Site<'_>,
    key: &StoredKey,
    typed: &mut KeyForm,
    mistakes: &mut Mistakes,
) {
    mistakes.add(Place::Form, site.texts().changed_meanwhile.to_string());
    mistakes.status = Some(StatusCode::CONFLICT);
    typed.revision = key.record.revision().to_string();
}

pub(super) fn form_page(
    site: &Site<'_>,
    offered: Option<&Offered>,
    id: &KeyId,
    key: Option<&StoredKey>,
    form: &KeyForm,
    mistakes: &Mistakes,
) -> Reply {
    let texts = site.texts();
    let fields = KeyFields { site, offered, form, mistakes, is_new: false }.show();
    let content = html! {
        header.ak-head {
            div {
                (back(site))
                h1 { (texts.change) }
                @if let Some(key) = key {
                    p.ak-lead { (name(&key.record)) " " (hint(&key.record, site)) }
                }
            }
        }
        (summary(mistakes, texts))
        form.ak-form method="post" action=(site.of_key(id, "change")) novalidate data-ak-once {
            (fields)
            div.ak-actions {
                button.ak-button.ak-primary type="submit" { (texts.save) }
                a.ak-button href=(site.key(id)) { (texts.cancel) }
            }
        }
    };
    Reply::refused(mistakes.status(), &*texts.change, content)
}
