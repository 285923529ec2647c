//! What the list costs, and what a first visit weighs.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::request::Parts;
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{KeyAction, KeyRoutes, Refused};
use tower_api_key::manage::pages::KeyPages;
use tower_api_key::store::{
    KeyRepository, KeyUsage, UsageBatch, UsageCounts, UsageKind, UsageRetention, UsageStore,
};
use tower_api_key::{IssuedKey, KeyKind, KeyManager, NewKey, PostgresStore, SqliteStore};
use tracing::field::{Field, Visit};
use tracing::{Event, Instrument as _, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::common::{get_raw, serve};
use crate::world::{World, catalogue, scheme};

/// Keeps requests of 30 days of each key.
async fn use_daily(store: &impl UsageStore, keys: &[IssuedKey]) {
    let now = SystemTime::now();
    for day in 0..30 {
        let mut counts = UsageCounts::default();
        counts.add(UsageKind::Accepted, 100 + day * 13 % 50);
        counts.add(UsageKind::RateLimited, day % 7);
        let at = now - Duration::from_secs(day * 86_400);
        let rows = keys.iter().map(|key| {
            let (id, tenant) = (key.record.id().clone(), key.record.tenant().cloned());
            KeyUsage::new(id, tenant, at, counts)
        });
        let batch = UsageBatch::new("test", day + 1, UsageRetention::default(), rows);
        store.add_usage(&batch).await.unwrap();
    }
}

/// Collects the statements of requests in a span of this name, in whichever thread they are run, and how many
/// rows they return.
struct Statements;

const COUNTED: &str = "a request that is counted";

static STATEMENTS: AtomicUsize = AtomicUsize::new(0);
static ROWS: AtomicU64 = AtomicU64::new(0);

/// Adds up the rows of statements.
struct Rows;

impl Visit for Rows {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            ROWS.fetch_add(value, Ordering::SeqCst);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut scope = context.event_scope(event).into_iter().flatten();
        if event.metadata().target() == "sqlx::query" && scope.any(|span| span.name() == COUNTED) {
            STATEMENTS.fetch_add(1, Ordering::SeqCst);
            event.record(&mut Rows);
        }
    }
}

impl Statements {
    /// Starts to listen to what sqlx says of each statement.
    fn start() {
        static START: Once = Once::new();
        START.call_once(|| {
            // While tracing knows one subscriber only, a thread that comes to an event during its start turns
            // the event off. Of two, it asks both.
            let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
            std::mem::forget(second);
            let filter = Targets::new().with_target("sqlx", tracing::Level::DEBUG);
            tracing_subscriber::registry().with(Self.with_filter(filter)).init();
        });
    }

    /// Returns how many statements there were since the last call, and how many rows they returned.
    fn take() -> (usize, u64) {
        (STATEMENTS.swap(0, Ordering::SeqCst), ROWS.swap(0, Ordering::SeqCst))
    }
}

async fn count(request: Request, next: Next) -> Response {
    next.run(request).instrument(tracing::info_span!(target: "sqlx", COUNTED)).await
}

/// The statement of the list is one, and so is that of the usage: the number of keys makes no more of them.
async fn check_a_thousand(store: impl KeyRepository + UsageStore + Clone + 'static) {
    let keys = KeyManager::new(store.clone()).scheme(scheme());
    // One store after the other, so that each has its own count.
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = TURN.lock().await;
    Statements::start();
    let mut issued = Vec::new();
    for number in 0..1000 {
        let key = NewKey::named(format!("key number {number}")).tenant("acme").stage("live");
        let key = key.kind(KeyKind::Secret).abilities(["bots:read", "chat:send"]);
        issued.push(keys.issue(key.limit("100 per minute")).await.unwrap());
    }
    use_daily(&store, &issued).await;
    let owner = |_: &mut Parts, _: &KeyAction| -> Result<Owner, Refused> {
        Ok(Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "alice"))
    };
    let pages = KeyPages::new(keys.clone(), owner).catalogue(catalogue()).page_size(1000);
    let app = Router::new()
        .nest("/plain", pages.clone().without_usage().into_router())
        .nest("/keys", pages.into_router())
        .nest("/api", KeyRoutes::new(keys.clone(), owner).into_router())
        .layer(from_fn(count));
    let address = serve(app).await;
    // Before, connections and plans were made.
    get_raw(address, "/keys", &[]).await;
    Statements::take();
    let page = get_raw(address, "/keys", &[]).await;
    assert_eq!(page.text().matches("class=\"ak-spark\"").count(), 1000);
    // Of 30 days: 3735 requests were accepted, and 87 refused.
    assert_eq!(page.text().matches("3.8k requests, 2\u{a0}% refused").count(), 1000);
    let (statements, rows) = Statements::take();
    println!("a page with 1000 keys: {statements} statements, {rows} rows");
    assert!((2..=3).contains(&statements), "{statements}");
    // The keys and one row of usage for each, whichever usage there is.
    assert!((2000..=2010).contains(&rows), "{rows}");
    get_raw(address, "/keys?sort=name", &[]).await;
    assert!((2..=3).contains(&Statements::take().0), "in another order");

    // The fastest of several: others use the machine, too. The figures are for people, and decide nothing but
    // that it is not another order of magnitude.
    let mut fastest = [Duration::MAX; 3];
    for _ in 0..5 {
        for (place, path) in [(0, "/keys"), (2, "/plain")] {
            let start = Instant::now();
            get_raw(address, path, &[]).await;
            fastest[place] = fastest[place].min(start.elapsed());
        }
        let start = Instant::now();
        let mut after = String::new();
        let mut listed = 0;
        while listed < 1000 {
            let page =
                get_raw(address, &format!("/api/api-keys?limit=100{after}"), &[]).await.json();
            listed += page["data"].as_array().unwrap().len();
            after = format!("&cursor={}", page["next_cursor"].as_str().unwrap_or_default());
        }
        fastest[1] = fastest[1].min(start.elapsed());
    }
    let [page, api, plain] = fastest;
    println!("the page takes {page:?}, without usage {plain:?}, the list of the API {api:?}");
    assert!(fastest[0] < 20 * fastest[1], "{fastest:?}");
}

#[tokio::test]
async fn a_thousand_keys_in_sqlite_take_few_statements() {
    let store = SqliteStore::in_memory().await.unwrap();
    check_a_thousand(store).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_thousand_keys_in_postgres_take_few_statements() {
    let schema = format!("pages_{}", std::process::id());
    let url = crate::common::servers::database_url();
    let store = PostgresStore::connect(&url).schema(schema).await.unwrap();
    check_a_thousand(store).await;
}

#[tokio::test]
async fn a_first_visit_weighs_at_most_30_kilobytes() {
    let world = World::new().await;
    for number in 0..20 {
        world.used(&format!("Program number {number}")).await;
    }
    let link = regex::Regex::new(r#"(?:href|src)="([^"]*/assets/[^"]*)""#).unwrap();
    let list = world.get("").await;
    let mut paths = vec![crate::world::BASE.to_owned()];
    paths.extend(link.captures_iter(list.text()).map(|found| found[1].to_owned()));
    assert_eq!(paths.len(), 3);
    let mut sum = 0;
    for path in &paths {
        let lines = ["accept-encoding: gzip", "cookie: session=acme"];
        let answer = get_raw(world.address, path, &lines).await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{path}");
        println!("{path}: {} bytes", answer.body.len());
        sum += answer.body.len();
    }
    assert!(sum <= 30_000, "{sum} bytes");
}
