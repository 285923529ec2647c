//! [`Pass`]: the positive decision, and what follows from it.

use std::sync::Arc;
use std::task::Poll;

use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};

use crate::extract::Carrier;
use crate::head::RequestHead;
use crate::http_cache::{CacheFields, ResponseFields};
use crate::limit::{Usage, write_usage};
use crate::lookup::{Charge, refund, refund_now};
use crate::reject::{PathIsSecret, Rejection, RejectionKind};
use crate::settings::Settings;
use crate::store::KeyRecord;
use crate::verify::{Anonymous, VerifiedKey};

/// The positive decision: nothing else lets a request through.
pub(crate) enum Pass {
    Verified { key: VerifiedKey, carrier: Carrier, charge: Option<Charge> },
    Anonymous,
}

/// What is to be done with the response.
pub(crate) struct Finish {
    pub(crate) cache_fields: Option<ResponseFields>,
    pub(crate) charged: Option<Charged>,
}

pub(crate) struct Charged {
    pub(crate) settings: Arc<Settings>,
    pub(crate) key: Arc<KeyRecord>,
    pub(crate) charge: Charge,
}

impl Pass {
    /// Prepares the request for the inner service, which has to be called next.
    pub(crate) fn stamp<B>(
        self,
        request: &mut Request<B>,
        settings: &Arc<Settings>,
    ) -> Result<Finish, Rejection> {
        if settings.rejector.hides_paths {
            keep_path_secret(request);
        }
        match self {
            Self::Verified { key, carrier, charge } => {
                if settings.keep_credential {
                    carrier.mark_sensitive(request);
                } else {
                    carrier.remove_from(request)?;
                }
                let head = RequestHead::new(request);
                settings.observers.used(&key, &head, &*settings.clock);
                let charged = charge.map(|charge| {
                    let (settings, key) = (Arc::clone(settings), Arc::clone(key.record()));
                    Charged { settings, key, charge }
                });
                request.extensions_mut().insert(key);
                let cache_fields =
                    settings.cache_fields.as_ref().map(|fields| fields.with_key(&carrier));
                Ok(Finish { cache_fields, charged })
            }
            Self::Anonymous => {
                // What an outer layer verified was verified by other keys.
                request.extensions_mut().remove::<VerifiedKey>();
                request.extensions_mut().insert(Anonymous(Arc::clone(&settings.rejector)));
                let cache_fields = settings.cache_fields.as_ref().map(CacheFields::without_key);
                Ok(Finish { cache_fields, charged: None })
            }
        }
    }
}

#[cold]
fn keep_path_secret<B>(request: &mut Request<B>) {
    request.extensions_mut().insert(PathIsSecret);
}

impl Charged {
    pub(crate) fn write_usage(&self, headers: &mut HeaderMap) {
        let older = self.settings.older_limit_fields;
        write_usage(&self.key.limits, &self.charge.decision, older, headers);
    }

    /// Tells whether a guard within refused what was granted here.
    ///
    /// Another rejection, such as that of a service that a handler asked, is the application's
    /// answer like any.
    pub(crate) fn was_refused<B>(&self, response: &Response<B>) -> bool {
        let rejection = response.extensions().get::<Rejection>();
        rejection.is_some_and(|rejection| rejection.key_id() == Some(&self.key.id))
    }

    /// Tells whether the response may say how the limits stand: of a key that is not valid,
    /// nothing is told.
    pub(crate) fn may_tell<B>(response: &Response<B>) -> bool {
        let rejection = response.extensions().get::<Rejection>();
        !rejection.is_some_and(|rejection| RejectionKind::INVALID.contains(&rejection.kind()))
    }

    /// Gives back what was granted, and tells how the limits stand then.
    pub(crate) fn refund(self) -> BoxFuture<'static, Usage> {
        Box::pin(async move {
            let Self { settings, key, charge } = self;
            let limiter = &*settings.limiter;
            let refunded = match refund_now(limiter, &key, &charge) {
                Poll::Ready(refunded) => refunded,
                Poll::Pending => refund(limiter, &key, &charge, settings.lookup_timeout).await,
            };
            match refunded {
                Ok(decision) => settings.usage(&key, decision),
                Err(error) => {
                    crate::trace::not_refunded(&key.id, &error);
                    settings.usage(&key, charge.decision)
                }
            }
        })
    }
}
