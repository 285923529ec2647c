//! [`UsedKeys`]: the recently used keys.

use std::sync::{Arc, Mutex, PoisonError};

use super::used_key::UsedKey;
use crate::key::{KeyId, TenantId};

/// The counts of each key, until the key is forgotten.
pub(super) struct UsedKeys {
    keys: papaya::HashMap<KeyId, Arc<UsedKey>>,
    /// The keys that the writer does not know yet.
    new: Mutex<Vec<Arc<UsedKey>>>,
    most: usize,
}

/// The result of counting a request.
pub(super) enum Noted {
    /// It is counted, and the writer knows the key.
    Again(Arc<UsedKey>),
    /// It is counted, and the writer has to wake.
    First,
    /// It is not counted: there are too many keys.
    TooMany,
}

impl UsedKeys {
    pub(super) fn at_most(most: usize) -> Self {
        Self { keys: papaya::HashMap::new(), new: Mutex::default(), most }
    }

    /// Counts a request by `count`, which returns false if the key is closed.
    pub(super) fn note(
        &self,
        id: &KeyId,
        tenant: Option<&TenantId>,
        count: impl Fn(&UsedKey) -> bool,
    ) -> Noted {
        let keys = self.keys.pin();
        loop {
            match keys.get(id) {
                Some(key) if count(key) => return Noted::Again(Arc::clone(key)),
                // The call of `forget` that closed it may not have removed it yet.
                Some(_) => self.remove_closed(id),
                None if keys.len() >= self.most => return Noted::TooMany,
                None => {
                    let key = Arc::new(UsedKey::new(id.clone(), tenant.cloned()));
                    count(&key);
                    // Locked before other threads find the key. So `take_new`, called after they count,
                    // returns it.
                    let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
                    if keys.try_insert(id.clone(), Arc::clone(&key)).is_ok() {
                        new.push(key);
                        return Noted::First;
                    }
                }
            }
        }
    }

    /// Returns the keys that were added since the last call.
    pub(super) fn take_new(&self) -> Vec<Arc<UsedKey>> {
        std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns how many keys were added since the last `take_new`.
    #[cfg(feature = "metrics")]
    pub(super) fn new_keys(&self) -> usize {
        self.new.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Forgets a key: its next use is a first use. Its counts stay in `key`.
    pub(super) fn forget(&self, key: &UsedKey) {
        key.close();
        self.remove_closed(key.id());
    }

    fn remove_closed(&self, id: &KeyId) {
        let _ = self.keys.pin().remove_if(id, |_, key| key.is_closed());
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.pin().len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::super::threads::Threads;
    use super::super::used_key::{Moment, Unwritten};
    use super::*;
    use crate::key::KeyHasher;

    fn id(text: &str) -> KeyId {
        text.parse().unwrap()
    }

    fn note(keys: &UsedKeys, id: &KeyId, at: u64) -> &'static str {
        match keys.note(id, None, |key| key.accept(Moment::of(at))) {
            Noted::Again(_) => "again",
            Noted::First => "first",
            Noted::TooMany => "too many",
        }
    }

    #[test]
    fn only_the_first_use_of_a_key_is_new() {
        let keys = UsedKeys::at_most(9);
        let noted = [("a", 5), ("a", 7), ("b", 6)].map(|(name, at)| note(&keys, &id(name), at));
        assert_eq!(noted, ["first", "again", "first"]);
        let new: Vec<_> = keys.take_new().iter().map(|key| key.last_use()).collect();
        assert_eq!(new, [7, 6]);
        assert!(keys.take_new().is_empty());
    }

    #[test]
    fn there_is_room_again_when_a_key_is_forgotten() {
        let keys = UsedKeys::at_most(1);
        assert_eq!(note(&keys, &id("a"), 1), "first");
        assert_eq!(note(&keys, &id("b"), 1), "too many");
        assert_eq!(note(&keys, &id("a"), 2), "again");
        let key = keys.take_new().remove(0);
        keys.forget(&key);
        assert_eq!(key.unwritten(), Unwritten { last_use: true, hours: 1 }, "it stays");
        assert_eq!(note(&keys, &id("b"), 1), "first");
        assert_eq!(keys.len(), 1);
    }

    #[test]
    fn no_request_is_lost_to_a_key_that_is_being_forgotten() {
        const REQUESTS: u64 = 50_000;
        let (keys, threads) = (UsedKeys::at_most(9), Threads::default());
        let (id, digest) = (id("a"), KeyHasher::sha256().digest("a"));
        let done = AtomicBool::new(false);
        let take = |known: &mut Vec<Arc<UsedKey>>| {
            known.extend(keys.take_new());
            let mut taken = 0;
            known.retain(|key| {
                taken += key.take_hours().iter().map(|row| row.counts.accepted()).sum::<u64>();
                keys.forget(key);
                key.unwritten().hours > 0
            });
            taken
        };
        let taken = thread::scope(|scope| {
            let counting = [0, 1].map(|_| {
                scope.spawn(|| {
                    for number in 0..REQUESTS {
                        // The hour changes after every 1000 requests.
                        let now = Moment::of(number / 1000 * 3_600_000_000 + 1);
                        if threads.accept(&id, &digest, now) {
                            continue;
                        }
                        let noted = keys.note(&id, None, |key| key.accept(now));
                        if let Noted::Again(key) = noted {
                            threads.missed(&digest, &key);
                        }
                    }
                })
            });
            let taking = scope.spawn(|| {
                let (mut known, mut taken) = (Vec::new(), 0);
                while !done.load(Ordering::SeqCst) {
                    taken += take(&mut known);
                }
                // Once more for the rest of the last take, and once for the rest of that.
                taken + take(&mut known) + take(&mut known)
            });
            for thread in counting {
                thread.join().unwrap();
            }
            done.store(true, Ordering::SeqCst);
            taking.join().unwrap()
        });
        assert_eq!(taken, 2 * REQUESTS);
    }
}
