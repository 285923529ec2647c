//! [`Generations`]: how often each key was invalidated.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::KeyDigest;

/// How many counters there are.
///
/// Keys that share one are invalidated together, which is always safe and costs one load of
/// each: with a hundred thousand keys in memory, a change has six others loaded again, when they
/// are next used.
const COUNTERS: usize = 1 << 14;

/// Counts invalidations. It never forgets one, however long ago, so what was loaded before it
/// can be told from what was loaded after it without anybody waiting for anybody.
pub(super) struct Generations(Box<[AtomicU64]>);

impl Generations {
    pub(super) fn new() -> Self {
        Self((0..COUNTERS).map(|_| AtomicU64::new(0)).collect())
    }

    /// Returns the generation of a key. What was read from the store before it began is outdated.
    pub(super) fn current(&self, digest: &KeyDigest) -> u64 {
        self.counter(digest).load(Ordering::SeqCst)
    }

    /// Begins a new generation of a key.
    pub(super) fn advance(&self, digest: &KeyDigest) {
        self.counter(digest).fetch_add(1, Ordering::SeqCst);
    }

    /// Begins a new generation of every key.
    pub(super) fn advance_all(&self) {
        for counter in &self.0 {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counter(&self, digest: &KeyDigest) -> &AtomicU64 {
        // Other bytes than those by which the maps place their entries.
        let [.., first, second] = *digest.as_bytes();
        &self.0[usize::from(u16::from_le_bytes([first, second])) % COUNTERS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_invalidated_alone_or_with_all_others() {
        let generations = Generations::new();
        let keys = [0, 1, 0xff].map(|byte| KeyDigest::from_bytes([byte; 32]));
        let current = || keys.map(|key| generations.current(&key));
        assert_eq!(current(), [0, 0, 0]);
        generations.advance(&keys[1]);
        assert_eq!(current(), [0, 1, 0]);
        generations.advance_all();
        assert_eq!(current(), [1, 2, 1]);
    }
}
