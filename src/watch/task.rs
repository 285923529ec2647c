//! The task of a layer with open streams.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use super::entry::{Entry, Question};
use super::registry::Registry;
use super::schedule::{Moment, Plan};
use super::{Authority, EndReason};
use crate::contain;
use crate::store::KeyRecord;

/// Asks the clock and the store until nothing is open.
pub(super) async fn run(registry: Arc<Registry>, authority: Arc<dyn Authority>) {
    // Panics without the runtime's timer.
    let Ok(mut timer) = contain::call(|| Box::pin(sleep(Duration::ZERO))) else {
        return registry.task_is_gone();
    };
    let running = Running { registry: &registry, is_over: false };
    let mut asking = FuturesUnordered::new();
    loop {
        if registry.task_may_end() {
            return running.over();
        }
        let Plan { expired, unavailable, batches, next } =
            plan(&registry, &*authority, asking.len());
        expired.iter().for_each(|entry| registry.end(entry, EndReason::Expired));
        unavailable.iter().for_each(|entry| registry.end(entry, EndReason::Unavailable));
        asking.extend(batches.into_iter().map(|batch| ask(Arc::clone(&authority), batch)));
        timer.as_mut().reset(next);
        let answered = poll_fn(|cx| {
            registry.task.register(cx.waker());
            if let Poll::Ready(Some(answered)) = asking.poll_next_unpin(cx) {
                return Poll::Ready(Some(answered));
            }
            let is_time = timer.as_mut().poll(cx).is_ready();
            if registry.was_nudged() || is_time { Poll::Ready(None) } else { Poll::Pending }
        });
        if let Some(answered) = answered.await {
            answered.tell(&registry);
        }
    }
}

fn plan(registry: &Registry, authority: &dyn Authority, in_flight: usize) -> Plan {
    // Foreign code is not called under the lock.
    let moment = Moment {
        now: Instant::now(),
        time: authority.now(),
        is_told: authority.store().changes().is_some_and(|changes| changes.tells_all()),
        in_flight,
        settings: authority.settings(),
    };
    let mut state = registry.lock();
    let plan = state.schedule.plan(&moment);
    state.next = Some(plan.next);
    plan
}

/// The store's answers for some keys.
struct Answered {
    asked: Vec<(Arc<Entry>, Question)>,
    asked_at: Instant,
    found: Option<Vec<Option<Arc<KeyRecord>>>>,
}

async fn ask(authority: Arc<dyn Authority>, batch: Vec<Arc<Entry>>) -> Answered {
    let asked_at = Instant::now();
    let asked: Vec<_> = batch.into_iter().map(|entry| (entry.question(), entry)).collect();
    let asked: Vec<_> = asked.into_iter().map(|(question, entry)| (entry, question)).collect();
    let digests: Vec<_> = asked.iter().map(|(entry, _)| entry.digest).collect();
    let find = async { authority.store().find_many(&digests).await };
    let found = contain::wait_within(authority.lookup_timeout(), find).await;
    let found = found.ok().and_then(Result::ok).filter(|found| found.len() == digests.len());
    Answered { asked, asked_at, found }
}

impl Answered {
    fn tell(self, registry: &Registry) {
        let Self { asked, asked_at, found } = self;
        if let Some(found) = found {
            for ((entry, question), found) in asked.iter().zip(found) {
                registry.answer(entry, *question, found, asked_at);
            }
        } else {
            let now = Instant::now();
            let mut state = registry.lock();
            for (entry, _) in &asked {
                state.schedule.unanswered(entry, asked.len(), now);
            }
        }
    }
}

/// Lets others take over the work if its runtime ends first.
struct Running<'a> {
    registry: &'a Registry,
    is_over: bool,
}

impl Running<'_> {
    fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.registry.task_is_gone();
            // Code that panicked would panic again.
            if !std::thread::panicking() {
                self.registry.rouse_all();
            }
        }
    }
}
