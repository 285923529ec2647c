//! [`Sessions`]: the key that opened each session.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};

use super::onlooker::Onlooker;
use crate::key::{KeyDigest, KeyId};
use crate::verify::VerifiedKey;

/// The keys of sessions, up to a bound.
pub(super) struct Sessions {
    bounds: Bounds,
    known: Mutex<Known>,
}

/// How many sessions are remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) all: usize,
    pub(super) per_key: usize,
}

/// A session by the digest of its id: ids may be long, and are secrets.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId(KeyDigest);

#[derive(Default)]
struct Known {
    sessions: HashMap<SessionId, Session>,
    owned: HashMap<KeyId, Owned>,
    /// All sessions by their last use.
    used: BTreeMap<u64, SessionId>,
    /// Counts uses, so that each has a time of its own.
    now: u64,
}

/// What belongs to a key.
#[derive(Default)]
struct Owned {
    /// Its sessions by their last use.
    sessions: BTreeMap<u64, SessionId>,
    /// None until one of the sessions is used again.
    onlooker: Option<Arc<Onlooker>>,
}

struct Session {
    owner: KeyId,
    used: u64,
}

/// Several values of a header that names one session.
pub(super) struct Several;

impl SessionId {
    /// Returns the session that a header names, if any is.
    pub(super) fn named(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Several> {
        let mut values = headers.get_all(name).into_iter();
        match (values.next(), values.next()) {
            (value, None) => Ok(value.map(|value| Self::of(value.as_bytes()))),
            (_, Some(_)) => Err(Several),
        }
    }

    fn of(id: &[u8]) -> Self {
        Self(KeyDigest::from_bytes(Sha256::digest(id).into()))
    }
}

impl Sessions {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, known: Mutex::default() }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(super) fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Watches `key`, if it has sessions, and forgets them when it ends. Of several keys of a chain, it
    /// watches the key of the last request.
    pub(super) fn look_on(self: &Arc<Self>, key: &VerifiedKey) {
        let owner = key.record().counted_id();
        let is_missing = |known: &Known| {
            known.owned.get(owner).is_some_and(|own| {
                own.onlooker.as_ref().is_none_or(|onlooker| !onlooker.is_for(key))
            })
        };
        if !is_missing(&self.lock()) {
            return;
        }
        // Called without the lock, because it may ask the store.
        let (sessions, of_owner) = (Arc::downgrade(self), owner.clone());
        let onlooker = Onlooker::of(key, move |onlooker, is_forever| {
            if let Some(sessions) = sessions.upgrade() {
                sessions.ended(&of_owner, onlooker, is_forever);
            }
        });
        let mut known = self.lock();
        let Some(own) = known.owned.get_mut(owner) else { return };
        let before = own.onlooker.replace(Arc::clone(&onlooker));
        drop(known);
        drop(before);
        onlooker.look();
    }

    /// Notes that the key of `onlooker` has ended, permanently or not.
    fn ended(&self, owner: &KeyId, onlooker: &Arc<Onlooker>, is_forever: bool) {
        let mut known = self.lock();
        let Some(own) = known.owned.get_mut(owner) else { return };
        if !own.onlooker.as_ref().is_some_and(|current| Arc::ptr_eq(current, onlooker)) {
            return;
        }
        let over = own.onlooker.take();
        if is_forever {
            for id in own.sessions.values().copied().collect::<Vec<_>>() {
                known.forget(id);
            }
        }
        drop(known);
        drop(over);
    }

    /// Tells whether the session is one of `owner`, and if so notes the use.
    pub(super) fn is_of(&self, id: SessionId, owner: &KeyId) -> bool {
        self.lock().touch(id, owner)
    }

    /// Remembers that `owner` opened the session. A session of another key stays with that key.
    pub(super) fn bind(&self, id: SessionId, owner: &KeyId) {
        // Dropped after the lock, because it may drop the layer.
        let mut gone = Vec::new();
        let mut known = self.lock();
        if known.sessions.contains_key(&id) {
            return;
        }
        // A key with many sessions loses its own first.
        while known.owned.get(owner).is_some_and(|own| own.sessions.len() >= self.bounds.per_key)
            && let Some(oldest) = known.oldest_of(owner)
        {
            gone.extend(known.forget(oldest));
        }
        while known.sessions.len() >= self.bounds.all
            && let Some((_, oldest)) = known.used.first_key_value()
        {
            let oldest = *oldest;
            gone.extend(known.forget(oldest));
        }
        known.insert(id, owner);
    }

    /// Forgets a session of `owner`.
    pub(super) fn forget(&self, id: SessionId, owner: &KeyId) {
        let mut known = self.lock();
        let is_own = known.sessions.get(&id).is_some_and(|session| session.owner == *owner);
        let gone = if is_own { known.forget(id) } else { None };
        drop(known);
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn oldest_of(&self, owner: &KeyId) -> Option<SessionId> {
        self.owned.get(owner)?.sessions.values().next().copied()
    }

    fn insert(&mut self, id: SessionId, owner: &KeyId) {
        self.now += 1;
        self.used.insert(self.now, id);
        self.owned.entry(owner.clone()).or_default().sessions.insert(self.now, id);
        self.sessions.insert(id, Session { owner: owner.clone(), used: self.now });
    }

    fn touch(&mut self, id: SessionId, owner: &KeyId) -> bool {
        let session = self.sessions.get_mut(&id).filter(|session| session.owner == *owner);
        let Some(session) = session else { return false };
        self.now += 1;
        let before = std::mem::replace(&mut session.used, self.now);
        self.used.remove(&before);
        self.used.insert(self.now, id);
        if let Some(own) = self.owned.get_mut(owner) {
            own.sessions.remove(&before);
            own.sessions.insert(self.now, id);
        }
        true
    }

    /// Forgets a session, and returns the onlooker of its key if it was the last.
    fn forget(&mut self, id: SessionId) -> Option<Arc<Onlooker>> {
        let Session { owner, used } = self.sessions.remove(&id)?;
        self.used.remove(&used);
        let own = self.owned.get_mut(&owner)?;
        own.sessions.remove(&used);
        if own.sessions.is_empty() { self.owned.remove(&owner)?.onlooker } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(id: &str) -> KeyId {
        id.parse().unwrap()
    }

    fn session(id: &str) -> SessionId {
        SessionId::of(id.as_bytes())
    }

    #[test]
    fn a_session_is_of_the_key_that_opened_it_until_that_key_ends_it() {
        let sessions = Sessions::new(Bounds { all: 10, per_key: 10 });
        let (one, other) = (key("one"), key("other"));
        assert!(!sessions.is_of(session("a"), &one));
        sessions.bind(session("a"), &one);
        sessions.bind(session("a"), &other);
        assert!(sessions.is_of(session("a"), &one) && !sessions.is_of(session("a"), &other));
        sessions.forget(session("a"), &other);
        assert!(sessions.is_of(session("a"), &one));
        sessions.forget(session("a"), &one);
        assert!(!sessions.is_of(session("a"), &one));
    }

    #[test]
    fn a_key_at_its_bound_loses_its_own_session_that_was_used_least() {
        let sessions = Sessions::new(Bounds { all: 10, per_key: 2 });
        let (one, other) = (key("one"), key("other"));
        sessions.bind(session("x"), &other);
        for id in ["a", "b"] {
            sessions.bind(session(id), &one);
        }
        assert!(sessions.is_of(session("a"), &one));
        sessions.bind(session("c"), &one);
        let known = ["a", "b", "c"].map(|id| sessions.is_of(session(id), &one));
        assert_eq!(known, [true, false, true]);
        assert!(sessions.is_of(session("x"), &other));
    }

    #[test]
    fn at_the_bound_of_all_the_session_that_was_used_least_is_forgotten() {
        let sessions = Sessions::new(Bounds { all: 2, per_key: 2 });
        let keys = ["one", "two", "three"].map(key);
        for (id, key) in ["a", "b"].into_iter().zip(&keys) {
            sessions.bind(session(id), key);
        }
        assert!(sessions.is_of(session("a"), &keys[0]));
        sessions.bind(session("c"), &keys[2]);
        let known =
            [0, 1, 2].map(|index| sessions.is_of(session(["a", "b", "c"][index]), &keys[index]));
        assert_eq!(known, [true, false, true]);
    }

    proptest! {
        #[test]
        fn no_more_is_kept_than_the_bounds_say_and_all_of_it_agrees(
            steps in prop::collection::vec((0..3u8, 0..6u8, 0..3u8), 0..60),
        ) {
            let sessions = Sessions::new(Bounds { all: 4, per_key: 2 });
            for (step, id, owner) in steps {
                let (id, owner) = (SessionId::of(&[id]), key(&format!("key_{owner}")));
                match step {
                    0 => sessions.bind(id, &owner),
                    1 => sessions.forget(id, &owner),
                    _ => drop(sessions.is_of(id, &owner)),
                }
                let known = sessions.lock();
                let owned: usize = known.owned.values().map(|own| own.sessions.len()).sum();
                prop_assert_eq!([owned, known.used.len()], [known.sessions.len(); 2]);
                prop_assert!(known.sessions.len() <= 4);
                prop_assert!(known.owned.values().all(|own| (1..=2).contains(&own.sessions.len())));
            }
        }
    }
}
