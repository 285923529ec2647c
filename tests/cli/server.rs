//! Keys of the command line on a server.

use axum::Router;
use axum::routing::get;
use tower_api_key::{ApiKeyLayer, KeyHasher, KeyScheme, RequireAbility, SqliteStore, VerifiedKey};

use crate::common::{get_raw, serve};
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
