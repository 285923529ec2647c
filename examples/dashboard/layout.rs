//! The product's own layout.

use http::request::Parts;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use tower_api_key::manage::pages::Page;

use crate::sessions::{PASSWORD, PEOPLE, SignIn};

pub(crate) const STYLE: &str = include_str!("orbit.css");

/// Puts a page of the keys into the product's layout.
pub(crate) fn around(page: &Page, parts: &Parts) -> String {
    let sign_in = parts.extensions.get::<SignIn>();
    let email = sign_in.map(|sign_in| &*sign_in.email);
    document(&html! { (PreEscaped(page.head())) }, &PreEscaped(page.content().to_owned()), email)
}

/// The sign-in page. It redirects to `next`.
pub(crate) fn sign_in(next: &str, wrong: &str) -> String {
    let content = html! {
        form.sign-in method="post" action="/sign-in" {
            h1 { "Sign in to Orbit" }
            @if !wrong.is_empty() { p role="alert" { (wrong) } }
            input type="hidden" name="next" value=(next);
            label { "Email address" input type="email" name="email" required autocomplete="username"; }
            label {
                "Password"
                input type="password" name="password" required autocomplete="current-password";
            }
            button type="submit" { "Sign in" }
            p.demo { "This is a demo: sign in as " (PEOPLE[0].email) " with “" (PASSWORD) "”." }
        }
    };
    let head = html! {
        title { "Sign in to Orbit" }
        meta name="viewport" content="width=device-width, initial-scale=1";
    };
    document(&head, &content, None)
}

fn document(head: &Markup, content: &Markup, email: Option<&str>) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                (head)
                link rel="stylesheet" href="/orbit.css";
                link rel="icon" href="data:,";
            }
            body {
                header.top {
                    a.product href="/" { "Orbit" }
                    @if let Some(email) = email {
                        form method="post" action="/sign-out" {
                            span { (email) }
                            button type="submit" { "Sign out" }
                        }
                    }
                }
                div.columns {
                    @if email.is_some() {
                        nav.side aria-label="Settings" {
                            p { "Settings" }
                            ul {
                                li { a href="/settings/api-keys" aria-current="page" { "API keys" } }
                            }
                        }
                    }
                    main { (content) }
                }
            }
        }
    };
    document.into_string()
}
