//! [`Pass`]: the positive decision, and what follows from it.

use std::sync::Arc;
use std::task::Poll;

use futures_util::future::BoxFuture;
use http::{HeaderMap, Request};

use crate::cache::Cache;
use crate::extract::Carrier;
use crate::limit::{LimitDecision, Usage, write_usage};
use crate::lookup::{refund, refund_now};
use crate::reject::Rejection;
use crate::settings::Settings;
use crate::store::KeyRecord;
use crate::verify::{Anonymous, VerifiedKey};

/// The positive decision: nothing else lets a request through.
pub(crate) enum Pass {
    Verified { key: VerifiedKey, carrier: Carrier, charge: Option<Charge> },
    Anonymous,
}

/// What a request was granted of the limits of its key.
pub(crate) struct Charge {
    pub(crate) cost: u32,
    pub(crate) decision: LimitDecision,
}

/// What is to be done with the response.
pub(crate) struct Finish {
    pub(crate) cache: Cache,
    pub(crate) charged: Option<Charged>,
}

pub(crate) struct Charged {
    pub(crate) settings: Arc<Settings>,
    pub(crate) key: Arc<KeyRecord>,
    pub(crate) charge: Charge,
}

impl Pass {
    /// Prepares the request for the inner service.
    pub(crate) fn stamp<B>(
        self,
        request: &mut Request<B>,
        settings: &Arc<Settings>,
    ) -> Result<Finish, Rejection> {
        match self {
            Self::Verified { key, carrier, charge } => {
                if settings.keep_credential {
                    carrier.mark_sensitive(request);
                } else {
                    carrier.remove_from(request)?;
                }
                let charged = charge.map(|charge| {
                    let (settings, key) = (Arc::clone(settings), Arc::clone(key.record()));
                    Charged { settings, key, charge }
                });
                request.extensions_mut().insert(key);
                let cache =
                    if settings.cache_fields { Cache::of(carrier) } else { Cache::Untouched };
                Ok(Finish { cache, charged })
            }
            Self::Anonymous => {
                // What an outer layer verified was verified by other keys.
                request.extensions_mut().remove::<VerifiedKey>();
                request.extensions_mut().insert(Anonymous(Arc::clone(&settings.rejector)));
                let cache = match settings.cache_fields {
                    true => Cache::Anonymous(Arc::clone(&settings.key_headers)),
                    false => Cache::Untouched,
                };
                Ok(Finish { cache, charged: None })
            }
        }
    }
}

impl Charged {
    pub(crate) fn write_usage(&self, headers: &mut HeaderMap) {
        let older = self.settings.older_limit_fields;
        write_usage(&self.key.limits, &self.charge.decision, older, headers);
    }

    /// Gives back what was granted, and tells how the limits stand then.
    pub(crate) fn refund(self) -> BoxFuture<'static, Usage> {
        Box::pin(async move {
            let (limiter, key, cost) = (&*self.settings.limiter, &*self.key, self.charge.cost);
            let refunded = match refund_now(limiter, key, cost) {
                Poll::Ready(refunded) => refunded,
                Poll::Pending => refund(limiter, key, cost, self.settings.lookup_timeout).await,
            };
            match refunded {
                Ok(decision) => self.settings.usage(key, decision),
                Err(error) => {
                    crate::trace::not_refunded(&key.id, &error);
                    self.settings.usage(key, self.charge.decision.clone())
                }
            }
        })
    }
}
