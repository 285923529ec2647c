//! [`Schedule`]: the keys with open streams, and when to ask the store for each.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::StreamWatch;
use super::entry::{Entry, Standing};
use crate::key::{KeyDigest, KeyId};
use crate::store::KeyRecord;

/// How many keys are asked for in one batch, …
const BATCH: usize = 100;
/// … how many batches run at the same time, …
const IN_FLIGHT: usize = 4;
/// … and how many start in a second, unless a change of a certain key was reported.
const PER_SECOND: usize = 20;

/// The longest time between two checks of the schedule.
const TICK: Duration = Duration::from_secs(1);

/// An upper bound of all settings, so that computed moments do not overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The keys with open streams. A key that has ended is removed.
#[derive(Default)]
pub(super) struct Schedule {
    slots: HashMap<KeyDigest, Slot>,
    /// By the time of the next question to the store.
    due: BTreeMap<(Instant, u64), Arc<Entry>>,
    /// By the time of expiry.
    expiring: BTreeMap<(SystemTime, u64), Arc<Entry>>,
    /// The keys with a reported change, each once.
    urgent: Vec<Arc<Entry>>,
    next: u64,
    /// When the last batches started, up to the number that a second allows.
    asked: VecDeque<Instant>,
}

struct Slot {
    entry: Arc<Entry>,
    number: u64,
    streams: usize,
    /// Waiters that are not streams. For them alone the store is asked less often.
    onlookers: usize,
    /// None while the store is asked.
    due: Option<Instant>,
    expires_at: Option<SystemTime>,
    /// The time of the question of the last answer.
    answered_at: Instant,
    /// Whether no change is known since.
    settled: bool,
    /// Whether it is in the urgent list.
    urgent: bool,
    /// The time from which running questions may be outdated.
    again: Option<Instant>,
    /// Whether the key was in a batch that the store could not answer.
    alone: bool,
    /// The wait before the store is asked again.
    pause: Duration,
}

impl Slot {
    fn count(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Stream => &mut self.streams,
            Kind::Onlooker => &mut self.onlookers,
        }
    }

    /// Returns the time after which the store is asked again.
    fn period(&self, settings: &StreamWatch) -> Duration {
        let period = match self.streams {
            0 => settings.period.max(settings.max_unchecked / 2),
            _ => settings.period,
        };
        jittered(period, &self.entry.digest)
    }
}

/// The kind of a waiter for the end of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stream, which must end with the key.
    Stream,
    /// A waiter that only cleans up afterwards.
    Onlooker,
}

/// The time, and what is known of the store.
pub(super) struct Moment<'a> {
    pub(super) now: Instant,
    pub(super) time: SystemTime,
    /// Whether the store reports all changes.
    pub(super) is_told: bool,
    pub(super) in_flight: usize,
    pub(super) settings: &'a StreamWatch,
}

/// The next steps.
pub(super) struct Plan {
    pub(super) expired: Vec<Arc<Entry>>,
    pub(super) unavailable: Vec<Arc<Entry>>,
    pub(super) batches: Vec<Vec<Arc<Entry>>>,
    /// The latest time of the next check.
    pub(super) next: Instant,
}

impl Schedule {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn get(&self, digest: &KeyDigest) -> Option<&Arc<Entry>> {
        self.slots.get(digest).map(|slot| &slot.entry)
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.slots.values().map(|slot| Arc::clone(&slot.entry)).collect()
    }

    /// Returns the number of open streams of a key.
    pub(super) fn streams_of(&self, id: &KeyId) -> usize {
        let of_key = self.slots.values().filter(|slot| slot.entry.look().record.id == *id);
        of_key.map(|slot| slot.streams).sum()
    }

    /// Adds a stream, and returns the entry of its key and whether it is new.
    pub(super) fn add(
        &mut self,
        record: &Arc<KeyRecord>,
        kind: Kind,
        now: Instant,
        settings: &StreamWatch,
        entry: impl FnOnce() -> Entry,
    ) -> (Arc<Entry>, bool) {
        if let Some(slot) = self.slots.get_mut(&record.digest) {
            *slot.count(kind) += 1;
            let (entry, due) = (Arc::clone(&slot.entry), slot.due);
            if kind == Kind::Stream && slot.streams == 1 {
                // Only clean-up waited until now.
                let next = now + jittered(settings.period, &entry.digest);
                if due.is_some_and(|due| next < due) {
                    self.set_due(&entry, next);
                }
                return (entry, true);
            }
            return (entry, false);
        }
        let entry = Arc::new(entry());
        self.next += 1;
        let mut slot = Slot {
            entry: Arc::clone(&entry),
            number: self.next,
            streams: 0,
            onlookers: 0,
            due: None,
            expires_at: None,
            answered_at: now,
            settled: true,
            urgent: false,
            again: None,
            alone: false,
            pause: settings.period,
        };
        *slot.count(kind) += 1;
        let due = now + slot.period(settings);
        self.slots.insert(record.digest, slot);
        self.set_due(&entry, due);
        self.set_expiry(&entry, record.expires_at());
        (entry, true)
    }

    /// Removes a stream.
    pub(super) fn close(&mut self, entry: &Arc<Entry>, kind: Kind) {
        let Some(slot) = self.slot(entry) else { return };
        *slot.count(kind) -= 1;
        if (slot.streams, slot.onlookers) == (0, 0) {
            self.remove(entry);
        }
    }

    /// Removes a key that has ended: a stream that it opens later is a new one.
    pub(super) fn remove(&mut self, entry: &Arc<Entry>) {
        if self.slot(entry).is_none() {
            return;
        }
        if let Some(slot) = self.slots.remove(&entry.digest) {
            slot.due.map(|due| self.due.remove(&(due, slot.number)));
            slot.expires_at.map(|at| self.expiring.remove(&(at, slot.number)));
        }
    }

    /// Asks the store for a key as soon as possible.
    pub(super) fn ask_soon(&mut self, entry: &Arc<Entry>) {
        let Some(slot) = self.slot(entry) else { return };
        if !std::mem::replace(&mut slot.urgent, true) {
            self.urgent.push(Arc::clone(entry));
        }
    }

    /// Asks the store for all keys, as fast as allowed.
    pub(super) fn ask_for_all(&mut self, now: Instant) {
        for entry in self.entries() {
            let Some(slot) = self.slot(&entry) else { continue };
            slot.settled = false;
            match slot.due {
                // Keys that waited longer come first, so that all have their turn.
                Some(due) => self.set_due(&entry, due.min(now)),
                None => slot.again = Some(now),
            }
        }
    }

    /// Notes the answer to a question of `asked_at`.
    pub(super) fn answered(
        &mut self,
        entry: &Arc<Entry>,
        standing: Standing,
        asked_at: Instant,
        settings: &StreamWatch,
    ) {
        let Standing::Valid { expires_at } = standing else { return self.remove(entry) };
        let Some(slot) = self.slot(entry) else { return };
        let again = slot.again.take();
        (slot.settled, slot.alone, slot.pause) = (again.is_none(), false, settings.period);
        slot.answered_at = slot.answered_at.max(asked_at);
        let next = asked_at + slot.period(settings);
        self.set_due(entry, again.unwrap_or(next));
        self.set_expiry(entry, expires_at);
    }

    /// Notes that the store did not answer.
    pub(super) fn unanswered(&mut self, entry: &Arc<Entry>, among: usize, now: Instant) {
        let (settings, timeout) = (entry.authority.settings(), entry.authority.lookup_timeout());
        let Some(slot) = self.slot(entry) else { return };
        (slot.settled, slot.again) = (false, None);
        // A record that cannot be read must not hide the others.
        slot.alone = slot.alone || among > 1;
        let longest = settings.max_unchecked.min(LONGEST);
        let until = slot.answered_at + longest;
        // Leaves time for an answer.
        let last_try = slot.answered_at + longest.saturating_sub(timeout);
        let next = now + jittered(slot.pause, &entry.digest);
        slot.pause = (slot.pause.min(LONGEST) * 2).min(longest);
        self.set_due(entry, next.min(if now < last_try { last_try } else { until.max(now) }));
    }

    /// Returns the next steps.
    pub(super) fn plan(&mut self, moment: &Moment<'_>) -> Plan {
        let &Moment { now, time, is_told, in_flight, settings } = moment;
        let mut plan = Plan {
            expired: Vec::new(),
            unavailable: Vec::new(),
            batches: Vec::new(),
            next: now + TICK,
        };
        while let Some(first) = self.expiring.first_entry() {
            let left = first.key().0.duration_since(time).unwrap_or_default();
            if !left.is_zero() {
                // At most a tick, because the clock may be set.
                plan.next = plan.next.min(now + left.min(TICK));
                break;
            }
            plan.expired.push(first.remove());
        }
        self.plan_urgent(&mut plan, in_flight);
        let mut batch = Vec::new();
        while let Some((&(due, number), entry)) = self.due.first_key_value() {
            if due > now {
                plan.next = plan.next.min(due);
                break;
            }
            let entry = Arc::clone(entry);
            self.due.remove(&(due, number));
            let Some(slot) = self.slot(&entry) else { continue };
            slot.due = None;
            if slot.settled && is_told {
                slot.answered_at = now;
                let due = now + slot.period(settings);
                self.set_due(&entry, due);
            } else if now >= slot.answered_at + settings.max_unchecked.min(LONGEST) {
                plan.unavailable.push(entry);
            } else {
                let alone = slot.alone;
                let begins = alone || batch.is_empty();
                if begins && !self.may_ask(now, in_flight + plan.batches.len()) {
                    self.set_due(&entry, due);
                    // An answer causes another check.
                    let since = self.asked.front().copied().unwrap_or(now);
                    plan.next = plan.next.min((since + TICK).max(now + TICK / 20));
                    break;
                }
                if alone {
                    plan.batches.push(vec![entry]);
                    continue;
                }
                batch.push(entry);
                if batch.len() == BATCH {
                    plan.batches.push(std::mem::take(&mut batch));
                }
            }
        }
        if !batch.is_empty() {
            plan.batches.push(batch);
        }
        plan
    }

    /// Plans questions for keys with a reported change. They wait only for running ones.
    fn plan_urgent(&mut self, plan: &mut Plan, in_flight: usize) {
        let mut later = Vec::new();
        let mut batch = Vec::new();
        for entry in std::mem::take(&mut self.urgent) {
            let full = in_flight + plan.batches.len() >= IN_FLIGHT;
            let Some(slot) = self.slot(&entry) else { continue };
            slot.settled = false;
            let Some(due) = slot.due.filter(|_| !full) else {
                // The running question may be older than the change.
                later.push(entry);
                continue;
            };
            slot.due = None;
            slot.urgent = false;
            let (number, alone) = (slot.number, slot.alone);
            self.due.remove(&(due, number));
            if alone {
                plan.batches.push(vec![entry]);
                continue;
            }
            batch.push(entry);
            if batch.len() == BATCH {
                plan.batches.push(std::mem::take(&mut batch));
            }
        }
        if !batch.is_empty() {
            plan.batches.push(batch);
        }
        self.urgent = later;
    }

    /// Tells whether another batch may start, and counts it.
    fn may_ask(&mut self, now: Instant, in_flight: usize) -> bool {
        if in_flight >= IN_FLIGHT {
            return false;
        }
        if self.asked.len() == PER_SECOND {
            if self.asked.front().is_some_and(|since| now < *since + TICK) {
                return false;
            }
            self.asked.pop_front();
        }
        self.asked.push_back(now);
        true
    }

    /// Returns the slot of an entry, unless its key has ended.
    fn slot(&mut self, entry: &Arc<Entry>) -> Option<&mut Slot> {
        self.slots.get_mut(&entry.digest).filter(|slot| Arc::ptr_eq(&slot.entry, entry))
    }

    fn set_due(&mut self, entry: &Arc<Entry>, due: Instant) {
        let Some(slot) = self.slot(entry) else { return };
        let (before, number) = (slot.due.replace(due), slot.number);
        before.map(|before| self.due.remove(&(before, number)));
        self.due.insert((due, number), Arc::clone(entry));
    }

    fn set_expiry(&mut self, entry: &Arc<Entry>, expires_at: Option<SystemTime>) {
        let Some(slot) = self.slot(entry) else { return };
        let (before, number) = (std::mem::replace(&mut slot.expires_at, expires_at), slot.number);
        before.map(|before| self.expiring.remove(&(before, number)));
        expires_at.map(|at| self.expiring.insert((at, number), Arc::clone(entry)));
    }
}

/// Returns a time that is up to a fifth shorter or longer, depending on the key.
fn jittered(period: Duration, digest: &KeyDigest) -> Duration {
    let [.., byte] = *digest.as_bytes();
    period.min(LONGEST) * (816 + 368 * u32::from(byte) / 255) / 1000
}
