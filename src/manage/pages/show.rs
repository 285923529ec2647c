//! The page of a key: its record in words, its usage, its history and the actions.

use std::fmt;
use std::sync::Arc;

use maud::{Markup, html};

use super::chart::{Series, last, range};
use super::create::back;
use super::form::Form;
use super::history::history;
use super::key_parts::{abilities_in_words, actor, hint, name, state, suspension};
use super::reply::{Outcome, Reply};
use super::site::Site;
use super::texts::PageTexts;
use super::time::relative;
use super::visit::Visit;
use crate::manage::{ManageError, UsagePeriod};
use crate::store::{KeyRecord, KeyState, StoredKey};

/// The periods of usage, with their names and numbers.
const PERIODS: [(&str, UsagePeriod, usize); 3] = [
    ("hour", UsagePeriod::Hour, 24),
    ("day", UsagePeriod::Day, 30),
    ("month", UsagePeriod::Month, 12),
];

/// Shows a key.
pub(super) async fn show(visit: &Visit<'_>) -> Outcome {
    let site = visit.site;
    let key = visit.keys.get(visit.key_id()?).await?;
    let query = Form::parse(visit.parts.uri.query().unwrap_or_default().as_bytes());
    let usage = usage(visit, &key, query.get("by")).await;
    let history = history(visit, key.record.id(), query.get("events")).await?;
    let content = html! {
        header.ak-head {
            div {
                (back(site))
                h1 { (name(&key.record)) }
                p.ak-lead { (hint(&key.record, site)) " " (state(&key.record, site)) }
            }
            (buttons(site, &key))
        }
        @if let Some(says) = done(query.get("done"), &key.record, site.texts()) {
            p.ak-done role="status" tabindex="-1" autofocus { (says) }
        }
        (suspension(std::iter::once(&*key.record), site.texts()))
        (facts(site, &key))
        @if let Some(usage) = usage { (usage) }
        @if let Some(history) = history { (history) }
    };
    Ok(Reply::ok(key.record.name(), content))
}

/// Returns the message about the last action, unless the key contradicts it: anybody can write a link that claims
/// that a key was revoked.
fn done<'a>(done: &str, record: &KeyRecord, texts: &'a PageTexts) -> Option<&'a str> {
    let can_be = match done {
        "revoked" => record.revoked_at().is_some(),
        "disabled" => record.is_disabled(),
        "enabled" => !record.is_disabled() && record.revoked_at().is_none(),
        _ => true,
    };
    texts.done_named(done).filter(|_| can_be)
}

fn buttons(site: &Site<'_>, key: &StoredKey) -> Markup {
    let (texts, record) = (site.texts(), &*key.record);
    if record.revoked_at().is_some() {
        return html! {};
    }
    let link = |action: &str, label: &str, class: &str| {
        html! { a class={ "ak-button " (class) } href=(site.of_key(record.id(), action)) { (label) } }
    };
    let (action, label) = match record.disabled {
        true => ("enable", &texts.enable),
        false => ("disable", &texts.disable),
    };
    // Keys of a suspended tenant can only be disabled and revoked.
    let is_suspended = record.is_suspended();
    html! {
        div.ak-actions {
            @if !is_suspended {
                (link("rename", &texts.rename, ""))
                (link("change", &texts.change, ""))
            }
            @if !(is_suspended && record.disabled) {
                form method="post" action=(site.of_key(record.id(), action)) data-ak-once {
                    button.ak-button type="submit" { (label) }
                }
            }
            @if record.successor().is_none() && record.state(site.now) == KeyState::Active {
                (link("rotate", &texts.rotate, ""))
            }
            (link("revoke", &texts.revoke, "ak-danger"))
        }
    }
}

fn facts(site: &Site<'_>, key: &StoredKey) -> Markup {
    let (texts, record) = (site.texts(), &*key.record);
    let abilities = abilities_in_words(record.abilities(), &site.settings.offered, texts);
    let restrictions = record.restrictions();
    let limits = (!record.limits().is_empty())
        .then(|| record.limits().iter().map(ToString::to_string).collect());
    let listed = [
        (&texts.limits, limits),
        (&texts.addresses, items(&restrictions.addresses)),
        (&texts.origins, items(&restrictions.origins)),
        (&texts.referrers, items(&restrictions.referrers)),
        (&texts.endpoints, items(&restrictions.endpoints)),
    ];
    let time = |time| relative(time, site.now, texts);
    html! {
        section.ak-card aria-labelledby="ak-facts" {
            h2 id="ak-facts" { (texts.details) }
            dl.ak-facts {
                (fact(&texts.id, &html! { code { (record.id()) } }))
                (fact(&texts.kind, &html! { (texts.kind_named(record.kind())) }))
                (fact(&texts.stage, &match record.stage() {
                    Some(stage) => html! { (texts.stage_named(stage.as_str())) },
                    None => html! { (texts.any_stage) },
                }))
                (fact(&texts.abilities, &match abilities.is_empty() {
                    true => html! { (texts.no_abilities) },
                    false => list(&abilities),
                }))
                (fact(&texts.created, &html! {
                    (time(record.created_at()))
                    @if let Some(by) = record.created_by() { " " (texts.by) " " (actor(by, texts)) }
                }))
                (fact(&texts.last_used, &match key.last_used_at {
                    Some(at) => time(at),
                    None => html! { (texts.never) },
                }))
                (fact(&texts.expiry, &match record.expires_at() {
                    Some(at) => time(at),
                    None => html! { (texts.never) },
                }))
                @if let Some(at) = record.revoked_at() { (fact(&texts.revoked, &time(at))) }
                @if let Some(at) = record.rotation_due_at() { (fact(&texts.rotation_due, &time(at))) }
                @if let Some(successor) = record.successor() {
                    (fact(&texts.successor, &html! { a href=(site.key(successor)) { code { (successor) } } }))
                }
                @if let Some(first) = record.counted_as() {
                    (fact(&texts.counted_as, &html! { a href=(site.key(first)) { code { (first) } } }))
                }
                @for (label, items) in &listed {
                    (fact(label, &match items {
                        None => html! { span.ak-quiet { (texts.not_restricted) } },
                        Some(items) if items.is_empty() => html! { (texts.nothing_allowed) },
                        Some(items) => list(items),
                    }))
                }
            }
        }
    }
}

fn fact(label: &str, says: &Markup) -> Markup {
    html! { div { dt { (label) } dd { (says) } } }
}

fn items<T: fmt::Display>(list: &Option<Arc<[T]>>) -> Option<Vec<String>> {
    list.as_ref().map(|items| items.iter().map(ToString::to_string).collect())
}

fn list(items: &[String]) -> Markup {
    html! { ul.ak-plain { @for item in items { li { (item) } } } }
}

/// Shows the usage of a key, if it is known.
async fn usage(visit: &Visit<'_>, key: &StoredKey, by: &str) -> Option<Markup> {
    let (site, texts) = (visit.site, visit.site.texts());
    if !site.settings.usage {
        return None;
    }
    let chosen = PERIODS.into_iter().find(|(name, ..)| *name == by).unwrap_or(PERIODS[1]);
    let (chosen, period, count) = chosen;
    let bounds = last(period, count, site.now);
    let series = match visit.keys.usage(key.record.id(), range(&bounds), period).await {
        Ok(usage) => Some(Series::new(period, &bounds, &usage.buckets)),
        Err(ManageError::UsageNotKept) => return None,
        Err(error) => {
            crate::trace::no_usage(&error);
            None
        }
    };
    Some(html! {
        section.ak-card aria-labelledby="ak-usage" {
            h2 id="ak-usage" { (texts.usage) }
            nav.ak-tabs aria-label=(texts.usage_by) {
                @for ((name, ..), label) in PERIODS.iter().zip(&texts.periods) {
                    a href={ (site.key(key.record.id())) "?by=" (name) "#ak-usage" }
                        aria-current=[(*name == chosen).then_some("true")] { (label) }
                }
            }
            @match series {
                None => p.ak-none { (texts.usage_unknown) },
                Some(series) => {
                    (series.chart(texts))
                    details.ak-more { summary { (texts.as_table) } (series.table(texts)) }
                }
            }
        }
    })
}
