//! [`Shared`]: the state that clones of the metrics share, and its publication.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::metrics::{counter, histogram};
use thread_local::ThreadLocal;

use super::counts::{Counts, Outcome};
use super::names;
use super::readings::Readings;
use super::watched::Source;
use crate::observe::Lookup;
use crate::store::AuditAction;
use crate::watch::EndReason;

pub(super) struct Shared {
    /// The times of one in this many requests are measured.
    pub(super) sample: u32,
    threads: ThreadLocal<Counts>,
    pub(super) ends: Tally<{ EndReason::ALL.len() }>,
    pub(super) changes: Tally<{ AuditAction::ALL.len() }>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sources: Vec<Source>,
    /// The counts that were published already.
    outcomes: [u64; Outcome::COUNT],
    lookups: [u64; Lookup::ALL.len()],
    ends: [u64; EndReason::ALL.len()],
    changes: [u64; AuditAction::ALL.len()],
    evictions: [u64; 2],
}

/// Counts of rare events.
pub(super) struct Tally<const N: usize>([AtomicU64; N]);

impl<const N: usize> Tally<N> {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(super) fn add(&self, index: usize) {
        self.0[index].fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> [u64; N] {
        std::array::from_fn(|index| self.0[index].load(Ordering::Relaxed))
    }
}

impl Shared {
    pub(super) fn new(sample: u32) -> Self {
        let threads = ThreadLocal::new();
        Self { sample, threads, ends: Tally::new(), changes: Tally::new(), state: Mutex::default() }
    }

    /// Returns the counts of this thread.
    #[inline]
    pub(super) fn counts(&self) -> &Counts {
        self.threads.get_or_default()
    }

    pub(super) fn watch(&self, source: Source) {
        self.state().sources.push(source);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self) {
        // The recorder is called under the lock, so that of two calls at once, each publishes what is new.
        let mut state = self.state();
        let state = &mut *state;
        names::describe();
        for outcome in Outcome::all() {
            let new = self.new_of(|counts| &counts.outcomes[outcome.index()]);
            let new = new.since(&mut state.outcomes[outcome.index()]);
            counter!(names::REQUESTS, "outcome" => outcome.as_str()).increment(new);
        }
        for (lookup, before) in Lookup::ALL.into_iter().zip(&mut state.lookups) {
            let new = self.new_of(|counts| &counts.lookups[lookup as usize]).since(before);
            counter!(names::LOOKUPS, "result" => lookup.as_str()).increment(new);
        }
        let ends = EndReason::ALL.into_iter().zip(self.ends.now()).zip(&mut state.ends);
        for ((reason, now), before) in ends {
            let new = Total(now).since(before);
            counter!(names::STREAMS_ENDED, "reason" => reason.as_str()).increment(new);
        }
        let changes = AuditAction::ALL.into_iter().zip(self.changes.now()).zip(&mut state.changes);
        for ((action, now), before) in changes {
            let new = Total(now).since(before);
            counter!(names::CHANGES, "action" => action.as_str()).increment(new);
        }
        self.give_samples();
        let mut readings = Readings::default();
        // Sources that were dropped are removed.
        state.sources.retain(|source| source(&mut readings));
        readings.set_gauges();
        if let Some(cache) = readings.cache {
            let evictions = ["record", "unknown"].into_iter().zip(cache.evictions);
            for ((kind, now), before) in evictions.zip(&mut state.evictions) {
                let new = Total(now).since(before);
                counter!(names::CACHE_EVICTIONS, "kind" => kind).increment(new);
            }
        }
    }

    fn new_of(&self, count: impl Fn(&Counts) -> &AtomicU64) -> Total {
        Total(self.threads.iter().map(|thread| count(thread).load(Ordering::Relaxed)).sum())
    }

    fn give_samples(&self) {
        for sample in self.threads.iter().flat_map(Counts::take_samples) {
            if let Some(time) = sample.decision {
                histogram!(names::DECISION).record(time);
            }
            if let Some((lookup, time)) = sample.lookup {
                histogram!(names::LOOKUP, "result" => lookup.as_str()).record(time);
            }
            if let Some(time) = sample.limiter {
                histogram!(names::LIMITER).record(time);
            }
        }
    }
}

/// A counter and what was published of it.
struct Total(u64);

impl Total {
    /// Returns the increase since the last call. The counts of a dropped cache are lost.
    fn since(self, before: &mut u64) -> u64 {
        self.0.saturating_sub(std::mem::replace(before, self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reject::RejectionKind;

    /// Returns whether the variants of an enum are in order and complete.
    fn are_in_order(places: impl IntoIterator<Item = usize>, last: usize) -> bool {
        places.into_iter().eq(0..=last)
    }

    #[test]
    fn each_is_counted_at_its_place() {
        let actions = AuditAction::ALL.map(|action| action as usize);
        assert!(are_in_order(actions, AuditAction::Resumed as usize));
        let ends = EndReason::ALL.map(|reason| reason as usize);
        assert!(are_in_order(ends, EndReason::Unavailable as usize));
        let lookups = Lookup::ALL.map(|lookup| lookup as usize);
        assert!(are_in_order(lookups, Lookup::Error as usize));
        let kinds = RejectionKind::ALL.map(|kind| kind as usize);
        assert!(are_in_order(kinds, RejectionKind::MissingLayer as usize));
    }
}
