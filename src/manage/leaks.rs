//! The feature `leaks`: an endpoint for leaked keys that GitHub's secret scanning reports.
//!
//! As a [partner](https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partner-program) of
//! GitHub, a service registers the [regular expression](crate::KeyFormat::regex) of its keys and the URL of an
//! endpoint. [`LeakReports`] is that endpoint. It
//!
//! 1. reads at most a mebibyte of a `POST`, within 10 seconds. It reads at most 256 bodies at once: another one ends
//!    the oldest;
//! 2. verifies the signature (ECDSA on P-256 with SHA-256) with the public key that the request names, which a
//!    function of the application fetches;
//! 3. revokes each reported key that exists, or [only reports](LeakReports::report_only) it;
//! 4. answers for each match whether it was a key: `true_positive` or `false_positive`, with the SHA-256 of
//!    the token instead of the token.
//!
//! The status is 401 for a report without a valid signature, 400 for one that is not JSON of this form, and 503
//! if a store or the function fails. If the store fails for a few keys only, the others are revoked all the same.
//! A repeated report changes nothing.
//!
//! ```json
//! [{"token":"ak_…","type":"acme_api_key","url":"https://github.com/…","source":"content"}]
//! [{"token_hash":"6dc5…","token_type":"acme_api_key","label":"true_positive"}]
//! ```

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::api::Bodies;
use super::{KeyManager, ManageError};
use crate::contain;
use crate::ending::BoxError;
use crate::store::KeyRecord;

/// How much of a report is read, in bytes.
const MAX_LENGTH: usize = 1024 * 1024;

/// How many keys are looked up at a time.
const AT_A_TIME: usize = 8;

/// The number of keys for which the store may fail until the report is given up.
const MAX_FAILURES: usize = 8;

const IDENTIFIER: &str = "github-public-key-identifier";
const SIGNATURE: &str = "github-public-key-signature";

type FetchKey =
    dyn Fn(String) -> BoxFuture<'static, Result<Option<String>, BoxError>> + Send + Sync;
type OnLeak = dyn Fn(&Leak<'_>) + Send + Sync;

/// An endpoint that receives reports of leaked keys from GitHub. See the [module](self).
///
/// # Examples
///
/// ```
/// use axum::Router;
/// use tower_api_key::manage::leaks::LeakReports;
/// use tower_api_key::{KeyManager, MemoryStore};
///
/// /// Finds a public key in a cached answer of `https://api.github.com/meta/public_keys/secret_scanning`,
/// /// which is fetched at most once a minute.
/// async fn public_key(identifier: String) -> Result<Option<String>, std::io::Error> {
///     # let _ = identifier;
///     Ok(None) // or its `key`, in PEM
/// }
///
/// let keys = KeyManager::new(MemoryStore::new()).acting_as("github");
/// let reports = LeakReports::new(keys, public_key).on_leak(|leak| {
///     println!("{} was published at {}", leak.record().id(), leak.url());
/// });
/// let app: Router = Router::new().nest("/leaks", reports.into_router());
/// assert!(app.has_routes());
/// ```
#[derive(Clone)]
#[must_use]
pub struct LeakReports {
    keys: KeyManager,
    public_key: Arc<FetchKey>,
    on_leak: Option<Arc<OnLeak>>,
    revokes: bool,
    bodies: Bodies,
}

/// A leaked key.
#[derive(Clone, Copy, Debug)]
pub struct Leak<'a> {
    record: &'a Arc<KeyRecord>,
    found: &'a Place,
}

/// Where a key was found.
#[derive(Clone, Debug, Deserialize)]
struct Place {
    #[serde(rename = "type")]
    token_type: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    source: Option<String>,
}

#[derive(Deserialize)]
struct Match {
    /// It is public already.
    token: String,
    #[serde(flatten)]
    place: Place,
}

/// The store failed, so it is not known whether the key exists.
struct StoreFailed;

/// What is answered for a match.
#[derive(Serialize)]
struct Feedback {
    token_hash: String,
    token_type: String,
    label: &'static str,
}

impl LeakReports {
    /// Creates the endpoint for the keys of a manager.
    ///
    /// `public_key` returns the public key with an identifier, in PEM, or `None` if GitHub has no such key. It is
    /// called before the report is verified, so anybody can cause calls: cache what it fetches, and limit how
    /// often it fetches.
    pub fn new<F, E>(
        keys: KeyManager,
        public_key: impl Fn(String) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Option<String>, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let public_key = move |identifier| -> BoxFuture<'static, _> {
            let fetched = public_key(identifier);
            Box::pin(async move { fetched.await.map_err(Into::into) })
        };
        let (public_key, bodies) = (Arc::new(public_key), Bodies::at_most(MAX_LENGTH));
        Self { keys, public_key, on_leak: None, revokes: true, bodies }
    }

    /// Revokes no keys, and leaves it to [`on_leak`](Self::on_leak) what to do.
    pub fn report_only(mut self) -> Self {
        self.revokes = false;
        self
    }

    /// Sets a callback for each leaked key, such as to notify its owner. It is called after the revocation.
    ///
    /// The request waits for the callback, so keep it short. A repeated report calls it again.
    pub fn on_leak(mut self, on_leak: impl Fn(&Leak<'_>) + Send + Sync + 'static) -> Self {
        self.on_leak = Some(Arc::new(on_leak));
        self
    }

    /// Returns a router that answers `POST /`. Mount it outside of the `ApiKeyLayer`: reports carry no API key.
    pub fn into_router(self) -> Router {
        Router::new().route("/", post(answer)).with_state(self)
    }

    async fn judge(&self, request: Request) -> Result<Vec<Feedback>, StatusCode> {
        let (parts, body) = request.into_parts();
        let body = self.bodies.read(body).await.map_err(|error| error.status())?;
        self.verify(&parts.headers, &body).await?;
        let matches: Vec<Match> =
            serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
        let feedback = stream::iter(matches).map(|found| self.feedback(found));
        let mut feedback = feedback.buffered(AT_A_TIME);
        let (mut told, mut failures) = (Vec::new(), 0);
        // The store may fail for one key. The others are revoked all the same, unless the store is down.
        while failures < MAX_FAILURES
            && let Some(feedback) = feedback.next().await
        {
            match feedback {
                Ok(feedback) => told.push(feedback),
                Err(StoreFailed) => failures += 1,
            }
        }
        if failures > 0 { Err(StatusCode::SERVICE_UNAVAILABLE) } else { Ok(told) }
    }

    /// Verifies that GitHub signed the body.
    async fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), StatusCode> {
        let refused = StatusCode::UNAUTHORIZED;
        let identifier = only(headers, IDENTIFIER).ok_or(refused)?;
        let signature = only(headers, SIGNATURE).ok_or(refused)?;
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| refused)?;
        let signature = Signature::from_der(&signature).map_err(|_| refused)?;
        let fetched = (self.public_key)(identifier.to_owned()).await;
        let key = fetched.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?.ok_or(refused)?;
        // The application returns the text, so an invalid key is an error of the server.
        let key =
            VerifyingKey::from_public_key_pem(&key).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        key.verify(body, &signature).map_err(|_| refused)
    }

    async fn feedback(&self, found: Match) -> Result<Feedback, StoreFailed> {
        let Match { token, place } = found;
        let record = match self.find(&token).await {
            Ok(record) => Some(record),
            Err(ManageError::NotFound) => None,
            Err(_) => return Err(StoreFailed),
        };
        if let (Some(record), Some(on_leak)) = (&record, &self.on_leak) {
            let leak = Leak { record, found: &place };
            contain::notify("a callback for leaked keys", || on_leak(&leak));
        }
        Ok(Feedback {
            token_hash: hex(&Sha256::digest(token.as_bytes())),
            token_type: place.token_type,
            label: if record.is_some() { "true_positive" } else { "false_positive" },
        })
    }

    /// Finds the record of a key, and revokes it unless keys are only reported.
    async fn find(&self, token: &str) -> Result<Arc<KeyRecord>, ManageError> {
        if self.revokes {
            return Ok(self.keys.revoke_presented(token).await?.record);
        }
        let id = self.keys.in_time(self.keys.presented(token)).await?;
        Ok(self.keys.get(&id).await?.record)
    }
}

async fn answer(State(reports): State<LeakReports>, request: Request) -> Response {
    let feedback = match reports.judge(request).await {
        Ok(feedback) => feedback,
        Err(status) => return status.into_response(),
    };
    let mut response = Response::new(Body::from(serde_json::json!(feedback).to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl<'a> Leak<'a> {
    /// Returns the record of the key.
    #[must_use]
    pub fn record(&self) -> &'a Arc<KeyRecord> {
        self.record
    }

    /// Returns the URL where the key was found. GitHub may leave it empty.
    #[must_use]
    pub fn url(&self) -> &'a str {
        self.found.url.as_deref().unwrap_or_default()
    }

    /// Returns the kind of place where the key was found, such as `content` or `commit`. Older reports lack it.
    #[must_use]
    pub fn source(&self) -> Option<&'a str> {
        self.found.source.as_deref()
    }

    /// Returns the name under which the kind of key is registered at GitHub.
    #[must_use]
    pub fn token_type(&self) -> &'a str {
        &self.found.token_type
    }
}

impl fmt::Debug for LeakReports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeakReports")
            .field("keys", &self.keys)
            .field("revokes", &self.revokes)
            .finish_non_exhaustive()
    }
}
