//! [`Stamp`]: when something was loaded.

/// Taken before the store is asked: the answer is at least as new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    generation: u64,
    at: u64,
}

impl Stamp {
    pub(super) const fn new(generation: u64, at: u64) -> Self {
        Self { generation, at }
    }

    /// Returns when it was taken.
    pub(super) const fn at(self) -> u64 {
        self.at
    }

    /// Returns the age of what has the stamp `other`, unless it was invalidated. What comes from
    /// the future, because a clock was set back, has none either.
    pub(super) fn age_of(self, other: Self) -> Option<u64> {
        if self.generation != other.generation {
            return None;
        }
        self.at.checked_sub(other.at)
    }

    pub(super) fn is_newer_than(self, other: Self) -> bool {
        (self.generation, self.at) > (other.generation, other.at)
    }
}
