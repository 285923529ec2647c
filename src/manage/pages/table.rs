//! The table of the list: its columns, and a row for each key.

use maud::{Markup, html};

use super::asked::{Asked, Sort};
use super::key_parts::{abilities_in_words, actor, hint, name, state};
use super::site::Site;
use super::sparkline::Sparklines;
use super::texts::fill;
use super::time::{day, relative};
use crate::store::StoredKey;

/// The most abilities that a row names.
const NAMED: usize = 2;

/// Shows keys, each with its sparkline, if usage is known.
pub(super) fn table(
    site: &Site<'_>,
    asked: &Asked,
    keys: &[StoredKey],
    lines: Option<&Sparklines<'_>>,
) -> Markup {
    let texts = site.texts();
    // The roles are explicit, because browsers drop the roles of a table whose layout CSS changes.
    html! {
        table.ak-list role="table" {
            caption.ak-hidden { (texts.keys) }
            thead role="rowgroup" {
                tr role="row" {
                    (heading(site, asked, &texts.name, [Sort::Name, Sort::NameDown]))
                    th scope="col" role="columnheader" { (texts.state) }
                    th scope="col" role="columnheader" { (texts.abilities) }
                    (heading(site, asked, &texts.created, [Sort::Newest, Sort::Oldest]))
                    (heading(site, asked, &texts.last_used, [Sort::Used, Sort::Unused]))
                    @if lines.is_some() { th scope="col" role="columnheader" { (texts.thirty_days) } }
                    th scope="col" role="columnheader" { span.ak-hidden { (texts.actions) } }
                }
            }
            tbody role="rowgroup" {
                @for key in keys { (row(site, key, lines)) }
            }
        }
    }
}

/// Shows the head of a sortable column. A second click sorts in the other direction.
fn heading(site: &Site<'_>, asked: &Asked, label: &str, [first, second]: [Sort; 2]) -> Markup {
    // The first order is ascending for names, descending for times.
    let (is_sorted, up) = match asked.sort {
        sort if sort == first => (true, first == Sort::Name),
        sort if sort == second => (true, first != Sort::Name),
        _ => (false, false),
    };
    let next = if asked.sort == first { second } else { first };
    html! {
        th scope="col" role="columnheader"
            aria-sort=[is_sorted.then_some(if up { "ascending" } else { "descending" })] {
            a.ak-sort href=(asked.link(site, next, "")) {
                (label)
                span aria-hidden="true" {
                    @match (is_sorted, up) {
                        (true, true) => " ↑",
                        (true, false) => " ↓",
                        (false, _) => " ↕",
                    }
                }
            }
        }
    }
}

fn row(site: &Site<'_>, key: &StoredKey, lines: Option<&Sparklines<'_>>) -> Markup {
    let (texts, record) = (site.texts(), &*key.record);
    let words = abilities_in_words(record.abilities(), &site.settings.offered, texts);
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                a href=(site.key(record.id())) { (name(record)) }
                (hint(record, site))
                @if let Some(stage) = record.stage() {
                    " " span.ak-tag {
                        span.ak-hidden { (texts.stage) ": " }
                        (texts.stage_named(stage.as_str()))
                    }
                }
            }
            td role="cell" data-label=(texts.state) { (state(record, site)) }
            td role="cell" data-label=(texts.abilities) {
                @if words.is_empty() { span.ak-quiet { (texts.no_abilities) } }
                @for word in words.iter().take(NAMED) { span.ak-ability { (word) } " " }
                @if words.len() > NAMED {
                    span.ak-small {
                        (fill(&texts.more, &[("n", &(words.len() - NAMED).to_string())]))
                    }
                }
            }
            td role="cell" data-label=(texts.created) {
                (day(record.created_at(), texts))
                @if let Some(by) = record.created_by() {
                    " " span.ak-small { (texts.by) " " (actor(by, texts)) }
                }
            }
            td role="cell" data-label=(texts.last_used) {
                @match key.last_used_at {
                    Some(time) => (relative(time, site.now, texts)),
                    None => span.ak-quiet { (texts.never) },
                }
            }
            @if let Some(lines) = lines {
                td role="cell" data-label=(texts.thirty_days) { (lines.of(record.id())) }
            }
            td.ak-row-actions role="cell" {
                @if record.revoked_at().is_none() {
                    a href=(site.of_key(record.id(), "revoke")) {
                        (texts.revoke) span.ak-hidden { " " (name(record)) }
                    }
                }
            }
        }
    }
}
