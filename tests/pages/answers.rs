//! What the pages show, and to whom.

use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use http::request::Parts;
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{KeyAction, Refused};
use tower_api_key::manage::pages::KeyPages;
use tower_api_key::store::{KeyUse, RecordUses as _};
use tower_api_key::{
    ApiKeyLayer, Clock as _, KeyKind, KeyManager, NewKey, SqliteStore, VerifiedKey,
};

use crate::common::{RawResponse, get_raw, send_raw, serve};
use crate::world::{BASE, NOON, World, live, use_hourly};

const DAY: Duration = Duration::from_secs(86_400);

/// The names of the keys in a list, in its order.
fn names(page: &str) -> Vec<String> {
    let name = regex::Regex::new(r#"<a href="[^"]*/key/[^"]*"><bdi class="ak-name">(.*?)</bdi>"#);
    name.unwrap().captures_iter(page).map(|found| found[1].to_owned()).collect()
}

#[tokio::test]
async fn the_list_says_of_each_key_what_its_owner_has_to_know() {
    let world = World::new().await;
    let key = live("Nightly import").abilities(["bots:read", "bots:write", "bots:delete"]);
    let issued =
        world.issue(key.expires_at(UNIX_EPOCH + Duration::from_secs(NOON) + 5 * DAY)).await;
    let used = UNIX_EPOCH + Duration::from_secs(NOON) - 3 * DAY;
    world.store.record_uses(&[KeyUse::new(issued.record.id().clone(), used)]).await.unwrap();
    use_hourly(&world.store, &issued, world.clock.now()).await;
    let page = world.get("").await;
    assert_eq!(page.status, 200);
    let hint = issued.record.hint().as_str();
    for says in [
        "Nightly import",
        hint,
        "Expires soon",
        "in 5 days",
        "All of Bots",
        "live",
        "3 days ago",
        r#"<time datetime="2026-11-26T12:00Z""#,
        "the system",
        // 29 days and 13 hours.
        "7.3k requests, 2\u{a0}% refused",
    ] {
        assert!(page.text().contains(says), "{says} is not in {}", page.text());
    }
    assert!(!page.text().contains(issued.secret.reveal()));
}

#[tokio::test]
async fn every_state_has_its_word() {
    let world = World::new().await;
    let [active, disabled, revoked, rotated] = [
        world.live("active one").await,
        world.live("disabled one").await,
        world.live("revoked one").await,
        world.live("rotated one").await,
    ];
    world.keys.disable(disabled.record.id()).await.unwrap();
    world.keys.revoke(revoked.record.id()).await.unwrap();
    let successor = world.keys.rotate(rotated.record.id(), DAY).await.unwrap();
    for (key, word) in
        [(&active, "Active"), (&disabled, "Disabled"), (&revoked, "Revoked"), (&rotated, "Rotated")]
    {
        let page = world.get(&format!("/key/{}", key.record.id())).await;
        assert!(page.text().contains(&format!(">{word}</span>")), "{word}");
    }
    let page = world.get(&format!("/key/{}", rotated.record.id())).await;
    assert!(page.text().contains("works until"));
    assert!(page.text().contains(&format!("{BASE}/key/{}", successor.record.id())));
    world.clock.advance(2 * DAY);
    let expiring = live("expired one").expires_at(UNIX_EPOCH + Duration::from_secs(NOON) + 3 * DAY);
    let expired = world.issue(expiring).await;
    world.clock.advance(2 * DAY);
    let page = world.get(&format!("/key/{}", expired.record.id())).await;
    assert!(page.text().contains(">Expired</span>"));
}

#[tokio::test]
async fn a_suspended_tenant_is_told_so_and_offered_what_it_can_still_do() {
    let world = World::new().await;
    let key = world.live("Nightly import").await;
    let rotated = world.live("Rotated one").await;
    world.keys.rotate(rotated.record.id(), DAY).await.unwrap();
    let path = format!("/key/{}", key.record.id());
    for path in ["", &path] {
        assert!(!world.get(path).await.text().contains("uspended:"), "{path}");
    }
    world.keys.suspend(&"acme".parse().unwrap()).await.unwrap();
    for path in ["", &path] {
        let page = world.get(path).await;
        assert!(page.text().contains("Your account is suspended:"), "{path}");
        assert!(page.text().contains(">Suspended</span>"), "{path}");
    }
    let list = world.get("").await;
    assert_eq!(list.text().matches(">Suspended</span>").count(), 3, "rotated ones, too");
    assert_eq!(names(world.get("?state=suspended").await.text()).len(), 3);
    let page = world.get(&path).await;
    let actions = ["rename", "change", "rotate", "disable", "revoke"];
    let offered = actions.map(|action| page.text().contains(&format!("{path}/{action}")));
    assert_eq!(offered, [false, false, false, true, true]);

    let token = world.token().await;
    let fields = [("token", &*token), ("name", "a key"), ("stage", "live"), ("expiry", "30")];
    let new = world.post("/new", &fields).await;
    let renamed = world.post(&format!("{path}/rename"), &[("name", "Another name")]).await;
    let rotated = world.post(&format!("{path}/rotate"), &[("grace", "3600")]).await;
    for answer in [new, renamed, rotated] {
        assert_eq!(answer.status, 409);
        assert!(answer.text().contains("Your account is suspended:"));
    }
    assert_eq!(world.post(&format!("{path}/disable"), &[]).await.status, 303);
    assert!(!world.get(&path).await.text().contains("/enable"));
    assert_eq!(world.post(&format!("{path}/revoke"), &[]).await.status, 303);
    world.keys.resume(&"acme".parse().unwrap()).await.unwrap();
    assert!(world.get(&path).await.text().contains(">Revoked</span>"));
}

#[tokio::test]
async fn the_list_is_searched_filtered_and_sorted() {
    let world = World::new().await;
    for name in ["Charlie", "alpha", "Bravo"] {
        world.live(name).await;
        world.clock.advance(Duration::from_secs(1));
    }
    let test = NewKey::named("Delta").tenant("acme").stage("test").kind(KeyKind::Secret);
    let delta = world.issue(test).await;
    world.keys.disable(delta.record.id()).await.unwrap();
    let list = async |query: &str| names(world.get(query).await.text());
    assert_eq!(list("").await, ["Delta", "Bravo", "alpha", "Charlie"]);
    assert_eq!(list("?sort=oldest").await, ["Charlie", "alpha", "Bravo", "Delta"]);
    assert_eq!(list("?sort=name").await, ["alpha", "Bravo", "Charlie", "Delta"]);
    assert_eq!(list("?sort=name-down").await, ["Delta", "Charlie", "Bravo", "alpha"]);
    assert_eq!(list("?name=RAV").await, ["Bravo"]);
    assert_eq!(list("?state=disabled&name=&stage=").await, ["Delta"]);
    assert_eq!(list("?stage=live&sort=name").await, ["alpha", "Bravo", "Charlie"]);
    assert_eq!(list("?unused=1").await, [""; 0]);
    world.clock.advance(91 * DAY);
    assert_eq!(list("?unused=1").await.len(), 4);
    let used = KeyUse::new(delta.record.id().clone(), UNIX_EPOCH + Duration::from_secs(NOON));
    world.store.record_uses(&[used]).await.unwrap();
    assert_eq!(list("?sort=used").await[0], "Delta");
    assert_eq!(list("?sort=unused").await[3], "Delta");
    for wrong in ["?state=odd", "?sort=odd", "?after=odd", "?stage=%2F"] {
        let page = world.get(wrong).await;
        assert_eq!(page.status, 400, "{wrong}");
        assert!(page.text().contains("That did not work"));
    }
}

#[tokio::test]
async fn the_list_goes_on_from_page_to_page_in_each_order() {
    let world = World::with(|pages| pages.page_size(2)).await;
    for name in ["e-key", "d-key", "c-key", "b-key", "a-key"] {
        world.live(name).await;
        world.clock.advance(Duration::from_secs(1));
    }
    let next = regex::Regex::new(r#"rel="next" href="([^"]*)""#).unwrap();
    for (sort, expected) in [
        ("", ["a-key", "b-key", "c-key", "d-key", "e-key"]),
        ("?sort=oldest", ["e-key", "d-key", "c-key", "b-key", "a-key"]),
        ("?sort=name-down", ["e-key", "d-key", "c-key", "b-key", "a-key"]),
    ] {
        let (mut path, mut seen) = (sort.to_owned(), Vec::new());
        loop {
            let page = world.get(&path).await;
            seen.extend(names(page.text()));
            let Some(found) = next.captures(page.text()) else { break };
            path = found[1].replace("&amp;", "&").strip_prefix(BASE).unwrap().to_owned();
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn somebody_without_keys_is_taught_what_to_do() {
    let world = World::new().await;
    let page = world.get("").await;
    for says in ["No keys yet", "Create your first key", "curl https://api.shop.example/v1/bots"] {
        assert!(page.text().contains(says), "{says}");
    }
    assert!(!page.text().contains("<table"));
    let filtered = world.get("?name=none").await;
    assert!(filtered.text().contains("No key matches"));
}

#[tokio::test]
async fn a_key_has_its_whole_record_its_charts_and_what_can_be_done() {
    let world = World::new().await;
    let key = live("Reports")
        .abilities(["bots:read"])
        .addresses(["192.0.2.0/24"])
        .origins(["https://*.shop.example"])
        .endpoints(["GET /v1/reports/*"])
        .limit("100 per minute");
    let key = world.issue(key).await;
    use_hourly(&world.store, &key, world.clock.now()).await;
    let path = format!("/key/{}", key.record.id());
    let page = world.get(&path).await;
    for says in [
        "List and read bots",
        "192.0.2.0/24",
        "https://*.shop.example",
        "GET /v1/reports/*",
        "100 per minute",
        "Refused: rate limit",
        r#"aria-current="true">Last 30 days"#,
    ] {
        assert!(page.text().contains(says), "{says} is not in {}", page.text());
    }
    for action in ["rename", "change", "disable", "rotate", "revoke"] {
        assert!(page.text().contains(&format!("{BASE}{path}/{action}")), "{action}");
    }
    for (by, rows) in [("hour", 24), ("day", 30), ("month", 12)] {
        let page = world.get(&format!("{path}?by={by}")).await;
        assert_eq!(page.text().matches(r#"<th scope="row">"#).count(), rows, "{by}");
    }
    world.keys.revoke(key.record.id()).await.unwrap();
    assert!(!world.get(&path).await.text().contains("/rotate"));
}

/// Somebody is sent a link to a key that has leaked.
#[tokio::test]
async fn no_link_says_of_a_key_that_works_that_it_was_taken_out_of_use() {
    let world = World::new().await;
    let key = world.live("Nightly import").await;
    let path = format!("/key/{}", key.record.id());
    let says = async |done: &str| {
        let page = world.get(&format!("{path}?done={done}")).await;
        page.text().contains("class=\"ak-done\"")
    };
    assert!(says("changed").await && says("enabled").await);
    assert!(!says("revoked").await && !says("disabled").await && !says("odd").await);
    world.keys.disable(key.record.id()).await.unwrap();
    assert!(says("disabled").await && !says("enabled").await && !says("revoked").await);
    world.keys.revoke(key.record.id()).await.unwrap();
    assert!(says("revoked").await && !says("enabled").await);
}

#[tokio::test]
async fn a_foreign_key_is_as_unknown_as_one_that_there_is_not() {
    let world = World::new().await;
    let foreign = NewKey::named("theirs").tenant("globex").stage("live").kind(KeyKind::Secret);
    let foreign = world.issue(foreign).await;
    let normal = |page: RawResponse| (page.status, page.text().to_owned());
    for action in ["", "/rename", "/change", "/rotate", "/revoke"] {
        let theirs = world.get(&format!("/key/{}{action}", foreign.record.id())).await;
        let none = world.get(&format!("/key/key_00000000000000000000{action}")).await;
        let odd = world.get(&format!("/key/%20{action}")).await;
        assert_eq!(theirs.status, 404, "{action}");
        assert_eq!(normal(theirs.clone()), normal(none), "{action}");
        assert_eq!(normal(theirs), normal(odd), "{action}");
    }
    for action in ["rename", "change", "disable", "enable", "rotate", "revoke"] {
        let fields = [("name", "mine now"), ("grace", "0"), ("expiry", "keep")];
        let theirs = world.post(&format!("/key/{}/{action}", foreign.record.id()), &fields).await;
        let none = world.post(&format!("/key/key_00000000000000000000/{action}"), &fields).await;
        assert_eq!(theirs.status, 404, "{action}");
        assert_eq!(normal(theirs), normal(none), "{action}");
    }
    let stored = world.keys.get(foreign.record.id()).await.unwrap();
    assert_eq!(stored.record, foreign.record);
}

#[tokio::test]
async fn names_are_shown_as_they_are_and_break_nothing() {
    let world = World::new().await;
    let wide = "\u{754c}".repeat(100);
    let names = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd} import",
        "' onmouseover='x",
        "&lt;b&gt;",
        &wide,
    ];
    for name in names {
        let key = world.live(name).await;
        let path = format!("/key/{}", key.record.id());
        let shown = name
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;");
        for path in
            ["".to_owned(), path.clone(), format!("{path}/revoke"), format!("{path}/rename")]
        {
            let page = world.get(&path).await;
            assert!(page.text().contains(&shown), "{name} in {path}");
            assert!(!page.text().contains("<script>") && !page.text().contains("<img"), "{path}");
        }
    }
    let page = world.get("?name=%22%3E%3Cscript%3E").await;
    assert!(!page.text().contains("<script>"), "what was searched for");
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_it() {
    let world = World::new().await;
    let style = regex::Regex::new(r#"href="([^"]*/assets/[^"]*\.css)""#).unwrap();
    let script = regex::Regex::new(r#"src="([^"]*/assets/[^"]*\.js)""#).unwrap();
    let list = world.get("").await;
    let style = style.captures(list.text()).unwrap()[1].strip_prefix(BASE).unwrap().to_owned();
    let script = script.captures(list.text()).unwrap()[1].strip_prefix(BASE).unwrap().to_owned();
    for (path, status) in
        [("", 200), ("/new", 200), ("/key/none", 404), (&style, 200), (&script, 200)]
    {
        let answer = world.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        for says in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"] {
            assert!(policy.contains(says), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"));
        let is_asset = path.contains("/assets/");
        let cached = if is_asset { "public, max-age=31536000, immutable" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), Some(cached), "{path}");
    }
    assert_eq!(world.get("/assets/api-keys-0000000000000000.css").await.status, 404);
    // Nothing that the policy would refuse.
    for path in ["", "/new", "/new-public"] {
        let page = world.get(path).await;
        assert!(!page.text().contains(" style=") && !page.text().contains(" onclick"), "{path}");
    }
}

#[tokio::test]
async fn a_key_does_not_manage_keys_here() {
    let world = World::new().await;
    let key = world.live("a program").await;
    let as_key = |parts: &mut Parts, _: &KeyAction| -> Result<Owner, Refused> {
        let key = parts.extensions.get::<VerifiedKey>().cloned().unwrap();
        parts.extensions.clear();
        Ok(Owner::of_key(&key))
    };
    let as_tenant = |_: &mut Parts, _: &KeyAction| -> Result<Owner, Refused> {
        Ok(Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "alice"))
    };
    let layer = || world.keys.layer();
    let app = Router::new()
        .nest("/a", KeyPages::new(world.keys.clone(), as_key).into_router())
        .nest("/b", KeyPages::new(world.keys.clone(), as_tenant).into_router())
        .layer(layer());
    let address = serve(app).await;
    for path in ["/a", "/b", "/a/new", "/b/new"] {
        let lines = format!("x-api-key: {}", key.secret.reveal());
        let answer = get_raw(address, path, &[&lines]).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().contains("Sign in to manage API keys here"), "{path}");
    }
    // Nor does one that hides behind who the application thinks calls.
    let hidden = |parts: &mut Parts, _: &KeyAction| -> Result<Owner, Refused> {
        let key = parts.extensions.remove::<Kept>().unwrap();
        Ok(Owner::of_key(&key.0))
    };
    let hide = axum::middleware::map_request(async |mut request: axum::extract::Request| {
        let key = request.extensions_mut().remove::<VerifiedKey>().unwrap();
        request.extensions_mut().insert(Kept(key));
        request
    });
    let pages = KeyPages::new(world.keys.clone(), hidden).into_router().layer(hide);
    let layer = ApiKeyLayer::new(world.store.clone()).scheme(crate::world::scheme());
    let address = serve(Router::new().nest("/c", pages).layer(layer)).await;
    let lines = format!("x-api-key: {}", key.secret.reveal());
    assert_eq!(get_raw(address, "/c", &[&lines]).await.status, 403);
}

#[derive(Clone)]
struct Kept(VerifiedKey);

#[tokio::test]
async fn pages_are_where_they_are_nested_or_said_to_be() {
    let world = World::new().await;
    assert!(world.get("").await.text().contains(r#"href="/settings/api-keys/new""#));
    let owner = |_: &mut Parts, _: &KeyAction| -> Result<Owner, Refused> {
        Ok(Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "alice"))
    };
    let pages = || KeyPages::new(world.keys.clone(), owner);
    let said = pages().mounted_at("/behind/a-proxy/").into_router();
    let app =
        Router::new().nest("/deep", Router::new().nest("/{team}/keys", pages().into_router()));
    let address = serve(app.nest("/said", said)).await;
    let at = async |path: &str| get_raw(address, path, &[]).await.text().to_owned();
    assert!(at("/deep/acme/keys").await.contains(r#"href="/deep/acme/keys/new""#));
    assert!(at("/deep/acme/keys/new").await.contains(r#"action="/deep/acme/keys/new""#));
    assert!(at("/said").await.contains(r#"href="/behind/a-proxy/new""#));
    let alone = serve(pages().into_router()).await;
    let page = get_raw(alone, "/", &[]).await;
    assert!(page.text().contains(r#"href="/new""#), "{}", page.text());
    // What begins with two slashes is the name of a host to browsers.
    let odd = send_raw(alone, "GET //evil.example/key/x HTTP/1.1").await;
    assert!(!odd.text().contains("\"//evil"), "{}", odd.text());
}

#[tokio::test]
async fn keys_are_shown_without_their_usage_if_the_store_cannot_tell() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.db");
    let store = SqliteStore::open(&file).await.unwrap();
    let keys = KeyManager::new(store).scheme(crate::world::scheme());
    let key = keys.issue(live("Nightly import")).await.unwrap();
    let owner = |_: &mut Parts, _: &KeyAction| -> Result<Owner, Refused> {
        Ok(Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "alice"))
    };
    let address = serve(KeyPages::new(keys, owner).into_router()).await;
    let path = format!("/key/{}", key.record.id());
    for path in ["/", &path] {
        assert!(get_raw(address, path, &[]).await.text().contains("Last 30 days"), "{path}");
    }

    let url = format!("sqlite://{}", file.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::raw_sql("DROP TABLE api_key_usage; DROP TABLE api_key_usage_days")
        .execute(&pool)
        .await
        .unwrap();
    let list = get_raw(address, "/", &[]).await;
    assert_eq!(list.status, 200);
    assert!(list.text().contains("Nightly import") && !list.text().contains("Last 30 days"));
    let page = get_raw(address, &path, &[]).await;
    assert!(page.text().contains("cannot be read at the moment"));
}

#[tokio::test]
async fn an_application_that_counts_nothing_shows_no_usage() {
    let world = World::with(|pages| pages.without_usage()).await;
    let key = world.live("Nightly import").await;
    for path in ["", &format!("/key/{}", key.record.id())] {
        assert!(!world.get(path).await.text().contains("Last 30 days"), "{path}");
    }
}
