//! The steps from a request to the decision: admit, refuse or wait.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Request;
use http_body::Body;

use crate::charge::{Answer, Chargeable};
use crate::drain::Refusal;
use crate::extract::{Carrier, Claimed};
use crate::fallback::Attempt;
use crate::front::Front;
use crate::gate::Gate;
#[cfg(feature = "policy")]
use crate::guard::Guard as _;
use crate::guard::check_restrictions;
use crate::head::RequestHead;
use crate::immediate::Immediate;
use crate::key::{FormatError, KeyDigest, KeyKind, PresentedKey};
use crate::limit::{FailureThrottle, Place};
use crate::lookup::{Asked, Found, look_up, look_up_in_place, look_up_now};
use crate::observe::{Arrival, Step};
use crate::pass::Pass;
use crate::reject::{Rejection, RejectionKind};
use crate::verify::{Claims, Known, VerifiedKey, verify};

/// The result of the steps that needed no wait.
pub(crate) enum Decision {
    Admit(Pass),
    Wait(Wait),
}

/// A wait for the store or the limiter. Each future returns what the next steps need.
pub(crate) enum Wait {
    Lookup(BoxFuture<'static, LookedUp>),
    Limits(BoxFuture<'static, (Answer, Chargeable, Carrier)>),
}

/// The answer of the store, and the place of the throttle that the look-up holds.
pub(crate) struct LookedUp {
    asked: Asked,
    place: Option<Place>,
    claims: Claims,
    carrier: Carrier,
}

impl Gate {
    /// Takes the steps up to the store, and the steps after it unless they have to wait.
    pub(crate) fn decide(
        self: &Arc<Self>,
        front: &Front,
        head: &RequestHead<'_>,
        arrival: &mut Option<Arrival<'_>>,
    ) -> Result<Decision, Rejection> {
        if !self.rejector.protocol.allows(head) {
            return Err(Rejection::not_post());
        }
        let Some(credential) = self.extractor.extract(head)? else {
            return self.decide_without_key(head).map(|()| Decision::Admit(Pass::Anonymous));
        };
        if let Some((throttle, address)) = self.counts_failures(head)
            && let Some(wait) = throttle.refused_for(address)
        {
            return Err(Rejection::throttled(wait));
        }
        let key = &*credential.bytes;
        let claims = self.parse(key).map_err(Rejection::malformed)?;
        let carrier = credential.carrier;
        let mut ways = self.scheme.ways(key);
        while let Some(way) = ways.next() {
            let digest = way.digest(key);
            match look_up_now(self, front, &digest, arrival)? {
                Immediate::Answer(Some(known)) => {
                    return self.judge(known, &digest, &claims, carrier, head);
                }
                Immediate::Answer(None) => {}
                Immediate::Ask => {
                    let rest = ways.map(|way| way.digest(key));
                    let digests = std::iter::once(digest).chain(rest).collect();
                    let fallback = self.attempt(key);
                    return Ok(self.wait_for_store(digests, fallback, claims, carrier, head));
                }
            }
        }
        match self.attempt(key) {
            None => Err(RejectionKind::Unknown.into()),
            fallback => Ok(self.wait_for_store(Vec::new(), fallback, claims, carrier, head)),
        }
    }

    /// Prepares a call of the fallback, if there is one.
    fn attempt(&self, key: &[u8]) -> Option<Box<Attempt>> {
        self.fallback.as_ref()?.attempt(key, &self.scheme).map(Box::new)
    }

    /// Returns what the prefix of a key says, if the text can be a key.
    fn parse(&self, key: &[u8]) -> Result<Claims, FormatError> {
        let formats = self.scheme.formats();
        if formats.is_empty() {
            PresentedKey::check(key)?;
            return Ok(Claims::default());
        }
        let key = formats.parse_bytes(key)?;
        Ok(Claims { stage: key.stage().cloned(), kind: key.kind() })
    }

    fn wait_for_store(
        &self,
        digests: Vec<KeyDigest>,
        fallback: Option<Box<Attempt>>,
        claims: Claims,
        carrier: Carrier,
        head: &RequestHead<'_>,
    ) -> Decision {
        let (store, timeout) = (Arc::clone(&self.store), self.lookup_timeout);
        let Some((throttle, address)) = self.counts_failures(head) else {
            return Decision::Wait(Wait::Lookup(Box::pin(async move {
                let asked = look_up(&*store, &digests, fallback, timeout).await;
                LookedUp { asked, place: None, claims, carrier }
            })));
        };
        let throttle = throttle.clone();
        Decision::Wait(Wait::Lookup(Box::pin(async move {
            let looked_up =
                look_up_in_place(&throttle, address, &*store, &digests, fallback, timeout);
            let (asked, place) = looked_up.await;
            LookedUp { asked, place, claims, carrier }
        })))
    }

    /// Returns the throttle that counts failures, and the address to count them for.
    #[inline]
    fn counts_failures(&self, head: &RequestHead<'_>) -> Option<(&FailureThrottle, IpAddr)> {
        let throttle = self.throttle.as_ref()?;
        Some((throttle, self.throttled_address(head)?))
    }

    /// Counts a rejection that may be an attempt to guess a key.
    pub(crate) fn count_failure(&self, rejection: &Rejection, head: &RequestHead<'_>) {
        if RejectionKind::INVALID.contains(&rejection.kind())
            && let Some((throttle, address)) = self.counts_failures(head)
        {
            throttle.failed(address);
        }
    }

    fn decide_without_key(&self, head: &RequestHead<'_>) -> Result<(), Rejection> {
        if let Some(left) = self.extractor.left_to_others(head)
            && !Claimed::covers(head, left)
        {
            // It may be a mistyped key, which must not become anonymous.
            return Err(RejectionKind::Malformed.into());
        }
        if self.lets_pass_without_key(head) || self.is_left_to_others(head) {
            return Ok(());
        }
        Err(RejectionKind::Missing.into())
    }

    /// Tells whether something else authenticated the request.
    fn is_left_to_others(&self, head: &RequestHead<'_>) -> bool {
        let is_left = self.unless.as_ref().is_some_and(|unless| unless(head));
        #[cfg(feature = "policy")]
        let is_left = is_left && self.enforced_policy().is_none_or(|policy| policy.lists(head));
        is_left
    }

    fn lets_pass_without_key(&self, head: &RequestHead<'_>) -> bool {
        let asked = if self.forward_preflight { head.preflight() } else { None };
        #[cfg(feature = "policy")]
        if let Some(policy) = &self.policy {
            let asked = asked.as_ref();
            return policy.lets_pass_without_key(head, asked, self.optional, &self.rejector);
        }
        asked.is_some() || self.optional
    }

    /// Takes the steps after the store.
    fn judge(
        self: &Arc<Self>,
        known: Arc<Known>,
        digest: &KeyDigest,
        claims: &Claims,
        carrier: Carrier,
        head: &RequestHead<'_>,
    ) -> Result<Decision, Rejection> {
        let key = verify(known, digest, claims, &*self.clock)?;
        let guarded = self.guard(&key, head).map_err(|rejection| rejection.of_key(key.record()));
        if key.record().limits().is_empty() {
            guarded?;
            return Ok(Decision::Admit(Pass::Verified { key, carrier, charged: None }));
        }
        let refused = match guarded {
            // The response to an invalid key says nothing about its limits.
            Err(refused) if RejectionKind::INVALID.contains(&refused.kind()) => {
                return Err(refused);
            }
            guarded => guarded.err(),
        };
        let request = self.chargeable(key, refused, head);
        match self.reserve_now(&request) {
            Immediate::Answer(answer) => self.admit(answer, request, carrier),
            Immediate::Ask => {
                let reserving = self.reserve(request);
                Ok(Decision::Wait(Wait::Limits(Box::pin(async move {
                    let (answer, request) = reserving.await;
                    (answer, request, carrier)
                }))))
            }
        }
    }

    /// Takes the last step: applies the answer of the limiter.
    fn admit(
        self: &Arc<Self>,
        answer: Answer,
        request: Chargeable,
        carrier: Carrier,
    ) -> Result<Decision, Rejection> {
        let (key, charged) = self.charge(answer, request)?;
        Ok(Decision::Admit(Pass::Verified { key, carrier, charged }))
    }

    /// Checks the guards of the layer and the restrictions of the key.
    fn guard(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        self.accept_kind(key)?;
        #[cfg(feature = "policy")]
        if let Some(policy) = &self.policy {
            policy.check(key, head)?;
        }
        for guard in &self.guards {
            guard.check(key, head)?;
        }
        check_restrictions(key.record(), head, || self.client_address(head))
    }

    pub(crate) fn accept_kind(&self, key: &VerifiedKey) -> Result<(), Rejection> {
        // A policy that is not report-only says for each route which kind it accepts.
        #[cfg(feature = "policy")]
        if self.policy.as_ref().is_some_and(|policy| !policy.is_report_only()) {
            return Ok(());
        }
        if key.kind() == KeyKind::Public && !self.public_keys {
            return Err(Rejection::public_key());
        }
        Ok(())
    }

    /// Answers instead of the inner service, and keeps the rest of the request.
    pub(crate) fn refuse<B>(&self, rejection: Rejection, request: Request<B>) -> Refusal
    where
        B: Body + Send + 'static,
    {
        let response = self.rejector.reject(rejection, &RequestHead::new(&request));
        self.rejector.drain.refuse(request, response)
    }
}

impl Wait {
    /// Returns the step that this waits for.
    fn step(&self) -> Step {
        match self {
            Self::Lookup(_) => Step::Lookup,
            Self::Limits(_) => Step::Limiter,
        }
    }

    /// Continues when there is an answer, and records how long that took.
    pub(crate) fn poll_observed(
        &mut self,
        cx: &mut Context<'_>,
        gate: &Arc<Gate>,
        head: &RequestHead<'_>,
        arrival: &mut Option<Arrival<'_>>,
    ) -> Poll<Result<Decision, Rejection>> {
        let step = self.step();
        let decision = self.poll(cx, gate, head, arrival);
        if let Some(arrival) = arrival
            && decision.is_ready()
        {
            arrival.waited(step);
        }
        decision
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        gate: &Arc<Gate>,
        head: &RequestHead<'_>,
        arrival: &mut Option<Arrival<'_>>,
    ) -> Poll<Result<Decision, Rejection>> {
        Poll::Ready(match self {
            Self::Lookup(lookup) => {
                let LookedUp { asked, place, claims, carrier } = ready!(lookup.poll_unpin(cx));
                if let (Some(arrival), Some(lookup)) = (arrival, asked.lookup) {
                    arrival.looked_up(lookup);
                }
                let decided = asked.found.and_then(|Found { record, digest }| {
                    gate.judge(Known::new(record, gate), &digest, &claims, carrier, head)
                });
                let decided = decided.inspect_err(|rejection| gate.count_failure(rejection, head));
                // The look-up that waits for the place has to see the failure.
                drop(place);
                decided
            }
            Self::Limits(reserving) => {
                let (answer, request, carrier) = ready!(reserving.poll_unpin(cx));
                gate.admit(answer, request, carrier)
            }
        })
    }
}
