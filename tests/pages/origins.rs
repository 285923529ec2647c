//! Requests that other sites have browsers send.

use crate::world::{BASE, World};

/// What a browser may say of a request, and whether it is let through.
const CASES: [(&[&str], bool); 15] = [
    (&["sec-fetch-site: same-origin"], true),
    (&["sec-fetch-site: none"], true),
    (&["sec-fetch-site: cross-site"], false),
    (&["sec-fetch-site: same-site"], false),
    (&["sec-fetch-site: cross-site", "origin: https://evil.example"], false),
    (&["sec-fetch-site: same-site", "origin: https://evil.shop.example"], false),
    (&["origin: https://evil.example"], false),
    (&["origin: null"], false),
    (&["origin: http://HOST"], true),
    (&["origin: http://HOST:1"], false),
    (&["origin: http://HOST.evil.example"], false),
    // A browser says one of both with what changes something.
    (&[], false),
    (&["origin:"], false),
    (&["sec-fetch-site:"], false),
    (&["sec-fetch-site:", "origin:"], false),
];

#[tokio::test]
async fn what_another_site_sends_is_refused_with_words_and_changes_nothing() {
    let world = World::new().await;
    let key = world.live("Nightly import").await;
    // What the requests of these tests say.
    let host = "localhost";
    for action in ["rename", "change", "disable", "enable", "rotate", "revoke"] {
        for (lines, is_allowed) in CASES {
            let lines: Vec<_> = lines.iter().map(|line| line.replace("HOST", host)).collect();
            if is_allowed {
                continue;
            }
            let mut with_session = vec!["cookie: session=acme"];
            with_session.extend(lines.iter().map(|line| &**line));
            let path = format!("/key/{}/{action}", key.record.id());
            let fields = [("name", "theirs"), ("grace", "0"), ("expiry", "keep")];
            let answer = world.post_with(&path, &with_session, &fields).await;
            assert_eq!(answer.status, 403, "{action} {lines:?}");
            let is_blank = lines.iter().all(|line| line.ends_with(':'));
            let says = if is_blank { "no Origin header" } else { "Another site" };
            assert!(answer.text().contains(says), "{}", answer.text());
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    assert_eq!(world.keys.get(key.record.id()).await.unwrap().record, key.record);
}

#[tokio::test]
async fn what_the_pages_send_themselves_is_let_through() {
    let world = World::new().await;
    // What the requests of these tests say.
    let host = "localhost";
    for (lines, is_allowed) in CASES {
        let lines: Vec<_> = lines.iter().map(|line| line.replace("HOST", host)).collect();
        let mut with_session = vec!["cookie: session=acme"];
        with_session.extend(lines.iter().map(|line| &**line));
        let fields = [("name", "a key"), ("stage", "live"), ("expiry", "30")];
        let answer = world.post_with("/new", &with_session, &fields).await;
        assert_eq!(answer.status, if is_allowed { 201 } else { 403 }, "{lines:?}");
    }
}

#[tokio::test]
async fn every_method_that_is_not_for_reading_is_refused() {
    let world = World::new().await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "ODD"] {
        let request = format!(
            "{method} {BASE}/new HTTP/1.1\r\ncookie: session=acme\r\nsec-fetch-site: cross-site\r\n\
             content-length: 0"
        );
        let answer = crate::common::send_raw(world.address, request).await;
        assert_eq!(answer.status, 403, "{method}");
    }
}
