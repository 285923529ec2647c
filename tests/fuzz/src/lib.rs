//! What the fuzz targets share: reading their input, and requests that take the real way.

#![forbid(unsafe_code)]

pub mod credentials;
pub mod decisions;
pub mod forwarded;
#[path = "../../common/memory.rs"]
pub mod memory;
pub mod model;
pub mod paths;
pub mod policies;

use std::convert::Infallible;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::Empty;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::Immediate;
use tower_api_key::{
    ApiKeyLayer, KeyDigest, KeyRecord, KeyStore, MemoryStore, Rejection, RejectionKind, StoreError,
    VerifiedKey,
};

use self::memory::MemoryKeys as _;

/// Splits an input into lines of text, if it is text. There is at least one line.
pub fn lines(input: &[u8]) -> Option<Vec<&str>> {
    Some(str::from_utf8(input).ok()?.split('\n').collect())
}

/// Makes a request of a URI and header lines, which may have any bytes.
pub fn request<'a>(
    uri: &[u8],
    lines: impl IntoIterator<Item = &'a [u8]>,
) -> Option<Request<Empty<Bytes>>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::try_from(uri).ok()?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The inner service was called, by a key of this name.
    Admitted(String),
    /// The inner service was called without a key.
    Anonymous,
    Refused(RejectionKind),
}

/// Sends a request through a layer, and returns what became of it and, if the inner service was
/// called, what that saw.
pub fn call(layer: &ApiKeyLayer, request: Request<Empty<Bytes>>) -> (Outcome, Option<Request<()>>) {
    let (outcome, seen, _) = answer(layer, request);
    (outcome, seen)
}

/// Does as [`call`], and returns the head of the response as well.
pub fn answer(
    layer: &ApiKeyLayer,
    request: Request<Empty<Bytes>>,
) -> (Outcome, Option<Request<()>>, Response<()>) {
    let seen = Arc::new(Mutex::new(None));
    let inner = {
        let seen = Arc::clone(&seen);
        service_fn(move |request: Request<Empty<Bytes>>| {
            *seen.lock().unwrap() = Some(request.map(drop));
            std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
        })
    };
    // For the timer of a layer that waits for its store.
    let _entered = runtime().enter();
    let response = layer.layer(inner).oneshot(request).now_or_never();
    let response = response.expect("no store waits").unwrap().map(drop);
    let seen = seen.lock().unwrap().take();
    let outcome = match (&seen, response.extensions().get::<Rejection>()) {
        (None, Some(rejection)) => Outcome::Refused(rejection.kind()),
        (Some(request), None) => match request.extensions().get::<VerifiedKey>() {
            Some(key) => Outcome::Admitted(key.name().to_owned()),
            None => Outcome::Anonymous,
        },
        (seen, rejection) => panic!("called and refused, or neither: {seen:?} {rejection:?}"),
    };
    (outcome, seen, response)
}

fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());
    &RUNTIME
}

/// A store that knows no key, and writes down what it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<Mutex<Vec<KeyDigest>>>);

impl Asked {
    pub fn take(&self) -> Vec<KeyDigest> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[async_trait]
impl KeyStore for Asked {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.0.lock().unwrap().push(*digest);
        Ok(None)
    }

    fn find_now(&self, digest: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        self.0.lock().unwrap().push(*digest);
        Immediate::Answer(None)
    }
}

/// Adds a record of a key with this text to a store.
pub fn insert(keys: &MemoryStore, text: &str, change: impl FnOnce(&mut KeyRecord)) {
    let digest = tower_api_key::KeyHasher::sha256().digest(text);
    let mut record = KeyRecord::new("key_1".parse().unwrap(), digest, "known", SystemTime::now());
    change(&mut record);
    keys.insert(record);
}
