//! The history of a key: its audit events.

use http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

use super::key_parts::actor;
use super::texts::{PageTexts, fill};
use super::time::moment;
use super::visit::Visit;
use crate::key::KeyId;
use crate::manage::ManageError;
use crate::manage::api::ApiError;
use crate::store::{AuditCursor, AuditEntry, AuditQuery};

/// The number of events on a page.
const SHOWN: usize = 20;

/// Shows the events of a key, the newest first, from a cursor on. If the store keeps no events, it shows nothing.
pub(super) async fn history(
    visit: &Visit<'_>,
    id: &KeyId,
    after: &str,
) -> Result<Option<Markup>, ApiError> {
    let (site, texts) = (visit.site, visit.site.texts());
    if !site.settings.history {
        return Ok(None);
    }
    let mut query = AuditQuery::new().key(id.clone()).newest_first().limit(SHOWN);
    if !after.is_empty() {
        let after = after
            .parse::<AuditCursor>()
            .map_err(|error| ApiError::field_is(StatusCode::BAD_REQUEST, "events", error))?;
        query = query.after(after);
    }
    let page = match visit.keys.audit_log(&query).await {
        Ok(page) => page,
        Err(ManageError::NoAuditLog) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(html! {
        section.ak-card aria-labelledby="ak-history" {
            h2 id="ak-history" { (texts.history) }
            ul.ak-history { @for entry in &page.entries { (event(entry, texts)) } }
            @if let Some(next) = &page.next {
                p.ak-steps {
                    a.ak-button href={ (site.key(id)) "?events=" (next) "#ak-history" } {
                        (texts.older)
                    }
                }
            }
        }
    }))
}

fn event(entry: &AuditEntry, texts: &PageTexts) -> Markup {
    let changed = changed(entry, texts);
    html! {
        li {
            strong { (action_named(&entry.action, texts)) }
            " " (texts.by) " "
            // Another version may have written an action that this version does not know.
            @match entry.actor.parse() {
                Ok(by) => (actor(&by, texts)),
                Err(_) => bdi { (entry.actor) },
            }
            " " span.ak-moment { (moment(entry.at, texts)) }
            @if !changed.is_empty() {
                div.ak-small { (fill(&texts.what_changed, &[("fields", &changed.join(", "))])) }
            }
        }
    }
}

fn action_named<'a>(action: &'a str, texts: &'a PageTexts) -> &'a str {
    match action {
        "issued" => &texts.was_issued,
        "imported" => &texts.was_imported,
        "updated" => &texts.was_updated,
        "disabled" => &texts.was_disabled,
        "enabled" => &texts.was_enabled,
        "rotated" => &texts.was_rotated,
        "revoked" => &texts.was_revoked,
        other => other,
    }
}

/// Lists the fields that were changed. For a name, it also shows the values.
fn changed(entry: &AuditEntry, texts: &PageTexts) -> Vec<String> {
    let (Some(before), Some(after)) = (&entry.before, &entry.after) else { return Vec::new() };
    if entry.action != "updated" {
        return Vec::new();
    }
    let fields = [
        ("/name", &texts.name),
        ("/abilities", &texts.abilities),
        ("/expires_at", &texts.expiry),
        ("/rotation_due_at", &texts.rotation_due),
        ("/limits", &texts.limits),
        ("/restrictions/addresses", &texts.addresses),
        ("/restrictions/origins", &texts.origins),
        ("/restrictions/referrers", &texts.referrers),
        ("/restrictions/endpoints", &texts.endpoints),
    ];
    let differs = |path: &str| before.pointer(path) != after.pointer(path);
    let fields = fields.into_iter().filter(|(path, _)| differs(path));
    let said = fields.map(|(path, label)| match (before.pointer(path), after.pointer(path)) {
        (Some(Value::String(old)), Some(Value::String(new))) if path == "/name" => {
            // Isolated, so that each name keeps its own direction of text.
            format!("{label} (\u{2068}{old}\u{2069} → \u{2068}{new}\u{2069})")
        }
        _ => label.to_string(),
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::AuditAction;

    #[test]
    fn every_action_on_a_key_that_is_there_has_a_name_in_the_texts() {
        let mut texts = PageTexts::english();
        texts.was_imported = "Übernommen".into();
        assert_eq!(action_named(AuditAction::Imported.as_str(), &texts), "Übernommen");
        // Of a later version.
        assert_eq!(action_named("sealed", &texts), "sealed");
    }
}
