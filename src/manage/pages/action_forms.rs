//! The forms that rename, rotate, revoke, disable and enable a key.

use maud::{Markup, html};

use super::create::back;
use super::fields::{Choice, Described, summary};
use super::key_parts::{hint, name};
use super::mistakes::Mistakes;
use super::place::Place;
use super::reply::Reply;
use super::site::Site;
use super::texts::PageTexts;
use super::time::relative;
use crate::key::KeyId;
use crate::store::StoredKey;

/// The grace periods of a rotated key, in seconds.
pub(super) const GRACES: [u64; 4] = [0, 3600, 86_400, 604_800];

/// The target of a form, and its key, if it is known.
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

    /// Asks for the grace period of a rotated key.
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

    /// Asks for a confirmation of a revocation, and explains the consequences.
    pub(super) fn revoke(&self, with_successors: bool, mistakes: &Mistakes) -> Reply {
        let (site, texts) = (self.site, self.site.texts());
        let record = self.key.map(|key| &*key.record);
        let fields = html! {
            div.ak-note.ak-danger-note {
                ul {
                    @if let Some(record) = record {
                        li { code { (record.hint()) } " " (texts.revoke_refused) }
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
            @if record.is_none_or(|record| record.successor().is_some()) {
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

    /// Asks for a confirmation to disable or enable a key.
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
