//! A product whose customers manage their keys in a browser.

use std::time::Duration;

use crate::common::{RawResponse, send_raw, send_raw_with_body};
use crate::example::Example;

const PAGES: &str = "/settings/api-keys";

/// Somebody who is signed in, by the cookie of their session.
struct Person<'a> {
    example: &'a Example,
    cookie: String,
}

impl<'a> Person<'a> {
    async fn sign_in(example: &'a Example, email: &str, password: &str) -> Option<Self> {
        let body = format!("email={email}&password={password}&next=%2Fsettings%2Fapi-keys");
        let answer = post(example, "/sign-in", "x-none: 1", &body).await;
        let cookie = answer.header("set-cookie")?.split(';').next()?.to_owned();
        assert_eq!((answer.status, answer.header("location")), (303, Some(PAGES)));
        Some(Self { example, cookie })
    }

    async fn get(&self, path: &str) -> RawResponse {
        let request = format!("GET {path} HTTP/1.1\r\ncookie: {}", self.cookie);
        send_raw(self.example.address, request).await
    }

    async fn post(&self, path: &str, body: &str) -> RawResponse {
        post(self.example, path, &format!("cookie: {}", self.cookie), body).await
    }
}

async fn post(example: &Example, path: &str, line: &str, body: &str) -> RawResponse {
    let request = format!(
        "POST {path} HTTP/1.1\r\n{line}\r\nsec-fetch-site: same-origin\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}",
        body.len()
    );
    send_raw_with_body(example.address, request, body).await
}

/// Returns what stands between two texts of a page.
fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
    page.split_once(before).unwrap().1.split_once(after).unwrap().0
}

#[tokio::test]
async fn a_key_that_is_created_in_the_browser_calls_the_api_until_it_is_revoked_there() {
    let example = Example::start("dashboard");
    assert!(example.printed.contains("sign-in alice@acme.example correct-horse"));
    assert!(Person::sign_in(&example, "alice@acme.example", "wrong").await.is_none());
    let alice = Person::sign_in(&example, "alice@acme.example", "correct-horse").await.unwrap();
    let list = alice.get(PAGES).await;
    for says in ["Nightly import", "Rotated", "Expires soon", "ak-spark", "alice@acme.example"] {
        assert!(list.text().contains(says), "{says}");
    }
    let form = alice.get(&format!("{PAGES}/new")).await;
    let token = between(form.text(), "name=\"token\" value=\"", "\"");
    let fields =
        format!("token={token}&name=CI+deploys&stage=live&access=custom&level.bots=read&expiry=30");
    let created = alice.post(&format!("{PAGES}/new"), &fields).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let secret = between(created.text(), "id=\"secret\" data-ak-secret>", "<");
    let call =
        async || example.get("/v1/bots", &[&format!("authorization: Bearer {secret}")]).await;
    assert_eq!(call().await.status, 200);
    // Uses are written in the background.
    let seen = async || loop {
        let list = alice.get(PAGES).await;
        let row = list.text().split("<tr").find(|row| row.contains("CI deploys")).unwrap();
        if row.contains("1 request") && row.contains("just now") {
            return row.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let row = tokio::time::timeout(Duration::from_secs(60), seen()).await.expect("it is counted");
    let path = between(&row, "<a href=\"", "\"");
    assert_eq!(alice.post(&format!("{path}/revoke"), "").await.status, 303);
    assert_eq!(call().await.status, 401);
}

#[tokio::test]
async fn people_see_the_keys_of_their_own_customer() {
    let example = Example::start("dashboard");
    let bob = Person::sign_in(&example, "bob@globex.example", "correct-horse").await.unwrap();
    let list = bob.get(PAGES).await;
    assert!(list.text().contains("Globex chat") && !list.text().contains("Nightly import"));
    let theirs = bob.get(&format!("{PAGES}/key/{}", example.id("import"))).await;
    assert_eq!(theirs.status, 404);
    // Nor may they grant what they have not paid for.
    let form = bob.get(&format!("{PAGES}/new")).await;
    assert!(form.text().contains("chat:send") && !form.text().contains("bots:read"));
    let nobody = example.get(PAGES, &[]).await;
    assert_eq!(nobody.header("location"), Some("/sign-in?next=%2Fsettings%2Fapi%2Dkeys"));
    assert_eq!(bob.post("/sign-out", "").await.status, 303);
    assert_eq!(bob.get(PAGES).await.status, 303);
}

#[tokio::test]
async fn the_api_behind_the_keys_goes_by_what_they_may_do() {
    let example = Example::start("dashboard");
    assert_eq!(example.get_as("import", "/v1/bots").await.status, 200);
    // Everybody can read a public key, so it calls only what accepts one.
    assert_eq!(example.get_as("widget", "/v1/bots").await.status, 403);
}
