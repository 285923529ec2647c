//! [`UsedKeys`]: the keys that were used of late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::key::KeyId;
use crate::store::KeyUse;

/// In place of the last use: nobody looks at it any more.
const FORGOTTEN: u64 = u64::MAX;

/// The last use of each key, until it is forgotten.
pub(super) struct UsedKeys {
    keys: papaya::HashMap<KeyId, Arc<UsedKey>>,
    /// Keys of which the writer does not know yet.
    new: Mutex<Vec<Arc<UsedKey>>>,
    most: usize,
}

/// What became of a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It is noted, and the writer knows the key.
    Again,
    /// It is noted, and the writer has to be woken.
    First,
    /// It is not noted: there are too many keys.
    TooMany,
    /// It is not noted: nobody writes any more.
    TooLate,
}

impl UsedKeys {
    pub(super) fn at_most(most: usize) -> Self {
        Self { keys: papaya::HashMap::new(), new: Mutex::default(), most }
    }

    /// Notes a use, in microseconds from 1970.
    pub(super) fn note(&self, id: &KeyId, at: u64) -> Noted {
        let at = at.min(FORGOTTEN - 1);
        let keys = self.keys.pin();
        loop {
            match keys.get(id) {
                Some(key) if key.used_at.fetch_max(at, Ordering::Relaxed) != FORGOTTEN => {
                    return Noted::Again;
                }
                // Whoever forgets it is about to do the same.
                Some(_) => self.remove_forgotten(id),
                None if keys.len() >= self.most => return Noted::TooMany,
                None => {
                    let key = Arc::new(UsedKey { id: id.clone(), used_at: AtomicU64::new(at) });
                    // Locked before others find the key: what they note is then seen by whoever
                    // takes the new keys afterwards.
                    let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
                    if keys.try_insert(id.clone(), Arc::clone(&key)).is_ok() {
                        new.push(key);
                        return Noted::First;
                    }
                }
            }
        }
    }

    /// Returns the keys that came since it was called before.
    pub(super) fn take_new(&self) -> Vec<Arc<UsedKey>> {
        std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns how many keys came since they were taken.
    #[cfg(feature = "metrics")]
    pub(super) fn new_keys(&self) -> usize {
        self.new.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Forgets a key, unless it was used after `last`. Returns whether it is forgotten.
    pub(super) fn forget(&self, key: &UsedKey, last: u64) -> bool {
        let forgotten =
            key.used_at.compare_exchange(last, FORGOTTEN, Ordering::Relaxed, Ordering::Relaxed);
        if forgotten.is_ok() {
            self.remove_forgotten(&key.id);
        }
        forgotten.is_ok()
    }

    fn remove_forgotten(&self, id: &KeyId) {
        let _ = self.keys.pin().remove_if(id, |_, key| key.last_use() == FORGOTTEN);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.pin().len()
    }
}

/// A key, and when it was last used.
pub(super) struct UsedKey {
    id: KeyId,
    used_at: AtomicU64,
}

impl UsedKey {
    /// Returns the last use, in microseconds from 1970.
    pub(super) fn last_use(&self) -> u64 {
        self.used_at.load(Ordering::Relaxed)
    }

    /// Says that the key was used so many microseconds after 1970.
    pub(super) fn used_at(&self, at: u64) -> KeyUse {
        KeyUse::new(self.id.clone(), SystemTime::UNIX_EPOCH + Duration::from_micros(at))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    fn id(text: &str) -> KeyId {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_first_use_of_a_key_is_new() {
        let keys = UsedKeys::at_most(9);
        assert_eq!(keys.note(&id("a"), 5), Noted::First);
        assert_eq!(keys.note(&id("a"), 7), Noted::Again);
        assert_eq!(keys.note(&id("b"), 6), Noted::First);
        let new: Vec<_> = keys.take_new().iter().map(|key| key.last_use()).collect();
        assert_eq!(new, [7, 6]);
        assert!(keys.take_new().is_empty());
    }

    #[test]
    fn a_clock_that_goes_back_takes_no_use_back() {
        let keys = UsedKeys::at_most(9);
        for at in [5, 7, 6, u64::MAX, 0] {
            keys.note(&id("a"), at);
        }
        assert_eq!(keys.take_new()[0].last_use(), u64::MAX - 1);
    }

    #[test]
    fn a_key_that_was_used_since_is_not_forgotten() {
        let keys = UsedKeys::at_most(9);
        keys.note(&id("a"), 5);
        let key = keys.take_new().remove(0);
        keys.note(&id("a"), 6);
        assert!(!keys.forget(&key, 5));
        assert_eq!((keys.len(), key.last_use()), (1, 6));
        assert!(keys.forget(&key, 6));
        assert_eq!(keys.len(), 0);
        assert_eq!(keys.note(&id("a"), 6), Noted::First);
    }

    #[test]
    fn there_is_room_again_when_a_key_is_forgotten() {
        let keys = UsedKeys::at_most(1);
        keys.note(&id("a"), 1);
        assert_eq!(keys.note(&id("b"), 1), Noted::TooMany);
        assert_eq!(keys.note(&id("a"), 2), Noted::Again);
        let key = keys.take_new().remove(0);
        assert!(keys.forget(&key, 2));
        assert_eq!(keys.note(&id("b"), 1), Noted::First);
        assert_eq!(keys.len(), 1);
    }

    #[test]
    fn no_use_is_lost_to_a_key_that_is_being_forgotten() {
        let keys = UsedKeys::at_most(9);
        let (key, done, written) = (id("a"), AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut known = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    known.extend(keys.take_new());
                    known.retain(|key| {
                        let last = key.last_use();
                        written.fetch_max(last, Ordering::SeqCst);
                        !keys.forget(key, last)
                    });
                }
            });
            let is_kept = |at: u64| {
                let kept = keys.keys.pin().get(&key).map(|key| key.last_use());
                kept == Some(at) || written.load(Ordering::SeqCst) >= at
            };
            let lost = (1..=100_000).find(|at| {
                keys.note(&key, *at);
                // It may be between the one and the other.
                (0..1000).all(|_| !is_kept(*at))
            });
            done.store(true, Ordering::SeqCst);
            assert_eq!(lost, None);
        });
    }
}
