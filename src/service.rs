//! [`ApiKeyService`]: the way of a request. Start reading here.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use crate::body::ResponseBody;
use crate::extract::Carrier;
use crate::future::ResponseFuture;
use crate::head::RequestHead;
use crate::key::KeyDigest;
use crate::layer::Settings;
use crate::lookup::{WaitingLookup, look_up, look_up_now};
use crate::reject::{Rejection, RejectionKind};
use crate::store::KeyRecord;
use crate::verify::{Anonymous, Claims, VerifiedKey, verify};

/// Verifies the key of a request before it calls the inner service. Made by
/// [`ApiKeyLayer`](crate::ApiKeyLayer).
#[derive(Clone)]
pub struct ApiKeyService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> ApiKeyService<S> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B, ResBody> Service<Request<B>> for ApiKeyService<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let decision = self.settings.decide(&RequestHead::new(&request));
        let admitted = match decision {
            Ok(Decision::Admit(pass)) => pass.stamp(&mut request, &self.settings),
            Ok(Decision::Ask(ask)) => {
                let settings = Arc::clone(&self.settings);
                return ResponseFuture::ask(ask, settings, self.take_ready(), request);
            }
            Err(rejection) => Err(rejection),
        };
        match admitted {
            // `poll_ready` made this very service ready, so it is the one to call.
            Ok(()) => ResponseFuture::forward(self.inner.call(request)),
            Err(rejection) => {
                // It is not called, so what it reserved has to be free for others.
                drop(self.take_ready());
                let head = RequestHead::new(&request);
                ResponseFuture::rejected(self.settings.rejector.reject(rejection, &head))
            }
        }
    }
}

impl<S: Clone> ApiKeyService<S> {
    /// Takes the service that was made ready, and leaves a clone that is not.
    fn take_ready(&mut self) -> S {
        let unready = self.inner.clone();
        std::mem::replace(&mut self.inner, unready)
    }
}

/// What the synchronous steps came to.
pub(crate) enum Decision {
    Admit(Pass),
    Ask(Box<Ask>),
}

/// What has to be known once the store has answered.
pub(crate) struct Ask {
    pub(crate) lookup: WaitingLookup,
    pub(crate) claims: Claims,
    pub(crate) carrier: Carrier,
}

/// The positive decision: nothing else lets a request through.
pub(crate) enum Pass {
    Verified(VerifiedKey, Carrier),
    Anonymous,
}

impl Settings {
    /// Takes the steps up to the store, and the rest if the store answers at once.
    fn decide(&self, head: &RequestHead<'_>) -> Result<Decision, Rejection> {
        let credential = match self.extractor.extract(head)? {
            Some(credential) => credential,
            None if self.optional => return Ok(Decision::Admit(Pass::Anonymous)),
            None if self.forward_preflight && head.is_preflight() => {
                return Ok(Decision::Admit(Pass::Anonymous));
            }
            None => return Err(RejectionKind::Missing.into()),
        };
        let key = self.formats.parse_bytes(&credential.bytes).map_err(Rejection::malformed)?;
        let claims = Claims { stage: key.stage().cloned(), kind: key.kind() };
        let carrier = credential.carrier;
        let mut ways = self.hasher.ways();
        while let Some(way) = ways.next() {
            let digest = way.digest(key.reveal());
            match look_up_now(&*self.store, &digest)? {
                Poll::Ready(Some(record)) => {
                    let key = self.judge(record, &digest, &claims, head)?;
                    return Ok(Decision::Admit(Pass::Verified(key, carrier)));
                }
                Poll::Ready(None) => {}
                Poll::Pending => {
                    let rest = ways.map(|way| way.digest(key.reveal()));
                    let digests = std::iter::once(digest).chain(rest).collect();
                    let lookup = look_up(&self.store, digests, self.lookup_timeout);
                    return Ok(Decision::Ask(Box::new(Ask { lookup, claims, carrier })));
                }
            }
        }
        Err(RejectionKind::Unknown.into())
    }

    /// Takes the steps after the store.
    pub(crate) fn judge(
        &self,
        record: Arc<KeyRecord>,
        digest: &KeyDigest,
        claims: &Claims,
        head: &RequestHead<'_>,
    ) -> Result<VerifiedKey, Rejection> {
        let key = verify(record, digest, claims, &*self.clock, &self.rejector)?;
        for guard in &self.guards {
            guard.check(&key, head).map_err(|rejection| rejection.of_key(key.id()))?;
        }
        Ok(key)
    }
}

impl Pass {
    /// Prepares the request for the inner service.
    pub(crate) fn stamp<B>(
        self,
        request: &mut Request<B>,
        settings: &Settings,
    ) -> Result<(), Rejection> {
        match self {
            Self::Verified(key, carrier) => {
                if settings.keep_credential {
                    carrier.mark_sensitive(request);
                } else {
                    carrier.remove_from(request)?;
                }
                request.extensions_mut().insert(key);
            }
            Self::Anonymous => {
                // What an outer layer verified was verified by other keys.
                request.extensions_mut().remove::<VerifiedKey>();
                request.extensions_mut().insert(Anonymous(Arc::clone(&settings.rejector)));
            }
        }
        Ok(())
    }
}

impl<S: fmt::Debug> fmt::Debug for ApiKeyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyService")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish()
    }
}

#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService> tonic::server::NamedService for ApiKeyService<S> {
    const NAME: &'static str = S::NAME;
}
