//! The answer to a form that the application refused: the form with its values, and a link to sign in.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use super::action_forms::Target;
use super::change;
use super::create;
use super::deed::Deed;
use super::form::Form;
use super::mistakes::Mistakes;
use super::place::Place;
use super::reply::{Outcome, trouble};
use super::site::Site;
use crate::key::{KeyId, KeyKind};
use crate::manage::api::ApiError;

/// Shows a refused form again, with all its values. It reveals nothing about the key, which the user may not see,
/// or about the abilities that exist.
pub(super) fn form(
    site: &Site<'_>,
    deed: Deed,
    id: Option<&KeyId>,
    sent: &Form,
    refusal: &Response,
) -> Outcome {
    let mistakes = mistakes(site, deed, id, refusal);
    if let Deed::Create(kind) = deed {
        return Ok(create::form_page(site, None, &create::read(kind, sent)?, &mistakes));
    }
    let id = id.ok_or_else(ApiError::not_found)?;
    let target = Target { site, id, key: None };
    Ok(match deed {
        Deed::Rename => target.rename(sent.get("name"), &mistakes),
        Deed::Change => {
            let typed = create::read(KeyKind::Secret, sent)?;
            change::form_page(site, None, id, None, &typed, &mistakes)
        }
        Deed::Rotate => target.rotate(sent.get("grace"), &mistakes),
        Deed::Revoke => target.revoke(sent.get("with_successors") == "true", &mistakes),
        Deed::Disable => target.switch(true, &mistakes),
        Deed::Enable => target.switch(false, &mistakes),
        Deed::List | Deed::Show | Deed::Create(_) => trouble(site, &ApiError::not_found()),
    })
}

fn mistakes(site: &Site<'_>, deed: Deed, id: Option<&KeyId>, refusal: &Response) -> Mistakes {
    let texts = site.texts();
    let to = refusal.headers().get(header::LOCATION).map(HeaderValue::to_str);
    let to = to.and_then(Result::ok).map(str::to_owned);
    // The redirection of the application, or a page that redirects there.
    let ask = match (deed, id) {
        (Deed::Create(_), _) => site.at(deed.path().trim_start_matches('/')),
        // An action without a form has no page to return to.
        (Deed::Disable | Deed::Enable, Some(id)) => site.key(id),
        (deed, Some(id)) => {
            site.at(deed.path().trim_start_matches('/')).replace("{key_id}", id.as_str())
        }
        (_, None) => site.list(),
    };
    let asks = to.is_some() || refusal.status() == StatusCode::UNAUTHORIZED;
    let says = if asks { &texts.sign_in_says } else { &texts.may_not };
    let mut mistakes = Mistakes::of(Place::Form, &**says);
    mistakes.link = asks.then(|| (to.unwrap_or(ask), texts.sign_in.to_string()));
    mistakes.status = Some(match refusal.status() {
        status if status.is_client_error() => status,
        _ => StatusCode::FORBIDDEN,
    });
    mistakes
}
