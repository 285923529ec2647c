//! The limits of one request: reserves its cost, writes the limit headers, and refunds the cost if an
//! inner guard refuses the request.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderMap, Response};

use crate::contain;
use crate::gate::Gate;
use crate::head::RequestHead;
use crate::http_cache::ResponseFields;
use crate::immediate::Immediate;
use crate::limit::{LimitDecision, LimiterError, Usage, set_usage, write_usage};
use crate::reject::{Rejection, RejectionKind};
use crate::store::KeyRecord;
use crate::verify::VerifiedKey;

/// A request whose key has limits, and the rejection of the guards, if any.
pub(crate) struct Chargeable {
    key: VerifiedKey,
    cost: u32,
    refused: Option<Rejection>,
}

/// The answer of the limiter.
pub(crate) type Answer = Result<LimitDecision, LimiterError>;

impl Gate {
    /// Returns the request for the limiter, with its cost.
    pub(crate) fn chargeable(
        &self,
        key: VerifiedKey,
        refused: Option<Rejection>,
        head: &RequestHead<'_>,
    ) -> Chargeable {
        let cost = match (&refused, &self.cost) {
            // A refused request spends nothing, but its response has the limit headers.
            (Some(_), _) => 0,
            (None, Some(cost)) => cost(&key, head),
            (None, None) => 1,
        };
        Chargeable { key, cost, refused }
    }

    /// Asks the limiter for an answer without waiting.
    pub(crate) fn reserve_now(&self, request: &Chargeable) -> Immediate<Answer> {
        contained(|| self.limiter.reserve_now(request.key.record(), request.cost))
    }

    /// Asks the limiter, and waits.
    pub(crate) fn reserve(
        &self,
        request: Chargeable,
    ) -> impl Future<Output = (Answer, Chargeable)> + Send + 'static {
        let (limiter, timeout) = (Arc::clone(&self.limiter), self.limiter_timeout);
        async move {
            // Inside a future, because the limiter may panic before it returns one.
            let reserve = async { limiter.reserve(request.key.record(), request.cost).await };
            (flatten(contain::wait_within(timeout, reserve).await), request)
        }
    }

    /// Admits or refuses the request by the answer of the limiter.
    pub(crate) fn charge(
        self: &Arc<Self>,
        answer: Answer,
        request: Chargeable,
    ) -> Result<(VerifiedKey, Option<Box<Charged>>), Rejection> {
        let Chargeable { key, cost, refused } = request;
        let complete = |decision: LimitDecision| {
            let (returned, of) = (decision.statuses().len(), key.record().limits().len());
            let error = || {
                LimiterError::new(format!(
                    "it returned {returned} states for {of} limits: fix the limiter"
                ))
            };
            (returned == of).then_some(decision).ok_or_else(error)
        };
        let answer = answer.and_then(complete);
        match (answer, refused) {
            (Err(_), Some(refused)) => Err(refused),
            (Ok(decision), Some(refused)) => {
                Err(refused.with_usage(self.usage(key.record(), decision)))
            }
            (Ok(decision), None) if decision.is_granted() => {
                let older = self.older_limit_fields;
                Ok((key, Some(Box::new(Charged { cost, decision, older }))))
            }
            (Ok(decision), None) => {
                let usage = self.usage(key.record(), decision);
                Err(Rejection::rate_limited(usage).of_key(key.record()))
            }
            (Err(error), None) if self.allow_unlimited => {
                crate::trace::unlimited(&self.rejector.log.repeats, key.id().as_str(), &error);
                Ok((key, None))
            }
            (Err(error), None) => Err(Rejection::new(RejectionKind::Unavailable)
                .with_message("Rate limits cannot be checked at the moment")
                .with_source(error)
                .of_key(key.record())),
        }
    }

    fn usage(&self, key: &KeyRecord, decision: LimitDecision) -> Usage {
        Usage { limits: key.limits().clone(), decision, older: self.older_limit_fields }
    }

    /// Refunds the granted cost. Returns the state of the limits after that.
    pub(crate) async fn refund(
        self: Arc<Self>,
        key: Arc<KeyRecord>,
        cost: u32,
        granted: LimitDecision,
    ) -> LimitDecision {
        let refunded = match contained(|| self.limiter.refund_now(&key, cost, &granted)) {
            Immediate::Answer(refunded) => refunded,
            Immediate::Ask => {
                let refund = async { self.limiter.refund(&key, cost, &granted).await };
                flatten(contain::wait_within(self.limiter_timeout, refund).await)
            }
        };
        refunded.unwrap_or_else(|error| {
            crate::trace::not_refunded(&self.rejector.log.repeats, key.id().as_str(), &error);
            granted
        })
    }
}

/// The granted cost of a request. With the response, it is written to the limit headers or, if an inner
/// guard refuses, refunded.
///
/// It does not hold the layer, because threads would contend for that reference count. The key that is
/// kept with it gives access to the layer.
pub(crate) struct Charged {
    cost: u32,
    decision: LimitDecision,
    /// Whether the older headers are written, too.
    older: bool,
}

impl Charged {
    /// Returns all headers of a response that has no others, if they are those that were prepared.
    pub(crate) fn prepared(&self, key: &VerifiedKey, fields: &ResponseFields) -> Option<HeaderMap> {
        if self.older {
            return None;
        }
        let mut headers = fields.with_usage();
        set_usage(key.record().limits(), &self.decision, &mut headers)?;
        Some(headers)
    }

    pub(crate) fn write_usage(&self, key: &VerifiedKey, headers: &mut HeaderMap) {
        write_usage(key.record().limits(), &self.decision, self.older, headers);
    }

    /// Tells whether an inner guard refused the request.
    pub(crate) fn was_refused<B>(key: &VerifiedKey, response: &Response<B>) -> bool {
        Rejection::of_response(response, Some(key.id())).is_some()
    }

    /// Tells whether the response may have the limit headers. The response to an invalid key has
    /// none.
    fn may_tell<B>(response: &Response<B>) -> bool {
        let rejection = response.extensions().get::<Rejection>();
        !rejection.is_some_and(|rejection| RejectionKind::INVALID.contains(&rejection.kind()))
    }

    /// Writes the limit headers after a refund.
    pub(crate) fn write_refunded<B>(usage: &Usage, response: &mut Response<B>) {
        if Self::may_tell(response) {
            usage.write(response.headers_mut());
        }
    }

    /// Refunds the granted cost, and returns the state of the limits after that.
    pub(crate) fn refund(self, key: &VerifiedKey) -> BoxFuture<'static, Usage> {
        let Self { cost, decision, older } = self;
        let (limits, refund) = (key.record().limits().clone(), key.refund(cost, decision));
        Box::pin(async move { Usage { limits, decision: refund.await, older } })
    }
}

fn contained(ask: impl FnOnce() -> Immediate<LimitDecision>) -> Immediate<Answer> {
    match contain::call(ask) {
        Ok(asked) => asked.map(Ok),
        Err(failure) => Immediate::Answer(Err(LimiterError::new(failure))),
    }
}

fn flatten(answer: Result<Answer, contain::Failure>) -> Answer {
    answer.unwrap_or_else(|failure| Err(LimiterError::new(failure)))
}
