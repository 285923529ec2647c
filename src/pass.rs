//! [`Pass`]: the decision to admit a request, and the steps that follow.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{Request, Response};

use crate::cancel::Cancel;
use crate::charge::Charged;
use crate::extract::Carrier;
use crate::gate::Gate;
use crate::head::{Noted, RequestHead};
use crate::http_cache::{CacheFields, ResponseFields};
use crate::limit::Usage;
use crate::observe::{Arrival, Observation};
use crate::reject::{PathIsSecret, Rejection};
use crate::verify::{Anonymous, VerifiedKey};
use crate::watch::Asked;

/// The most cache and limit headers of a response, without the older limit headers.
const FIELDS: usize = 4;

/// The decision to admit a request: the only way to the inner service.
pub(crate) enum Pass {
    /// `charged` is boxed, so that a pass without limits is small.
    Verified {
        key: VerifiedKey,
        carrier: Carrier,
        charged: Option<Box<Charged>>,
    },
    Anonymous,
}

/// The steps left for the response.
pub(crate) struct Finish {
    pub(crate) cache_fields: Option<ResponseFields>,
    pub(crate) charged: Option<Box<Charged>>,
    pub(crate) cancel: Option<Box<Cancel>>,
    pub(crate) observation: Observation,
}

impl Pass {
    /// Prepares the request for the inner service. Call the service next.
    ///
    /// `head` borrows the head of the request, with the known facts about its body.
    pub(crate) fn stamp<B>(
        self,
        request: &mut Request<B>,
        head: impl for<'r> Fn(&'r Request<B>) -> RequestHead<'r>,
        gate: &Arc<Gate>,
        noted: &Noted,
        arrival: &mut Option<Arrival<'_>>,
    ) -> Result<Finish, Rejection> {
        if gate.rejector.log.hides_paths {
            keep_path_secret(request);
        }
        match self {
            Self::Verified { mut key, carrier, charged } => {
                if gate.keep_credential {
                    carrier.mark_sensitive(request);
                } else {
                    carrier.remove_from(request)?;
                }
                let head = || head(request).noting(noted);
                gate.observers.admitted(&key, head, &*gate.clock);
                gate.keep_asked(&mut key, head);
                let is_watched = gate.watch.is_on;
                let observation = match arrival.take() {
                    Some(arrival) => arrival.admitted(Some(&key), is_watched),
                    None => {
                        let is_needed = is_watched || charged.is_some();
                        Observation::unobserved(is_needed.then(|| key.clone()), is_watched)
                    }
                };
                let cancel = gate.cancel(&key, head);
                request.extensions_mut().insert(key);
                let cache_fields =
                    gate.cache_fields.as_ref().map(|fields| fields.with_key(&carrier));
                Ok(Finish { cache_fields, charged, cancel, observation })
            }
            Self::Anonymous => {
                // A key that an outer layer verified does not count here.
                request.extensions_mut().remove::<VerifiedKey>();
                request.extensions_mut().insert(Anonymous(Arc::clone(&gate.rejector)));
                let observation = match arrival.take() {
                    Some(arrival) => arrival.admitted(None, false),
                    None => Observation::unobserved(None, false),
                };
                let cache_fields = gate.cache_fields.as_ref().map(CacheFields::without_key);
                Ok(Finish { cache_fields, charged: None, cancel: None, observation })
            }
        }
    }
}

impl Finish {
    /// Writes the cache and limit headers. If an inner guard refused the request, returns the
    /// future of the refund, which has to end before the limits are written.
    #[inline]
    pub(crate) fn write<B>(
        &mut self,
        response: &mut Response<B>,
    ) -> Option<BoxFuture<'static, Usage>> {
        let Some((charged, key)) = self.charged.take().zip(self.observation.key()) else {
            if let Some(fields) = &self.cache_fields {
                fields.write(response.headers_mut());
            }
            return None;
        };
        let is_refused = Charged::was_refused(key, response);
        let headers = response.headers_mut();
        if headers.capacity() == 0
            && !is_refused
            && let Some(fields) = &self.cache_fields
            && let Some(prepared) = charged.prepared(key, fields)
        {
            *headers = prepared;
            return None;
        }
        // Reserved for all headers written here, so that the map grows once.
        headers.reserve(FIELDS);
        if let Some(fields) = &self.cache_fields {
            fields.write(headers);
        }
        if is_refused {
            return Some(charged.refund(key));
        }
        charged.write_usage(key, headers);
        None
    }
}

impl Gate {
    /// Keeps what a request asks for, if a later check may need it.
    #[inline]
    fn keep_asked<'r>(&self, key: &mut VerifiedKey, head: impl FnOnce() -> RequestHead<'r>) {
        #[cfg(feature = "policy")]
        let judges = self.policy.is_some() || !self.guards.is_empty();
        #[cfg(not(feature = "policy"))]
        let judges = !self.guards.is_empty();
        let restrictions = key.record().restrictions();
        let addresses = restrictions.addresses.is_some();
        if judges || addresses || restrictions.endpoints.is_some() {
            self.keep(key, &head(), addresses);
        }
    }

    fn keep(&self, key: &mut VerifiedKey, head: &RequestHead<'_>, addresses: bool) {
        if self.watch.is_on && self.watch.reductions {
            let address = if addresses { self.client_address(head) } else { None };
            key.keep_asked(Asked::of(head, address, self.rejector.log.hides_paths));
        }
    }

    /// Prepares to cancel the handler when the key ends, if the layer does that.
    #[inline]
    fn cancel<'r>(
        &self,
        key: &VerifiedKey,
        head: impl FnOnce() -> RequestHead<'r>,
    ) -> Option<Box<Cancel>> {
        if !self.watch.cancels_handlers {
            return None;
        }
        let admission = key.clone().admission()?;
        Some(Box::new(Cancel::new(&head(), admission)))
    }
}

#[cold]
fn keep_path_secret<B>(request: &mut Request<B>) {
    request.extensions_mut().insert(PathIsSecret);
}
