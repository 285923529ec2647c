//! The example `grpc` with a tonic client and with the client of another language.

use std::sync::Arc;

use crate::common::MemoryKeys as _;
use crate::common::python::python;
use crate::example::Example;
use async_trait::async_trait;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower_api_key::{
    ApiKeyLayer, KeyDigest, KeyRecord, KeyStore, Rejection, RejectionKind, RequestHead, StoreError,
    VerifiedKey,
};

async fn client(address: std::net::SocketAddr) -> HealthClient<Channel> {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    HealthClient::new(channel.connect().await.unwrap())
}

fn request(key: Option<&str>) -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest::default());
    if let Some(key) = key {
        request.metadata_mut().insert("x-api-key", MetadataValue::try_from(key).unwrap());
    }
    request
}

fn refusal<T>(answer: Result<T, Status>) -> (Code, String) {
    let Err(status) = answer else { panic!("the request was served") };
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn every_method_needs_its_ability() {
    let server = Example::start("grpc");
    let mut client = client(server.address).await;
    let missing = |ability: &str| (Code::PermissionDenied, format!("Missing ability: {ability}"));
    for (label, check, watch) in
        [("checker", true, false), ("watcher", true, true), ("none", false, false)]
    {
        let key = Some(server.key(label));
        let checked = client.check(request(key)).await;
        if check {
            assert_eq!(checked.unwrap().into_inner().status, 1, "{label}");
        } else {
            assert_eq!(refusal(checked), missing("health:check"), "{label}");
        }
        let watched = client.watch(request(key)).await;
        if watch {
            let first = watched.unwrap().into_inner().message().await.unwrap();
            assert_eq!(first.unwrap().status, 1, "{label}");
        } else {
            assert_eq!(refusal(watched), missing("health:watch"), "{label}");
        }
    }
}

#[tokio::test]
async fn a_missing_and_a_wrong_key_are_unauthenticated() {
    let server = Example::start("grpc");
    let mut client = client(server.address).await;
    let missing = refusal(client.check(request(None)).await);
    assert_eq!(missing, (Code::Unauthenticated, "An API key is required".to_owned()));
    let wrong = refusal(client.check(request(Some("ak_nobody"))).await);
    assert_eq!(wrong, (Code::Unauthenticated, "The API key is not valid".to_owned()));
    let mut bearer = request(None);
    let value = format!("Bearer {}", server.key("checker"));
    bearer.metadata_mut().insert("authorization", value.parse().unwrap());
    assert!(client.check(bearer).await.is_ok());
}

struct Down;

#[async_trait]
impl KeyStore for Down {
    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        Err(StoreError::new("the database is down"))
    }
}

/// Serves the health service behind `layer` and returns where.
async fn serve(layer: ApiKeyLayer) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder().layer(layer).add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

#[tokio::test]
async fn a_failing_store_is_unavailable() {
    let mut client = client(serve(ApiKeyLayer::new(Down)).await).await;
    let (code, message) = refusal(client.check(request(Some("ak_any"))).await);
    assert_eq!(code, Code::Unavailable);
    assert_eq!(message, "API keys cannot be verified at the moment");
}

#[tokio::test]
async fn a_message_arrives_as_it_was_written() {
    const MESSAGE: &str = "50 % für heute\nmorgen wieder";
    fn refuse(_: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
        Err(Rejection::new(RejectionKind::RateLimited).with_message(MESSAGE))
    }
    let keys = tower_api_key::MemoryStore::new();
    let issued = keys.issue(tower_api_key::NewKey::named("test")).unwrap();
    let mut client = client(serve(ApiKeyLayer::new(keys).guard(refuse)).await).await;
    let answer = client.check(request(Some(issued.secret.reveal()))).await;
    assert_eq!(refusal(answer), (Code::ResourceExhausted, MESSAGE.to_owned()));
}

/// `tests/all` makes the Python environment; it needs the network once.
#[test]
#[ignore = "needs Python with grpcio: `tests/all` installs it and runs this too"]
fn a_python_client_sees_the_same_codes_and_messages() {
    let server = Example::start("grpc");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let down = runtime.block_on(serve(ApiKeyLayer::new(Down)));
    let output = python()
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/grpc_client.py"))
        .args([server.address.to_string(), down.to_string()])
        .args(["checker", "watcher", "none"].map(|label| server.key(label)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(output.stdout, b"8 answers as expected\n", "{said}");
}
