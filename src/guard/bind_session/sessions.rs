//! [`Sessions`]: which key opened which session.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};

use crate::key::{KeyDigest, KeyId};

/// The keys of sessions, as many as there may be.
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

/// A session by the digest of its id: ids may be long, and open the session to those who know them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId(KeyDigest);

#[derive(Default)]
struct Known {
    sessions: HashMap<SessionId, Session>,
    /// The sessions of each key by their last use.
    owned: HashMap<KeyId, BTreeMap<u64, SessionId>>,
    /// All sessions by their last use.
    used: BTreeMap<u64, SessionId>,
    /// Counts uses, so that no two are at one time.
    now: u64,
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

    /// Tells whether the session is one of `owner`, and if so notes that it was used.
    pub(super) fn is_of(&self, id: SessionId, owner: &KeyId) -> bool {
        let mut known = self.lock();
        let is_own = known.sessions.get(&id).is_some_and(|session| session.owner == *owner);
        if is_own {
            known.forget(id);
            known.insert(id, owner);
        }
        is_own
    }

    /// Remembers that `owner` opened the session. A session of another key stays with that key.
    pub(super) fn bind(&self, id: SessionId, owner: &KeyId) {
        let mut known = self.lock();
        if known.sessions.contains_key(&id) {
            return;
        }
        // A key that opens many sessions loses its own first.
        while known.owned.get(owner).is_some_and(|own| own.len() >= self.bounds.per_key)
            && let Some(oldest) = known.oldest_of(owner)
        {
            known.forget(oldest);
        }
        while known.sessions.len() >= self.bounds.all
            && let Some((_, oldest)) = known.used.first_key_value()
        {
            let oldest = *oldest;
            known.forget(oldest);
        }
        known.insert(id, owner);
    }

    /// Forgets a session of `owner`.
    pub(super) fn forget(&self, id: SessionId, owner: &KeyId) {
        let mut known = self.lock();
        if known.sessions.get(&id).is_some_and(|session| session.owner == *owner) {
            known.forget(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn oldest_of(&self, owner: &KeyId) -> Option<SessionId> {
        self.owned.get(owner)?.values().next().copied()
    }

    fn insert(&mut self, id: SessionId, owner: &KeyId) {
        self.now += 1;
        self.used.insert(self.now, id);
        self.owned.entry(owner.clone()).or_default().insert(self.now, id);
        self.sessions.insert(id, Session { owner: owner.clone(), used: self.now });
    }

    fn forget(&mut self, id: SessionId) {
        let Some(Session { owner, used }) = self.sessions.remove(&id) else { return };
        self.used.remove(&used);
        if let Some(own) = self.owned.get_mut(&owner) {
            own.remove(&used);
            if own.is_empty() {
                self.owned.remove(&owner);
            }
        }
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
                let owned: usize = known.owned.values().map(BTreeMap::len).sum();
                prop_assert_eq!([owned, known.used.len()], [known.sessions.len(); 2]);
                prop_assert!(known.sessions.len() <= 4);
                prop_assert!(known.owned.values().all(|own| (1..=2).contains(&own.len())));
            }
        }
    }
}
