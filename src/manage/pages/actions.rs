//! The handlers that rename, rotate, revoke, disable and enable a key.

use std::time::Duration;

use http::StatusCode;

use super::action_forms::{GRACES, Target};
use super::create::may_show_another;
use super::form::Form;
use super::mistakes::Mistakes;
use super::place::Place;
use super::reply::{Outcome, Reply};
use super::secret;
use super::site::Site;
use super::visit::Visit;
use crate::key::KeyId;
use crate::manage::api::ApiError;
use crate::manage::name::check_name;
use crate::manage::{KeyUpdate, ManageError};
use crate::store::{KeyState, StoredKey};

/// Finds the key that the path names.
async fn target<'a>(visit: &'a Visit<'_>) -> Result<(&'a KeyId, StoredKey), ApiError> {
    let id = visit.key_id()?;
    Ok((id, visit.keys.get(id).await?))
}

pub(super) async fn ask_to_rename(visit: &Visit<'_>) -> Outcome {
    let (id, key) = target(visit).await?;
    let form = Target { site: visit.site, id, key: Some(&key) };
    Ok(form.rename(key.record.name(), &Mistakes::default()))
}

pub(super) async fn rename(visit: &Visit<'_>, sent: &Form) -> Outcome {
    let (id, key) = target(visit).await?;
    let (site, typed) = (visit.site, sent.get("name"));
    let mut mistakes = Mistakes::default();
    if check_name(typed).is_err() {
        mistakes.add(Place::Name, site.texts().wrong_name.to_string());
    } else {
        match visit.keys.update(id, &KeyUpdate::new().name(typed)).await {
            Ok(_) => return Ok(done(site, id, "renamed")),
            Err(error) => mistakes.refuse(error, site.texts()),
        }
    }
    Ok(Target { site, id, key: Some(&key) }.rename(typed, &mistakes))
}

pub(super) async fn ask_to_rotate(visit: &Visit<'_>) -> Outcome {
    let (id, key) = target(visit).await?;
    let form = Target { site: visit.site, id, key: Some(&key) };
    Ok(form.rotate("86400", &refusal(&key, visit.site)))
}

pub(super) async fn rotate(visit: &Visit<'_>, sent: &Form) -> Outcome {
    let (id, key) = target(visit).await?;
    let (site, typed) = (visit.site, sent.get("grace"));
    let form = Target { site, id, key: Some(&key) };
    let grace = GRACES.into_iter().find(|grace| grace.to_string() == typed);
    let Some(grace) = grace else {
        return Ok(form.rotate(typed, &Mistakes::of(Place::Grace, &*site.texts().wrong_grace)));
    };
    let mut rotated = visit.keys.rotate(id, Duration::from_secs(grace)).await;
    let mut is_again = false;
    // As for a new key: the button was pressed twice.
    if let Err(ManageError::Rotated(successor)) = &rotated {
        let successor = visit.keys.get(successor).await?;
        if may_show_another(visit, &successor) {
            rotated = visit.keys.rotate(successor.record.id(), Duration::ZERO).await;
            is_again = true;
        }
    }
    match rotated {
        Ok(rotated) => Ok(secret::page(site, &rotated.record, &rotated.secret, is_again)),
        Err(error) => {
            let mut mistakes = Mistakes::default();
            mistakes.refuse(error, site.texts());
            Ok(form.rotate(typed, &mistakes))
        }
    }
}

/// Returns the reason why a key cannot be rotated, before the form is shown.
fn refusal(key: &StoredKey, site: &Site<'_>) -> Mistakes {
    let error = match (key.record.successor(), key.record.state(site.now)) {
        (Some(successor), _) => ManageError::Rotated(successor.clone()),
        (None, KeyState::Active) => return Mistakes::default(),
        (None, state) => ManageError::State(state),
    };
    let mut mistakes = Mistakes::default();
    mistakes.refuse(error, site.texts());
    mistakes.status = Some(StatusCode::OK);
    mistakes
}

pub(super) async fn ask_to_revoke(visit: &Visit<'_>) -> Outcome {
    let (id, key) = target(visit).await?;
    Ok(Target { site: visit.site, id, key: Some(&key) }.revoke(false, &Mistakes::default()))
}

pub(super) async fn revoke(visit: &Visit<'_>, sent: &Form) -> Outcome {
    let (id, key) = target(visit).await?;
    let (site, with_successors) = (visit.site, sent.get("with_successors") == "true");
    let revoked = match with_successors {
        true => visit.keys.revoke_with_successors(id).await,
        false => visit.keys.revoke(id).await,
    };
    match revoked {
        Ok(_) => Ok(done(site, id, "revoked")),
        Err(error) => {
            let mut mistakes = Mistakes::default();
            mistakes.refuse(error, site.texts());
            Ok(Target { site, id, key: Some(&key) }.revoke(with_successors, &mistakes))
        }
    }
}

/// Disables or enables a key.
pub(super) async fn switch(visit: &Visit<'_>, disables: bool) -> Outcome {
    let (id, key) = target(visit).await?;
    let changed = match disables {
        true => visit.keys.disable(id).await,
        false => visit.keys.enable(id).await,
    };
    match changed {
        Ok(_) => Ok(done(visit.site, id, if disables { "disabled" } else { "enabled" })),
        Err(error) => {
            let mut mistakes = Mistakes::default();
            mistakes.refuse(error, visit.site.texts());
            Ok(Target { site: visit.site, id, key: Some(&key) }.switch(disables, &mistakes))
        }
    }
}

/// Redirects to the page of the key, which confirms the change.
pub(super) fn done(site: &Site<'_>, id: &KeyId, what: &str) -> Reply {
    Reply::See(format!("{}?done={what}", site.key(id)))
}
