//! [`without`]: a URI without a parameter.

use http::Uri;
use http::uri::PathAndQuery;

/// Returns `uri` without the parameters of this name, and otherwise unchanged.
pub(super) fn without(uri: &Uri, name: &str) -> Option<Uri> {
    let Some(query) = uri.query() else {
        return Some(uri.clone());
    };
    let is_named = |pair: &&str| {
        form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(found, _)| found == name)
    };
    let kept: Vec<_> = query.split('&').filter(|pair| !is_named(pair)).collect();
    let path = uri.path();
    let text = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}
