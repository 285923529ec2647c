//! [`Levels`]: what each key, tenant or address has spent.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::subject::Subject;

/// The number of subjects from which idle ones are removed.
const FIRST_SWEEP: usize = 1024;

/// The levels of many subjects, each behind a lock of its own.
///
/// A subject whose levels are all in the past is like an unknown one, so it is removed when the number
/// of subjects has doubled.
pub(super) struct Levels<K, H> {
    subjects: papaya::HashMap<K, Mutex<Subject>, H>,
    next_sweep: AtomicUsize,
    sweeping: Mutex<()>,
    /// The most subjects, if there is a bound.
    most: usize,
}

impl<K, H> Levels<K, H>
where
    K: Hash + Eq + Clone + Send + Sync,
    H: BuildHasher + Default,
{
    /// Keeps any number of subjects.
    pub(super) fn new() -> Self {
        Self::at_most(usize::MAX)
    }

    /// Keeps `most` subjects, and removes those that spent least first.
    pub(super) fn at_most(most: usize) -> Self {
        Self {
            subjects: papaya::HashMap::with_hasher(H::default()),
            next_sweep: AtomicUsize::new(FIRST_SWEEP.min(most)),
            sweeping: Mutex::default(),
            most,
        }
    }

    /// Runs `act` with the subject locked.
    pub(super) fn with<T>(&self, key: &K, now: u64, act: impl FnOnce(&mut Subject) -> T) -> T {
        let pinned = self.subjects.pin();
        loop {
            let found = pinned.get(key);
            let is_new = found.is_none();
            let subject =
                found.unwrap_or_else(|| pinned.get_or_insert_with(key.clone(), Mutex::default));
            let mut locked = lock(subject);
            if locked.is_forgotten() {
                continue;
            }
            let result = act(&mut locked);
            drop(locked);
            if is_new {
                self.sweep_if_due(now);
            }
            return result;
        }
    }

    /// Runs `act` with the subject locked, if it is known.
    pub(super) fn with_known<T>(&self, key: &K, act: impl FnOnce(&mut Subject) -> T) -> Option<T> {
        let pinned = self.subjects.pin();
        // A subject that was just removed has no levels.
        pinned.get(key).map(|subject| act(&mut lock(subject)))
    }

    #[cfg(any(test, feature = "metrics"))]
    pub(super) fn len(&self) -> usize {
        self.subjects.pin().len()
    }

    fn sweep_if_due(&self, now: u64) {
        if self.subjects.pin().len() < self.next_sweep.load(Ordering::Relaxed) {
            return;
        }
        // Another thread is doing it.
        let Ok(_sweeping) = self.sweeping.try_lock() else { return };
        self.forget_until(now);
        if self.subjects.pin().len() >= self.most {
            let pinned = self.subjects.pin();
            let mut lasts: Vec<_> = pinned.values().map(|subject| lock(subject).last()).collect();
            let middle = lasts.len() / 2;
            if let Some((_, median, _)) =
                (middle < lasts.len()).then(|| lasts.select_nth_unstable(middle))
            {
                self.forget_until(*median);
            }
        }
        let left = self.subjects.pin().len();
        let next = left.saturating_mul(2).max(FIRST_SWEEP).min(self.most);
        self.next_sweep.store(next, Ordering::Relaxed);
    }

    /// Removes the subjects to which everything has come back at `time`.
    pub(super) fn forget_until(&self, time: u64) {
        let pinned = self.subjects.pin();
        for (key, subject) in &pinned {
            let mut locked = lock(subject);
            if locked.last() <= time {
                locked.forget();
                // Under the lock, so that no new subject is removed in its place.
                pinned.remove(key);
            }
        }
    }
}

fn lock(subject: &Mutex<Subject>) -> MutexGuard<'_, Subject> {
    // Nothing panics while it holds the lock, and a level would be a valid number all the same.
    subject.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::key::RateLimit;
    use crate::limit::gcra::Gcra;

    #[test]
    fn who_waits_for_a_subject_that_is_forgotten_looks_again() {
        let levels = Levels::<u32, RandomState>::new();
        let (name, gcra): (Arc<str>, _) = ("x".into(), Gcra::new(&RateLimit::per_hour(1)));
        for _ in 0..20 {
            thread::scope(|scope| {
                let (held, is_held) = mpsc::channel();
                let levels = &levels;
                scope.spawn(move || {
                    levels.with(&0, 10, |_| {
                        held.send(()).unwrap();
                        thread::sleep(Duration::from_millis(4));
                    });
                });
                is_held.recv().unwrap();
                // Both wait for the lock: one to forget the subject, one to use it.
                scope.spawn(|| levels.forget_until(10));
                thread::sleep(Duration::from_millis(1));
                scope.spawn(|| levels.with(&0, 10, |own| own.set(&name, gcra, 20, |_| true)));
            });
            assert_eq!(levels.with_known(&0, |own| own.level(&name, gcra)), Some(20));
            levels.with(&0, 10, |own| own.set(&name, gcra, 10, |_| true));
        }
    }
}
