//! Checks admitted requests again, with the current record of the key.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;

use crate::gate::Gate;
use crate::guard::{Guard, allows_address, allows_endpoint};
use crate::head::RequestHead;
use crate::key::{KeyId, Restrictions};
use crate::limit::LimitDecision;
use crate::observe::EndedStream;
use crate::reject::{Reason, Rejection, RejectionKind, Rejector};
use crate::store::{KeyRecord, KeyStore};
use crate::trace;
use crate::verify::{VerifiedKey, verified_again};
use crate::watch::{Asked, Authority, KeyEnded, StreamWatch, Streams, Watcher};

impl Authority for Gate {
    fn rejector(&self) -> &Rejector {
        &self.rejector
    }

    fn settings(&self) -> &StreamWatch {
        &self.watch
    }

    fn store(&self) -> &dyn KeyStore {
        &*self.store
    }

    fn lookup_timeout(&self) -> Duration {
        self.lookup_timeout
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    fn still_allows(
        self: Arc<Self>,
        before: &Arc<KeyRecord>,
        now: &Arc<KeyRecord>,
        asked: Option<&Asked>,
    ) -> Result<(), Rejection> {
        if !self.scheme.formats().is_empty()
            && (before.stage() != now.stage() || before.kind != now.kind)
        {
            // The prefix of the key may contradict the new record.
            return Err(RejectionKind::Unknown.into());
        }
        let request = Asked::request(asked);
        let head = RequestHead::new(&request);
        let keys = verified_again(before, now, &self);
        let [_, key] = &keys;
        self.accept_kind(key)?;
        #[cfg(feature = "policy")]
        if let Some(policy) = self.policy.as_ref().filter(|policy| !policy.is_report_only()) {
            still_passes(policy, &keys, &head)?;
        }
        for guard in &self.guards {
            still_passes(&**guard, &keys, &head)?;
        }
        still_unrestricted(before.restrictions(), now.restrictions(), asked, &head)
    }

    fn ended(&self, ended: &KeyEnded, open: Duration) {
        let key = ended.key_id().map(KeyId::as_str);
        trace::stream_ended(&self.rejector.log.repeats, ended.reason().as_str(), key, open);
        self.observers.stream_ended(&EndedStream::new(ended, open));
    }
}

impl Watcher for Gate {
    fn streams(&self) -> &Streams {
        &self.streams
    }

    fn refund(
        self: Arc<Self>,
        key: Arc<KeyRecord>,
        cost: u32,
        granted: LimitDecision,
    ) -> BoxFuture<'static, LimitDecision> {
        Box::pin(Self::refund(self, key, cost, granted))
    }

    fn observers(&self) -> &(dyn Any + Send + Sync) {
        &self.observers
    }
}

/// Checks a guard again. If it refuses the earlier record, too, it needs something that was not kept,
/// such as a header, and its answer does not count.
fn still_passes(
    guard: &(impl Guard + ?Sized),
    [before, now]: &[VerifiedKey; 2],
    head: &RequestHead<'_>,
) -> Result<(), Rejection> {
    match guard.check(now, head) {
        Err(rejection) if guard.check(before, head).is_ok() => Err(rejection),
        _ => Ok(()),
    }
}

/// Checks a request against changed restrictions. If a changed restriction cannot be checked, because the
/// data was not kept, the request is refused: the client may send it again.
fn still_unrestricted(
    before: &Restrictions,
    now: &Restrictions,
    asked: Option<&Asked>,
    head: &RequestHead<'_>,
) -> Result<(), Rejection> {
    let is_list_left = |was: bool, is: bool, same: bool| same || (was && !is);
    let sites = is_list_left(
        before.names_sites(),
        now.names_sites(),
        before.origins == now.origins && before.referrers == now.referrers,
    );
    let addresses =
        before.addresses == now.addresses || allows_address(now, || asked.and_then(Asked::address));
    let endpoints = before.endpoints == now.endpoints || allows_endpoint(now, head);
    match (sites, addresses, endpoints) {
        (true, true, true) => Ok(()),
        (false, ..) => Err(Rejection::not_allowed(Reason::Site)),
        (_, false, _) => Err(Rejection::not_allowed(Reason::Address)),
        (_, _, false) => Err(Rejection::not_allowed(Reason::Endpoint)),
    }
}
