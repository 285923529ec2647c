//! [`Entries`]: what was loaded, and until when it may be served.

use std::hash::{BuildHasherDefault, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::generations::Generations;
use crate::key::KeyDigest;
use crate::store::{FirstBytes, KeyRecord};

type Bounded<T, H> = Cache<KeyDigest, T, UnitWeighter, H, DefaultLifecycle<KeyDigest, T>>;

/// Records, and digests of which it is known that they have none. Neither pushes the other out.
pub(super) struct Entries {
    generations: Generations,
    // Stored digests are as random as a hash.
    found: Bounded<(Arc<KeyRecord>, Stamp), BuildHasherDefault<FirstBytes>>,
    // Whoever presents keys chooses their digests, and must not choose their places too.
    unknown: Bounded<Stamp, RandomState>,
    limits: Limits,
    keeping: Mutex<()>,
}

/// How many entries there are, and how old they may be, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) capacity: usize,
    pub(super) negative_capacity: usize,
    pub(super) ttl: u64,
    pub(super) negative_ttl: u64,
    pub(super) max_staleness: u64,
}

/// Taken before the store is asked: the answer is at least as new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    generation: u64,
    at: u64,
}

/// What is known of a key.
#[derive(Debug, PartialEq)]
pub(super) enum Known {
    /// What the store said a short time ago.
    Fresh(Option<Arc<KeyRecord>>),
    /// What it said some time ago: to be served and to be loaded again.
    Aging(Arc<KeyRecord>),
    /// Nothing that may be served.
    Nothing,
}

impl Entries {
    pub(super) fn new(limits: Limits) -> Self {
        let Limits { capacity, negative_capacity, .. } = limits;
        let weight = |capacity: usize| u64::try_from(capacity).unwrap_or(u64::MAX);
        Self {
            generations: Generations::new(),
            found: Cache::with(
                capacity,
                weight(capacity),
                UnitWeighter,
                BuildHasherDefault::default(),
                DefaultLifecycle::default(),
            ),
            unknown: Cache::with(
                negative_capacity,
                weight(negative_capacity),
                UnitWeighter,
                RandomState::new(),
                DefaultLifecycle::default(),
            ),
            limits,
            keeping: Mutex::new(()),
        }
    }

    /// Returns what is known of a key at the time `now`.
    pub(super) fn look(&self, digest: &KeyDigest, now: u64) -> Known {
        let current = self.stamp(digest, now);
        if let Some((record, stamp)) = self.found.get(digest) {
            match current.age_of(stamp) {
                Some(age) if age < self.limits.ttl => return Known::Fresh(Some(record)),
                Some(age) if age < self.limits.max_staleness => return Known::Aging(record),
                _ => {}
            }
        }
        match self.unknown.get(digest).and_then(|stamp| current.age_of(stamp)) {
            Some(age) if age < self.limits.negative_ttl => Known::Fresh(None),
            _ => Known::Nothing,
        }
    }

    /// Returns the stamp of what is loaded from `now` on.
    pub(super) fn stamp(&self, digest: &KeyDigest, now: u64) -> Stamp {
        Stamp { generation: self.generations.current(digest), at: now }
    }

    /// Keeps what the store answered to whoever took `stamp` before, unless something newer is
    /// known.
    pub(super) fn keep(&self, digest: &KeyDigest, stamp: Stamp, found: &Option<Arc<KeyRecord>>) {
        // One at a time, so that of two answers that come at once the newer stays.
        let _keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let known = [self.found.peek(digest).map(|found| found.1), self.unknown.peek(digest)];
        if known.iter().flatten().any(|known| known.is_newer_than(stamp)) {
            return;
        }
        match found {
            Some(record) => {
                self.unknown.remove(digest);
                self.found.insert(*digest, (Arc::clone(record), stamp));
            }
            None => {
                self.found.remove(digest);
                self.unknown.insert(*digest, stamp);
            }
        }
    }

    /// Forgets what was loaded of a key until now, also what is being loaded and was not kept yet.
    pub(super) fn forget(&self, digest: &KeyDigest) {
        self.generations.advance(digest);
        // Only for their memory: they are outdated.
        self.found.remove(digest);
        self.unknown.remove(digest);
    }

    /// Forgets what was loaded of all keys until now.
    pub(super) fn forget_all(&self) {
        // Their memory is reused as keys are loaded again. To free it would hold up everybody.
        self.generations.advance_all();
    }

    /// Returns how many records and how many unknown digests are in memory.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.found.len(), self.unknown.len())
    }

    pub(super) fn max_staleness(&self) -> Duration {
        Duration::from_nanos(self.limits.max_staleness)
    }
}

impl Stamp {
    /// Returns the age of what has the stamp `other`, unless it was invalidated. What comes from
    /// the future, because a clock was set back, has none either.
    pub(super) fn age_of(self, other: Self) -> Option<u64> {
        if self.generation != other.generation {
            return None;
        }
        self.at.checked_sub(other.at)
    }

    fn is_newer_than(self, other: Self) -> bool {
        (self.generation, self.at) > (other.generation, other.at)
    }
}
