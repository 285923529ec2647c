//! The fields of the forms for a new key and for a change.

use maud::{Markup, html};

use super::expiry::Expiry;
use super::fields::{Choice, Described};
use super::key_form::{CUSTOM, KEEP, KeyForm};
use super::mistakes::Mistakes;
use super::offered::{Level, Offered, Resource};
use super::place::Place;
use super::site::Site;
use super::texts::fill;
use super::time::{Civil, DAY, from_seconds, seconds};
use crate::key::KeyKind;

/// The data of the fields.
pub(super) struct KeyFields<'a> {
    pub(super) site: &'a Site<'a>,
    /// The abilities that the owner may grant, if the owner is known.
    pub(super) offered: Option<&'a Offered>,
    pub(super) form: &'a KeyForm,
    pub(super) mistakes: &'a Mistakes,
    pub(super) is_new: bool,
}

impl KeyFields<'_> {
    pub(super) fn show(&self) -> Markup {
        let (texts, form) = (self.site.texts(), self.form);
        let is_public = form.kind == KeyKind::Public;
        html! {
            input type="hidden" name="token" value=(form.token.as_str());
            input type="hidden" name="revision" value=(form.revision);
            (self.described(Place::Name, &texts.name, &texts.name_hint).line(&form.name, "text", true))
            @if self.is_new { (self.stage()) }
            @if is_public { (self.sites()) }
            (self.access())
            (self.expiry())
            details.ak-more open[self.mistakes.are_folded() || self.has_restrictions()] {
                summary { (texts.restrictions) }
                p.ak-hint { (texts.restrictions_hint) }
                (self.described(Place::Limits, &texts.limits, &texts.limits_hint).lines(&form.limits))
                @if !is_public {
                    (self.described(Place::Addresses, &texts.addresses, &texts.addresses_hint)
                        .lines(&form.addresses))
                    (self.sites())
                }
                (self.described(Place::Referrers, &texts.referrers, &texts.referrers_hint)
                    .lines(&form.referrers))
                (self.described(Place::Endpoints, &texts.endpoints, &texts.endpoints_hint)
                    .lines(&form.endpoints))
            }
        }
    }

    fn described<'a>(&'a self, place: Place, label: &'a str, hint: &'a str) -> Described<'a> {
        Described::new(place, label, hint, self.mistakes)
    }

    fn sites(&self) -> Markup {
        let texts = self.site.texts();
        self.described(Place::Origins, &texts.origins, &texts.origins_hint)
            .lines(&self.form.origins)
    }

    fn has_restrictions(&self) -> bool {
        let form = self.form;
        let public = form.kind == KeyKind::Public;
        let fields = [&form.limits, &form.addresses, &form.referrers, &form.endpoints];
        fields.iter().any(|text| !text.is_empty()) || (!public && !form.origins.is_empty())
    }

    fn stage(&self) -> Markup {
        let texts = self.site.texts();
        let stages = self.site.settings.stages_of(self.form.kind);
        if stages.is_empty() {
            return html! {};
        }
        let only = stages.len() == 1;
        let choices = html! {
            div.ak-choices {
                @for stage in &stages {
                    (Choice {
                        name: "stage",
                        value: stage.as_str(),
                        label: &texts.stage_named(stage.as_str()),
                        says: "",
                        checked: only || self.form.stage == stage.as_str(),
                    }.radio())
                }
            }
        };
        self.described(Place::Stage, &texts.stage, &texts.stage_hint).group(&choices)
    }

    fn access(&self) -> Markup {
        let (texts, form) = (self.site.texts(), self.form);
        let Some(offered) = self.offered else { return self.access_as_sent() };
        let others: Vec<_> = form.others(offered).collect();
        // Styles hide the resources beside a preset. Boxes that have no effect are shown, to be cleared.
        let is_wrong = self.mistakes.at(Place::Abilities).is_some();
        let is_open = is_wrong && !form.is_by_resource();
        if offered.resources.is_empty() && others.is_empty() {
            return html! {};
        }
        let fields = html! {
            @if offered.presets.is_empty() {
                input type="hidden" name="access" value=(CUSTOM);
            } @else {
                div.ak-choices {
                    @for preset in &offered.presets {
                        (Choice {
                            name: "access",
                            value: &preset.value(),
                            label: &preset.title,
                            says: &preset.says,
                            checked: form.access == preset.value(),
                        }.radio())
                    }
                    (Choice {
                        name: "access",
                        value: CUSTOM,
                        label: &texts.by_resource,
                        says: &texts.by_resource_says,
                        checked: form.is_by_resource(),
                    }.radio())
                }
            }
            div.ak-resources.ak-open[is_open] {
                @for resource in &offered.resources { (self.resource(resource)) }
                @if !others.is_empty() {
                    fieldset.ak-resource {
                        legend { (texts.other_abilities) }
                        div.ak-abilities-shown {
                            @for ability in others {
                                (ability_box(ability, texts.ability_named(ability), true))
                            }
                        }
                    }
                }
            }
        };
        self.described(Place::Abilities, &texts.abilities, &texts.abilities_hint).group(&fields)
    }

    /// Keeps the chosen abilities in hidden fields, and offers none.
    fn access_as_sent(&self) -> Markup {
        let form = self.form;
        let levels = form.levels.iter().filter(|(_, level)| !level.is_empty());
        html! {
            input type="hidden" name="access" value=(form.access);
            @for (resource, level) in levels {
                input type="hidden" name={ "level." (resource) } value=(level);
            }
            @for ability in &form.abilities {
                input type="hidden" name="ability" value=(ability);
            }
        }
    }

    fn resource(&self, resource: &Resource) -> Markup {
        let (texts, form) = (self.site.texts(), self.form);
        let chosen = form.level(resource).unwrap_or(Level::None);
        // Styles hide the boxes of other levels. Boxes that have no effect are shown, to be cleared.
        let is_open = form.ignored_boxes(resource).next().is_some();
        let name = format!("level.{}", resource.name);
        html! {
            fieldset.ak-resource.ak-open[is_open] {
                legend { (resource.title) }
                div.ak-levels {
                    @for level in resource.levels() {
                        label.ak-level {
                            input type="radio" name=(name) value=(level.as_str())
                                checked[level == chosen];
                            span { (resource.in_words(level, texts)) }
                        }
                    }
                }
                @if resource.has_boxes() {
                    div.ak-abilities {
                        @for entry in &resource.entries {
                            @let ability = entry.ability.as_str();
                            (ability_box(ability, &entry.says, form.abilities.contains(ability)))
                        }
                    }
                }
            }
        }
    }

    fn expiry(&self) -> Markup {
        let (texts, form) = (self.site.texts(), self.form);
        let settings = self.site.settings;
        let in_days = |days: u32| {
            let end = from_seconds(seconds(self.site.now) + u64::from(days) * DAY);
            fill(&texts.until, &[("date", &Civil::of(end).date_in_words(texts))])
        };
        let tomorrow = Civil::of(from_seconds(seconds(self.site.now) + DAY)).date();
        // Styles hide a date beside another choice. One that has no effect is shown, to be cleared.
        let is_wrong = self.mistakes.at(Place::Expiry).is_some();
        let is_open = is_wrong && form.has_date_without_effect();
        let has_date = settings.expiries.contains(&Expiry::Date);
        let choices = html! {
            div.ak-choices {
                @if !self.is_new {
                    (Choice {
                        name: "expiry",
                        value: KEEP,
                        label: &texts.keep_expiry,
                        says: "",
                        checked: form.expiry == KEEP,
                    }.radio())
                }
                @for expiry in &settings.expiries {
                    @let (label, says) = match expiry {
                        Expiry::Days(days) => (fill(&texts.in_days, &[("n", &days.to_string())]), in_days(*days)),
                        Expiry::Date => (texts.on_date.to_string(), String::new()),
                        Expiry::Never => (texts.never_expires.to_string(), texts.never_expires_says.to_string()),
                    };
                    (Choice {
                        name: "expiry",
                        value: &expiry.value(),
                        label: &label,
                        says: &says,
                        checked: form.expiry == expiry.value(),
                    }.radio())
                }
            }
            @if has_date {
                div.ak-date.ak-open[is_open] {
                    label for="date" { (texts.date) }
                    input type="date" id="date" name="date" value=(form.date) min=(tomorrow);
                }
            }
        };
        self.described(Place::Expiry, &texts.expiry, &texts.expiry_hint).group(&choices)
    }
}

fn ability_box(ability: &str, says: &str, checked: bool) -> Markup {
    html! {
        label.ak-choice {
            input type="checkbox" name="ability" value=(ability) checked[checked];
            span { span.ak-choice-label { (says) } " " code { (ability) } }
        }
    }
}
