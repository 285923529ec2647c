//! The page with a new secret, which is shown once.

use http::StatusCode;
use maud::{Markup, html};

use super::key_parts::name;
use super::reply::Reply;
use super::site::Site;
use super::texts::{PageTexts, fill};
use crate::key::{KeyKind, Secret};
use crate::store::KeyRecord;

/// Shows a secret. Only this answer has it, and no cache keeps it.
///
/// The script asks for a confirmation before the page is left, and clears the secret then.
pub(super) fn page(
    site: &Site<'_>,
    record: &KeyRecord,
    secret: &Secret,
    replaces_another: bool,
) -> Reply {
    let texts = site.texts();
    let is_public = record.kind() == KeyKind::Public;
    let (title, lead) = match is_public {
        true => (&texts.your_public_key, &texts.your_public_key_says),
        false => (&texts.your_key, &texts.your_key_says),
    };
    let content = html! {
        div data-ak-leave[!is_public] {
            header.ak-head {
                div {
                    h1 tabindex="-1" autofocus { (title) }
                    p.ak-lead { (name(record)) }
                }
            }
            div.ak-note { p { (lead) } }
            @if replaces_another { div.ak-note { p { (texts.replaces_another) } } }
            (copied(texts, "secret", &texts.secret, secret.reveal()))
            @if !is_public {
                h2 { (texts.try_it) }
                @if let Some(url) = &site.settings.api_url {
                    @let call = format!("curl {url} \\\n  -H \"Authorization: Bearer {}\"", secret.reveal());
                    (copied(texts, "curl", &texts.with_curl, &call))
                }
                @let line = format!("{}={}", site.settings.variable, secret.reveal());
                (copied(texts, "env", &texts.in_environment, &line))
            }
            div.ak-actions {
                a.ak-button.ak-primary href=(site.key(record.id())) data-ak-stored {
                    @if is_public { (texts.to_the_key) } @else { (texts.stored) }
                }
            }
        }
    };
    Reply::refused(StatusCode::CREATED, &**title, content)
}

/// Shows a text with a button that copies it.
fn copied(texts: &PageTexts, id: &str, label: &str, text: &str) -> Markup {
    html! {
        div.ak-copy {
            div.ak-copy-label id={ (id) "-label" } { (label) }
            pre tabindex="0" role="region" aria-labelledby={ (id) "-label" } {
                code id=(id) data-ak-secret { (text) }
            }
            button.ak-button type="button" hidden data-ak-copy=(id) data-ak-done=(texts.copied)
                data-ak-failed=(texts.not_copied)
                aria-label=(fill(&texts.copy_what, &[("what", label)])) {
                (texts.copy)
            }
        }
    }
}
