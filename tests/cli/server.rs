//! Keys of the command line on a server.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use tower_api_key::{
    ApiKeyLayer, CachedStore, KeyHasher, KeyScheme, RequireAbility, SqliteStore, VerifiedKey,
};

use crate::common::{get_raw, in_time, serve};
use crate::operator::Operator;

const PEPPER: &str = "the pepper of the server";

#[tokio::test(flavor = "multi_thread")]
async fn an_issued_key_opens_a_server_until_it_is_revoked() {
    let operator = Operator::new().with("API_KEYS_PEPPER", PEPPER);
    let store = SqliteStore::open(operator.file()).await.unwrap();
    let handler = get(async |key: VerifiedKey| key.name().to_owned());
    let layer = ApiKeyLayer::new(store)
        .scheme(KeyScheme::default().hasher(KeyHasher::hmac_sha256(PEPPER.as_bytes())));
    let app = Router::new().route("/", handler.layer(RequireAbility::new("a:b"))).layer(layer);
    let address = serve(app).await;
    let status = async |secret: &str| {
        let response = get_raw(address, "/", &[&format!("x-api-key: {secret}")]).await;
        (response.status, response.text().to_owned())
    };

    let (id, secret) = operator.issue("from the command line", &["--ability=a:b"]);
    assert_eq!(status(&secret).await, (200, "from the command line".to_owned()));
    operator.pipe(&*secret, &["verify", "--ability=a:b"]).succeeds();
    operator.run(&["update", &id, "--no-abilities"]).succeeds();
    assert_eq!(status(&secret).await.0, 403);
    operator.pipe(&*secret, &["verify", "--ability=a:b"]).exits(6);
    operator.run(&["update", &id, "--ability=*"]).succeeds();
    assert_eq!(status(&secret).await.0, 200);
    operator.run(&["revoke", &id]).succeeds();
    assert_eq!(status(&secret).await.0, 401);

    let (_, leaked) = operator.issue("leaked", &["--ability=a:b"]);
    assert_eq!(status(&leaked).await.0, 200);
    operator.pipe(&*leaked, &["revoke", "--secret-stdin"]).succeeds();
    assert_eq!(status(&leaked).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_cache_refuses_what_the_command_line_has_revoked_and_its_streams_end() {
    let operator = Operator::new();
    let database = SqliteStore::open(operator.file()).await.unwrap();
    let hour = Duration::from_secs(3600);
    let keys = CachedStore::builder(database.clone())
        .invalidated_by(database.invalidations())
        // Nothing else tells the server within the time of this test.
        .max_staleness(hour)
        .ttl(hour)
        .negative_ttl(hour)
        .build();
    let events = async || {
        let ticks = tokio_stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"open"))]);
        Body::from_stream(tokio_stream::StreamExt::chain(ticks, tokio_stream::pending()))
    };
    let app = Router::new()
        .route("/", get(async || "in"))
        .route("/events", get(events))
        .layer(ApiKeyLayer::new(keys.clone()));
    let address = serve(app).await;
    let (id, secret) = operator.issue("from the command line", &[]);
    let header = format!("x-api-key: {secret}");
    let status = async || get_raw(address, "/", &[&header]).await.status;
    in_time(async {
        while !keys.is_live() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(status().await, 200);
    let digest = KeyHasher::sha256().digest(&secret);
    assert!(tower_api_key::KeyStore::find_now(&keys, &digest).answer().is_some(), "it is cached");
    let stream = reqwest::Client::new().get(format!("http://{address}/events"));
    let mut stream = stream.header("x-api-key", &secret).send().await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "open");

    operator.run(&["revoke", &id]).succeeds();
    in_time(async { while status().await != 401 {} }).await;
    let ended = in_time(stream.chunk()).await;
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    assert!(keys.is_live(), "nothing was lost");
    // A key that was unknown to the cache, too.
    let (_, later) = operator.issue("later", &[]);
    let header = format!("x-api-key: {later}");
    in_time(async { while get_raw(address, "/", &[&header]).await.status != 200 {} }).await;
}
