//! What is done to a key in one step, each with the form that asks for it.

use std::time::Duration;

use http::StatusCode;
use maud::{Markup, html};

use super::create::{back, may_show_another};
use super::fields::{Choice, Described, summary};
use super::form::Form;
use super::key_parts::{hint, name};
use super::mistakes::{Mistakes, Place};
use super::reply::{Outcome, Reply};
use super::secret;
use super::site::Site;
use super::texts::PageTexts;
use super::time::relative;
use super::visit::Visit;
use crate::key::KeyId;
use crate::manage::api::ApiError;
use crate::manage::name::check_name;
use crate::manage::{KeyUpdate, ManageError};
use crate::store::{KeyState, StoredKey};

/// For how long a rotated key works on, in seconds.
const GRACES: [u64; 4] = [0, 3600, 86_400, 604_800];

/// Where a form is sent to, and which key it is for, if that is known.
pub(super) struct Target<'a> {
    pub(super) site: &'a Site<'a>,
    pub(super) id: &'a KeyId,
    pub(super) key: Option<&'a StoredKey>,
}

impl Target<'_> {
    fn page(&self, action: &str, title: &str, mistakes: &Mistakes, fields: &Markup) -> Reply {
        let site = self.site;
        let content = html! {
            header.ak-head {
                div {
                    (back(site))
                    h1 { (title) }
                    @if let Some(key) = self.key {
                        p.ak-lead { (name(&key.record)) " " (hint(&key.record, site)) }
                    }
                }
            }
            (summary(mistakes, site.texts()))
            form.ak-form method="post" action=(site.of_key(self.id, action)) novalidate data-ak-once {
                (fields)
            }
        };
        Reply::refused(mistakes.status(), title, content)
    }

    fn buttons(&self, class: &str, label: &str) -> Markup {
        html! {
            div.ak-actions {
                button class={ "ak-button " (class) } type="submit" { (label) }
                a.ak-button href=(self.site.key(self.id)) { (self.site.texts().cancel) }
            }
        }
    }

    /// Asks for a new name.
    pub(super) fn rename(&self, typed: &str, mistakes: &Mistakes) -> Reply {
        let texts = self.site.texts();
        let field = Described::new(Place::Name, &texts.name, &texts.name_hint, mistakes);
        let fields = html! {
            (field.line(typed, "text", true))
            (self.buttons("ak-primary", &texts.save))
        };
        self.page("rename", &texts.rename, mistakes, &fields)
    }

    /// Asks how long the key that is rotated is to work on.
    pub(super) fn rotate(&self, typed: &str, mistakes: &Mistakes) -> Reply {
        let texts = self.site.texts();
        let choices = html! {
            div.ak-choices {
                @for (grace, (label, says)) in GRACES.into_iter().zip(&texts.graces) {
                    (Choice {
                        name: "grace",
                        value: &grace.to_string(),
                        label,
                        says,
                        checked: typed == grace.to_string(),
                    }.radio())
                }
            }
        };
        let fields = html! {
            div.ak-note { p { (texts.rotate_says) } }
            (Described::new(Place::Grace, &texts.grace, "", mistakes).group(&choices))
            (self.buttons("ak-primary", &texts.rotate))
        };
        self.page("rotate", &texts.rotate, mistakes, &fields)
    }

    /// Asks whether the key is really to be revoked, and says what follows.
    pub(super) fn revoke(&self, with_successors: bool, mistakes: &Mistakes) -> Reply {
        let (site, texts) = (self.site, self.site.texts());
        let record = self.key.map(|key| &*key.record);
        let fields = html! {
            div.ak-note.ak-danger-note {
                ul {
                    @if let Some(record) = record {
                        li { code { (record.hint) } " " (texts.revoke_refused) }
                    }
                    @if let Some(key) = self.key {
                        li {
                            (texts.last_used) ": "
                            @match key.last_used_at {
                                Some(time) => (relative(time, site.now, texts)),
                                None => (texts.never),
                            }
                        }
                    }
                    li { (texts.revoke_for_good) }
                    li { (texts.revoke_instead) }
                }
            }
            @if record.is_none_or(|record| record.successor.is_some()) {
                (Choice {
                    name: "with_successors",
                    value: "true",
                    label: &texts.with_successors,
                    says: &texts.with_successors_says,
                    checked: with_successors,
                }.check_box())
            }
            div.ak-actions {
                button.ak-button.ak-danger.ak-filled type="submit" {
                    span {
                        (texts.revoke)
                        @if let Some(record) = record { " " (name(record)) }
                    }
                }
                a.ak-button href=(site.key(self.id)) { (texts.cancel) }
            }
        };
        self.page("revoke", &texts.revoke, mistakes, &fields)
    }

    /// Asks again to take a key out of use, or to put it into use.
    pub(super) fn switch(&self, disables: bool, mistakes: &Mistakes) -> Reply {
        let texts = self.site.texts();
        let (action, label) = switch_of(disables, texts);
        self.page(action, label, mistakes, &self.buttons("ak-primary", label))
    }
}

fn switch_of(disables: bool, texts: &PageTexts) -> (&'static str, &str) {
    match disables {
        true => ("disable", &texts.disable),
        false => ("enable", &texts.enable),
    }
}

/// Finds the key that the path names.
async fn target<'a>(visit: &'a Visit<'_>) -> Result<(&'a KeyId, StoredKey), ApiError> {
    let id = visit.key_id()?;
    Ok((id, visit.keys.get(id).await?))
}

pub(super) async fn ask_to_rename(visit: &Visit<'_>) -> Outcome {
    let (id, key) = target(visit).await?;
    let form = Target { site: visit.site, id, key: Some(&key) };
    Ok(form.rename(&key.record.name, &Mistakes::default()))
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
            Err(error) => drop(mistakes.blame(&ApiError::from(error), site.texts())),
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
    // As with a new key, but only for who has rotated it: a button was pressed twice.
    if let Err(ManageError::Rotated(successor)) = &rotated {
        let successor = visit.keys.get(successor).await?;
        let is_own = successor.record.created_by.as_ref() == Some(visit.keys.actor());
        if is_own && may_show_another(&successor, site.now) {
            rotated = visit.keys.rotate(&successor.record.id, Duration::ZERO).await;
            is_again = true;
        }
    }
    match rotated {
        Ok(rotated) => Ok(secret::page(site, &rotated.record, &rotated.secret, is_again)),
        Err(error) => {
            let mut mistakes = Mistakes::default();
            mistakes.blame(&ApiError::from(error), site.texts());
            Ok(form.rotate(typed, &mistakes))
        }
    }
}

/// Says beforehand why a key cannot be rotated.
fn refusal(key: &StoredKey, site: &Site<'_>) -> Mistakes {
    let error = match (&key.record.successor, key.record.state(site.now)) {
        (Some(successor), _) => ManageError::Rotated(successor.clone()),
        (None, KeyState::Active) => return Mistakes::default(),
        (None, state) => ManageError::State(state),
    };
    let mut mistakes = Mistakes::default();
    mistakes.blame(&ApiError::from(error), site.texts());
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
            mistakes.blame(&ApiError::from(error), site.texts());
            Ok(Target { site, id, key: Some(&key) }.revoke(with_successors, &mistakes))
        }
    }
}

/// Takes a key out of use, or puts it into use again.
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
            mistakes.blame(&ApiError::from(error), visit.site.texts());
            Ok(Target { site: visit.site, id, key: Some(&key) }.switch(disables, &mistakes))
        }
    }
}

/// Goes on to the page of the key, which says what was done.
pub(super) fn done(site: &Site<'_>, id: &KeyId, what: &str) -> Reply {
    Reply::See(format!("{}?done={what}", site.key(id)))
}
