//! The list of keys.

use maud::{Markup, html};

use super::asked::{Asked, Sort};
use super::chart::{last, range};
use super::form::Form;
use super::key_parts::suspension;
use super::reply::{Outcome, Reply};
use super::site::Site;
use super::sparkline::Sparklines;
use super::table::table;
use super::visit::Visit;
use crate::manage::api::ApiError;
use crate::manage::{ManageError, UsagePeriod};
use crate::store::{KeyState, StoredKey};

/// A part of the list.
struct Part {
    keys: Vec<StoredKey>,
    next: Option<String>,
    /// Whether more keys match than are sorted.
    is_cut: bool,
}

/// Shows the keys.
pub(super) async fn list(visit: &Visit<'_>) -> Outcome {
    let site = visit.site;
    let form = Form::parse(visit.parts.uri.query().unwrap_or_default().as_bytes());
    let asked = Asked::read(&form)?;
    let part = find(visit, &asked).await?;
    let lines = usage_lines(visit, &part.keys).await;
    let texts = site.texts();
    let table = table(site, &asked, &part.keys, lines.as_ref());
    drop(lines);
    let content = html! {
        header.ak-head {
            div {
                h1 { (texts.keys) }
                p.ak-lead { (texts.keys_lead) }
            }
            div.ak-actions {
                @if site.settings.issues_public_keys() {
                    a.ak-button href=(site.at("new-public")) { (texts.new_public_key) }
                }
                a.ak-button.ak-primary href=(site.at("new")) { (texts.new_key) }
            }
        }
        (suspension(part.keys.iter().map(|key| &*key.record), texts))
        @if part.keys.is_empty() && !asked.is_filtered() && part.next.is_none() && asked.after.is_empty() {
            (lesson(site))
        } @else {
            (filters(site, &asked))
            @if part.keys.is_empty() {
                p.ak-none role="status" { (texts.none_found) }
            } @else {
                (table)
                @if part.is_cut { p.ak-hint { (texts.sorted_in_part) } }
            }
            (steps(site, &asked, &part))
        }
    };
    Ok(Reply::ok(&*texts.keys, content))
}

async fn find(visit: &Visit<'_>, asked: &Asked) -> Result<Part, ApiError> {
    let page = visit.keys.list(&asked.query(visit.site)?).await?;
    if asked.sort == Sort::Newest {
        let next = page.next.map(|next| next.to_string());
        return Ok(Part { keys: page.keys, next, is_cut: false });
    }
    let (mut keys, is_cut) = (page.keys, page.next.is_some());
    asked.sort.sort(&mut keys);
    // If the last key of the previous page was removed, the list starts again.
    let after = keys.iter().position(|key| key.record.id().as_str() == asked.after);
    keys.drain(..after.map_or(0, |index| index + 1));
    let size = visit.site.settings.page_size;
    let has_more = keys.len() > size;
    keys.truncate(size);
    let next = keys.last().filter(|_| has_more).map(|key| key.record.id().to_string());
    Ok(Part { keys, next, is_cut })
}

/// Returns the sparklines of keys, or `None` if usage is not known.
async fn usage_lines<'a>(visit: &'a Visit<'_>, keys: &[StoredKey]) -> Option<Sparklines<'a>> {
    if !visit.site.settings.usage || keys.is_empty() {
        return None;
    }
    let ids = keys.iter().map(|key| key.record.id().clone());
    let bounds = last(UsagePeriod::Day, 30, visit.site.now);
    match visit.keys.usage_sums_by_key(ids, range(&bounds), UsagePeriod::Day).await {
        Ok(sums) => Some(Sparklines::new(bounds, sums, visit.site.texts())),
        Err(ManageError::UsageNotKept) => None,
        Err(error) => {
            crate::trace::no_usage(&error);
            None
        }
    }
}

/// Explains the first steps to an owner without keys.
fn lesson(site: &Site<'_>) -> Markup {
    let texts = site.texts();
    html! {
        section.ak-lesson {
            h2 { (texts.no_keys) }
            p { (texts.no_keys_says) }
            ol {
                @for step in &texts.first_steps { li { (step) } }
            }
            @if let Some(url) = &site.settings.api_url {
                pre tabindex="0" role="region" aria-label=(texts.with_curl) { code { "curl " (url) " \\\n  -H \"Authorization: Bearer $" (site.settings.variable) "\"" } }
            }
            a.ak-button.ak-primary href=(site.at("new")) { (texts.first_key) }
        }
    }
}

fn filters(site: &Site<'_>, asked: &Asked) -> Markup {
    let texts = site.texts();
    let stages = site.settings.all_stages();
    html! {
        form.ak-filters method="get" action=(site.list()) role="search" aria-label=(texts.filters) {
            div.ak-field {
                label for="filter-name" { (texts.search) }
                input id="filter-name" type="search" name="name" value=(asked.name) maxlength="100"
                    dir="auto" autocomplete="off";
            }
            div.ak-field {
                label for="filter-state" { (texts.state) }
                select id="filter-state" name="state" {
                    option value="" { (texts.any) }
                    @for state in KeyState::ALL {
                        option value=(state.as_str()) selected[asked.state == Some(state)] {
                            (texts.state_named(state))
                        }
                    }
                }
            }
            @if !stages.is_empty() {
                div.ak-field {
                    label for="filter-stage" { (texts.stage) }
                    select id="filter-stage" name="stage" {
                        option value="" { (texts.any) }
                        @for stage in &stages {
                            option value=(stage) selected[asked.stage == stage.as_str()] {
                                (texts.stage_named(stage.as_str()))
                            }
                        }
                    }
                }
            }
            label.ak-check {
                input type="checkbox" name="unused" value="1" checked[asked.unused];
                span { (texts.unused) }
            }
            @if asked.sort != Sort::Newest {
                input type="hidden" name="sort" value=(asked.sort.as_str());
            }
            button.ak-button type="submit" { (texts.apply) }
            @if asked.is_filtered() { a.ak-clear href=(site.list()) { (texts.clear) } }
        }
    }
}

fn steps(site: &Site<'_>, asked: &Asked, part: &Part) -> Markup {
    let texts = site.texts();
    html! {
        @if !asked.after.is_empty() || part.next.is_some() {
            nav.ak-steps aria-label=(texts.pages) {
                @if !asked.after.is_empty() {
                    a.ak-button href=(asked.link(site, asked.sort, "")) { (texts.first_page) }
                }
                @if let Some(next) = &part.next {
                    a.ak-button rel="next" href=(asked.link(site, asked.sort, next)) { (texts.next_page) }
                }
            }
        }
    }
}
