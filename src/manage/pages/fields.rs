//! The fields of forms, with their labels, hints and mistakes.

use maud::{Markup, html};

use super::mistakes::Mistakes;
use super::place::Place;
use super::texts::PageTexts;

/// The descriptions of a field for screen readers.
pub(super) struct Described<'a> {
    pub(super) place: Place,
    pub(super) label: &'a str,
    pub(super) hint: &'a str,
    pub(super) mistake: Option<&'a str>,
}

impl<'a> Described<'a> {
    pub(super) fn new(place: Place, label: &'a str, hint: &'a str, mistakes: &'a Mistakes) -> Self {
        Self { place, label, hint, mistake: mistakes.at(place) }
    }

    /// Returns the ids of the elements that describe the field.
    fn by(&self) -> Option<String> {
        let id = self.place.id();
        let hint = (!self.hint.is_empty()).then(|| format!("{id}-hint"));
        let mistake = self.mistake.map(|_| format!("{id}-error"));
        match (mistake, hint) {
            (Some(mistake), Some(hint)) => Some(format!("{mistake} {hint}")),
            (mistake, hint) => mistake.or(hint),
        }
    }

    fn invalid(&self) -> Option<&'static str> {
        self.mistake.map(|_| "true")
    }

    fn hint(&self) -> Markup {
        let id = self.place.id();
        html! {
            @if !self.hint.is_empty() {
                p.ak-hint id={ (id) "-hint" } { (self.hint) }
            }
            @if let Some(mistake) = self.mistake {
                p.ak-mistake id={ (id) "-error" } { (said(mistake)) }
            }
        }
    }

    /// Shows a field of one line.
    pub(super) fn line(&self, value: &str, kind: &str, required: bool) -> Markup {
        let id = self.place.id();
        html! {
            div.ak-field {
                label for=(id) { (self.label) }
                (self.hint())
                input id=(id) name=(id) type=(kind) value=(value) required[required]
                    maxlength=[(kind == "text").then_some("100")] dir=[(kind == "text").then_some("auto")]
                    autocomplete="off"
                    aria-invalid=[self.invalid()] aria-describedby=[self.by()];
            }
        }
    }

    /// Shows a field of several lines.
    pub(super) fn lines(&self, value: &str) -> Markup {
        let id = self.place.id();
        html! {
            div.ak-field {
                label for=(id) { (self.label) }
                (self.hint())
                // Browsers drop the first line break.
                textarea id=(id) name=(id) rows="3" spellcheck="false" autocomplete="off"
                    aria-invalid=[self.invalid()] aria-describedby=[self.by()] { "\n" (value) }
            }
        }
    }

    /// Shows a group of fields.
    pub(super) fn group(&self, fields: &Markup) -> Markup {
        let id = self.place.id();
        html! {
            fieldset.ak-field id=(id) tabindex="-1"
                aria-describedby=[self.by()] {
                legend { (self.label) }
                (self.hint())
                (fields)
            }
        }
    }
}

/// Shows text between backticks as code.
fn said(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// An option of a choice.
pub(super) struct Choice<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    pub(super) label: &'a str,
    pub(super) says: &'a str,
    pub(super) checked: bool,
}

impl Choice<'_> {
    /// Shows radio buttons.
    pub(super) fn radio(&self) -> Markup {
        self.shown("radio")
    }

    pub(super) fn check_box(&self) -> Markup {
        self.shown("checkbox")
    }

    fn shown(&self, kind: &str) -> Markup {
        html! {
            label.ak-choice {
                input type=(kind) name=(self.name) value=(self.value) checked[self.checked];
                span {
                    span.ak-choice-label { (self.label) }
                    @if !self.says.is_empty() { " " span.ak-choice-says { (self.says) } }
                }
            }
        }
    }
}

/// Shows a summary of all mistakes above a form. The summary has the focus.
pub(super) fn summary(mistakes: &Mistakes, texts: &PageTexts) -> Markup {
    html! {
        @if !mistakes.list.is_empty() {
            div.ak-alert role="alert" tabindex="-1" autofocus {
                h2 { (texts.not_done) }
                ul {
                    @for (place, says) in &mistakes.list {
                        li {
                            @match place {
                                Place::Form => (said(says)),
                                place => a href={ "#" (place.id()) } {
                                    (place.label(texts).unwrap_or_default()) ": " (said(says))
                                },
                            }
                        }
                    }
                }
                @if let Some((to, label)) = &mistakes.link {
                    p { a.ak-button href=(to) target="_blank" rel="noopener" { (label) } }
                }
            }
        }
    }
}
