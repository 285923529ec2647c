//! [`ByHand`]: what the layer promises, written for one application: concrete types, no dynamic calls, and
//! nothing that can be set.
//!
//! It is what the layer is compared with. It does the same steps for a key that is accepted: both headers are
//! read, two credentials are an error, the length and the characters of a key are checked, it is hashed, found
//! and compared in constant time, its state and its restrictions are judged, the credential is removed, the
//! record is told to the handler, caches are told for whom the response is, and a body ends with its key.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::SystemTime;

use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tower::Service;

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static AUTHORIZATION: HeaderName = header::AUTHORIZATION;

/// A record with what the layer judges at each request.
pub struct Record {
    digest: [u8; 32],
    revoked: bool,
    disabled: bool,
    suspended: bool,
    expires_at: Option<SystemTime>,
    networks: Option<Vec<String>>,
    endpoints: Option<Vec<String>>,
    origins: Option<Vec<String>>,
    limits: Vec<u32>,
}

/// All records, and how often one of them was changed.
#[derive(Default)]
pub struct Keys {
    records: RwLock<HashMap<[u8; 32], Arc<Record>, BuildHasherDefault<FirstBytes>>>,
    edition: AtomicU64,
}

/// Takes the first bytes of a digest, which are random.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    }
}

impl Keys {
    /// Knows one key, which may do everything.
    pub fn of(key: &str) -> Arc<Self> {
        let digest = Sha256::digest(key).into();
        let record = Record {
            digest,
            revoked: false,
            disabled: false,
            suspended: false,
            expires_at: None,
            networks: None,
            endpoints: None,
            origins: None,
            limits: Vec::new(),
        };
        let records = RwLock::new(HashMap::from_iter([(digest, Arc::new(record))]));
        Arc::new(Self { records, edition: AtomicU64::new(1) })
    }

    fn find(&self, digest: &[u8; 32]) -> Option<Arc<Record>> {
        self.records.read().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }
}

/// The service. See the [module](self).
#[derive(Clone)]
pub struct ByHand<S> {
    inner: S,
    keys: Arc<Keys>,
}

impl<S> ByHand<S> {
    pub fn new(inner: S, keys: Arc<Keys>) -> Self {
        Self { inner, keys }
    }
}

/// Returns the value of a header, if it comes once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, StatusCode> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(StatusCode::BAD_REQUEST),
        (value, _) => Ok(value.map(HeaderValue::as_bytes)),
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
}

fn is_key_character(byte: u8) -> bool {
    byte.is_ascii_graphic() & (byte != b',') & (byte != b';') & (byte != b'"') & (byte != b'\\')
}

/// Returns the record of the key that a request has, and the header in which it is.
fn decide(
    keys: &Keys,
    headers: &HeaderMap,
) -> Result<(Arc<Record>, &'static HeaderName), StatusCode> {
    let own = only(headers, &X_API_KEY)?;
    let (key, name) = match (own, only(headers, &AUTHORIZATION)?.and_then(bearer)) {
        (Some(_), Some(_)) => return Err(StatusCode::BAD_REQUEST),
        (Some(key), None) => (key, &X_API_KEY),
        (None, Some(key)) => (key, &AUTHORIZATION),
        (None, None) => return Err(StatusCode::UNAUTHORIZED),
    };
    let allowed = key.iter().fold(true, |all, byte| all & is_key_character(*byte));
    if key.is_empty() || key.len() > 256 || !allowed {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let digest: [u8; 32] = Sha256::digest(key).into();
    let record = keys.find(&digest).ok_or(StatusCode::UNAUTHORIZED)?;
    let has_ended = !bool::from(record.digest.ct_eq(&digest))
        || record.revoked
        || record.disabled
        || record.suspended
        || record.expires_at.is_some_and(|at| SystemTime::now() >= at);
    if has_ended {
        return Err(StatusCode::UNAUTHORIZED);
    }
    if record.networks.is_some() || record.endpoints.is_some() || record.origins.is_some() {
        return Err(StatusCode::FORBIDDEN);
    }
    if !record.limits.is_empty() {
        return Err(StatusCode::TOO_MANY_REQUESTS);
    }
    Ok((record, name))
}

impl<S, B, R> Service<Request<B>> for ByHand<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<Watched<R>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let (record, name) = match decide(&self.keys, request.headers()) {
            Ok(decided) => decided,
            Err(status) => return Answering::Refused { status },
        };
        request.headers_mut().remove(name);
        request.extensions_mut().insert(Arc::clone(&record));
        let edition = self.keys.edition.load(Ordering::Acquire);
        let watch = Some(Watch { keys: Arc::clone(&self.keys), edition, record });
        Answering::Forward { future: self.inner.call(request), watch }
    }
}

/// What a body needs to end with its key.
struct Watch {
    keys: Arc<Keys>,
    edition: u64,
    record: Arc<Record>,
}

impl Watch {
    fn has_ended(&mut self) -> bool {
        let edition = self.keys.edition.load(Ordering::Acquire);
        if edition == self.edition {
            return false;
        }
        self.edition = edition;
        self.keys.find(&self.record.digest).is_none_or(|record| record.revoked)
    }
}

pin_project! {
    #[project = AnsweringProj]
    pub enum Answering<F> {
        Forward { #[pin] future: F, watch: Option<Watch> },
        Refused { status: StatusCode },
    }
}

impl<F, R, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<Watched<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnsweringProj::Refused { status } => {
                let mut response = Response::new(Watched { body: None, watch: None, begun: false });
                *response.status_mut() = *status;
                Poll::Ready(Ok(response))
            }
            AnsweringProj::Forward { future, watch } => {
                let mut response = std::task::ready!(future.poll(cx))?;
                tell_caches(response.headers_mut());
                let watch = watch.take();
                Poll::Ready(Ok(response.map(|body| Watched {
                    body: Some(body),
                    watch,
                    begun: false,
                })))
            }
        }
    }
}

fn tell_caches(headers: &mut HeaderMap) {
    const KEYS: HeaderValue = HeaderValue::from_static("x-api-key, authorization");
    const PRIVATE: HeaderValue = HeaderValue::from_static("private");
    headers.entry(CACHE_CONTROL).or_insert(PRIVATE);
    let own: Vec<_> = headers.get_all(VARY).iter().map(HeaderValue::as_bytes).collect();
    let vary = if own.is_empty() {
        KEYS
    } else {
        let own = own.join(&b", "[..]);
        HeaderValue::from_bytes(&[&own, &b", "[..], KEYS.as_bytes()].concat()).unwrap_or(KEYS)
    };
    headers.insert(VARY, vary);
}

pin_project! {
    /// A body that ends with its key. What is whole with its first frame is not watched.
    pub struct Watched<R> {
        #[pin]
        body: Option<R>,
        watch: Option<Watch>,
        begun: bool,
    }
}

impl<R: Body> Body for Watched<R> {
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<R::Data>, R::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        let frame = std::task::ready!(body.poll_frame(cx));
        if std::mem::replace(this.begun, true) && this.watch.as_mut().is_some_and(Watch::has_ended)
        {
            return Poll::Ready(None);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }
}
