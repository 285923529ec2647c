//! [`Reply`]: the answer of a page.

use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, PreEscaped, html};

use super::page::{Page, around};
use super::site::Site;
use crate::manage::api::ApiError;

/// The outcome of a visit. An error without a field is shown on its own page.
pub(super) type Outcome = Result<Reply, ApiError>;

/// The answer of a page.
pub(super) enum Reply {
    Sheet {
        status: StatusCode,
        title: String,
        content: Markup,
    },
    /// Redirects the browser, so that reloading does not repeat the change.
    See(String),
}

impl Reply {
    pub(super) fn ok(title: impl Into<String>, content: Markup) -> Self {
        Self::Sheet { status: StatusCode::OK, title: title.into(), content }
    }

    pub(super) fn refused(status: StatusCode, title: impl Into<String>, content: Markup) -> Self {
        Self::Sheet { status, title: title.into(), content }
    }

    /// Returns a complete document, without the layout of the application.
    pub(super) fn alone(self, site: &Site<'_>) -> Response {
        match self {
            Self::Sheet { status, title, content } => {
                let text = page(site, &title, content).alone(&site.texts().lang);
                html_response(status, text)
            }
            Self::See(location) => see(location),
        }
    }

    pub(super) fn into_response(self, site: &Site<'_>, parts: &Parts) -> Response {
        match self {
            Self::Sheet { status, title, content } => {
                let page = page(site, &title, content);
                let text = match &site.settings.layout {
                    Some(layout) => layout(&page, parts),
                    None => page.alone(&site.texts().lang),
                };
                html_response(status, text)
            }
            Self::See(location) => see(location),
        }
    }
}

fn html_response(status: StatusCode, text: String) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, html)], text).into_response()
}

fn see(location: String) -> Response {
    // A path of a request and a public id are values of headers.
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn page(site: &Site<'_>, title: &str, content: Markup) -> Page {
    let assets = &site.settings.assets;
    let head = html! {
        title { (title) }
        meta name="viewport" content="width=device-width, initial-scale=1";
        link rel="stylesheet" href=(site.at(&assets.style()));
        script src=(site.at(&assets.script())) defer {}
    };
    let content = around("<div class=\"ak\">", content.into_string(), "</div>");
    Page::new(head, PreEscaped(content))
}

/// Shows an error that belongs to no form.
pub(super) fn trouble(site: &Site<'_>, error: &ApiError) -> Reply {
    let texts = site.texts();
    let (title, says) = match error.status() {
        StatusCode::NOT_FOUND => (&*texts.not_found, &*texts.not_found_says),
        StatusCode::BAD_REQUEST => (&*texts.trouble, &*texts.wrong_address),
        StatusCode::SERVICE_UNAVAILABLE => (&*texts.trouble, &*texts.unavailable),
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE => (&*texts.trouble, &*texts.wrong_form),
        // The texts already describe these errors.
        _ => (&*texts.trouble, error.message()),
    };
    let content = html! {
        header.ak-head { div { h1 { (title) } p.ak-lead { (says) } } }
        p { a.ak-button href=(site.list()) { (texts.to_the_list) } }
    };
    Reply::refused(error.status(), title, content)
}
