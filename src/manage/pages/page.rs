//! [`Page`]: a page, for the layout of an application.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A page, for the [layout](super::KeyPages::layout) of an application.
///
/// Both parts are HTML, in which all input of users is escaped.
#[derive(Clone, Debug)]
pub struct Page {
    head: String,
    content: String,
}

impl Page {
    pub(super) fn new(head: Markup, content: Markup) -> Self {
        Self { head: head.into_string(), content: content.into_string() }
    }

    /// Returns the content of the `<head>`: the title, the stylesheet and the script.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Returns the content of the `<main>`. It begins with the only `<h1>`.
    #[must_use]
    pub fn content(&self) -> &str {
        &self.content
    }

    /// Returns a complete document.
    pub(super) fn alone(self, lang: &str) -> String {
        let lang = html! { (lang) }.into_string();
        let head = html! {
            head {
                meta charset="utf-8";
                (PreEscaped(self.head))
                // Otherwise, browsers request one.
                link rel="icon" href="data:,";
            }
        };
        let begin = format!("{}<html lang=\"{lang}\">{}", DOCTYPE.0, head.0);
        around(&(begin + "<body class=\"ak-alone\"><main>"), self.content, "</main></body></html>")
    }
}

/// Puts a text between two others in its place: a copy of a long list takes as long as a part of drawing it.
pub(super) fn around(begin: &str, mut text: String, end: &str) -> String {
    text.insert_str(0, begin);
    text.push_str(end);
    text
}
