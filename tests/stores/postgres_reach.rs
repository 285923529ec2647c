//! What stands between a store and PostgreSQL: errors name the cause and never a password, and
//! PgBouncer works in session mode and is refused in others.

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use tower_api_key::store::InvalidationSource as _;
use tower_api_key::{
    CachedStore, KeyHasher, KeyManager, KeyRepository, KeyStore as _, NewKey, PostgresStore,
};

use crate::common::in_time;
use crate::common::proxy::Proxy;
use crate::common::server::free_port;
use crate::common::servers::Postgres;
use crate::postgres_replication::{PgBouncer, pool, run};

/// Returns all that is written of an error, with its causes.
fn written(error: &dyn std::error::Error) -> String {
    let mut written = format!("{error}\n{error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        written.push_str(&format!("\n{error}\n{error:?}"));
        cause = error.source();
    }
    assert!(!written.contains("hunter2"), "{written}");
    written
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_said_to_refuse_them() {
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("postgres://app:hunter2@{address}/keys");
    let error = written(&in_time(PostgresStore::connect(&url).into_future()).await.unwrap_err());
    assert!(error.contains(&format!("PostgreSQL at {address} refuses connections")), "{error}");
    assert!(!error.contains("pool timed out"), "{error}");
    let url = "postgres://app:hunter2@no-such-host.invalid/keys";
    let error = written(&in_time(PostgresStore::connect(url).into_future()).await.unwrap_err());
    assert!(error.contains("no connection to PostgreSQL at no-such-host.invalid:5432"), "{error}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_server_that_is_killed_silent_or_busy_is_named_with_its_fault() {
    let mut server = Postgres::start().await;
    let (address, proxy) = (server.address(), Proxy::to(server.address()).await);
    let own = PostgresStore::connect(&server.url()).await.unwrap();
    let far = PostgresStore::connect(&Postgres::url_at(proxy.address())).await.unwrap();
    let timeout = Duration::from_secs(1);
    let lent = PgPoolOptions::new().max_connections(1).acquire_timeout(timeout);
    let lent = lent.connect(&server.url()).await.unwrap();
    let small = PostgresStore::from_pool(lent.clone()).await.unwrap();
    let digest = KeyHasher::sha256().digest("x");

    let held = lent.acquire().await.unwrap();
    let error = written(&in_time(small.find(&digest)).await.unwrap_err());
    assert!(error.contains(&format!("all 1 connections to PostgreSQL at {address}")), "{error}");
    drop(held);
    assert!(in_time(small.find(&digest)).await.unwrap().is_none());

    proxy.stall();
    let error = written(&in_time(far.find(&digest)).await.unwrap_err());
    let silent = format!("PostgreSQL at {} does not answer", proxy.address());
    assert!(error.contains(&silent), "{error}");
    proxy.resume();
    in_time(async { while far.find(&digest).await.is_err() {} }).await;

    let source = own.invalidations();
    server.kill().await;
    for error in [
        written(&in_time(own.find(&digest)).await.unwrap_err()),
        written(&in_time(source.subscribe()).await.err().unwrap()),
        written(&in_time(source.beat(1)).await.unwrap_err()),
    ] {
        let refuses = format!("PostgreSQL at {address} refuses connections");
        assert!(error.contains(&refuses), "{error}");
    }
    server.start_again().await;
    in_time(async { while own.find(&digest).await.is_err() {} }).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_wrong_password_is_named_and_not_told() {
    let server = Postgres::start().await;
    let sql = pool(&server.url()).await;
    run(&sql, "CREATE ROLE app LOGIN PASSWORD 'another'").await;
    let hba = server.directory().join("data/pg_hba.conf");
    let trusting = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(&hba, format!("host all app 127.0.0.1/32 scram-sha-256\n{trusting}")).unwrap();
    run(&sql, "SELECT pg_reload_conf()").await;
    let url = format!("postgres://app:hunter2@{}/postgres", server.address());
    let refused = async {
        loop {
            match PostgresStore::connect(&url).await {
                Err(error) if error.to_string().contains("password") => break error,
                // Not loaded yet.
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let error = written(&in_time(refused).await);
    let named = format!("no connection to PostgreSQL at {}", server.address());
    assert!(error.contains(&named) && error.contains("authentication failed"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and PgBouncer: run tests/all"]
async fn through_pgbouncer_in_session_mode_everything_works_without_special_settings() {
    let server = Postgres::start().await;
    let bouncer = PgBouncer::start(&server, "session").await;
    let store = in_time(PostgresStore::connect(&bouncer.url()).into_future()).await.unwrap();
    let other = in_time(PostgresStore::connect(&bouncer.url()).into_future()).await.unwrap();
    let cache = |store: &PostgresStore| {
        let cached = CachedStore::builder(store.clone()).invalidated_by(store.invalidations());
        cached.heartbeat(Duration::from_millis(200)).build()
    };
    let (here, there) = (cache(&store), cache(&other));
    in_time(async {
        while !(here.is_live() && there.is_live()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let keys = KeyManager::new(here.clone());
    let key = keys.issue(NewKey::named("robot")).await.unwrap().record;
    assert!(there.find(&key.digest()).await.unwrap().unwrap().revoked_at().is_none());
    keys.revoke(key.id()).await.unwrap();
    let heard = async {
        while there.find(&key.digest()).await.unwrap().unwrap().revoked_at().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(heard).await;
    assert!(there.is_live());
    assert!(store.get(key.id()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and PgBouncer: run tests/all"]
async fn through_pgbouncer_in_transaction_mode_nothing_is_begun() {
    let server = Postgres::start().await;
    for mode in ["transaction", "statement"] {
        let bouncer = PgBouncer::start(&server, mode).await;
        let options: sqlx::postgres::PgConnectOptions = bouncer.url().parse().unwrap();
        let lent = PgPoolOptions::new().connect_with(options.extra_float_digits(None));
        let lent = PostgresStore::from_pool(in_time(lent).await.unwrap());
        for builder in [PostgresStore::connect(&bouncer.url()), lent] {
            let error = written(&in_time(builder.into_future()).await.unwrap_err());
            assert!(error.contains("set `pool_mode = session`"), "{error}");
        }
    }
    // A server without tables is left as it was.
    let tables = "SELECT count(*) FROM pg_class WHERE relname LIKE 'api_key%'";
    let tables: i64 =
        sqlx::query_scalar(tables).fetch_one(&pool(&server.url()).await).await.unwrap();
    assert_eq!(tables, 0);
}
