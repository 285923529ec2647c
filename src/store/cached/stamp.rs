//! [`Stamp`]: when something was loaded.

/// Taken before the store is asked: the answer is at least as new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    generation: u64,
    /// How many tenants were invalidated before.
    tenants: u64,
    at: u64,
}

impl Stamp {
    pub(super) const fn new(generation: u64, tenants: u64, at: u64) -> Self {
        Self { generation, tenants, at }
    }

    /// Returns when it was taken.
    pub(super) const fn at(self) -> u64 {
        self.at
    }

    /// Returns how many tenants were invalidated before it was taken.
    pub(super) const fn tenants(self) -> u64 {
        self.tenants
    }

    /// Returns the age of what has the stamp `other`, unless its key was invalidated. What comes from
    /// the future, because a clock was set back, has none either.
    pub(super) fn age_of(self, other: Self) -> Option<u64> {
        if self.generation != other.generation {
            return None;
        }
        self.at.checked_sub(other.at)
    }

    /// Returns the age of a load that began with the stamp `other`, unless anything was invalidated since
    /// that what it brings may be about.
    pub(super) fn age_of_load(self, other: Self) -> Option<u64> {
        if self.tenants == other.tenants { self.age_of(other) } else { None }
    }

    pub(super) fn is_newer_than(self, other: Self) -> bool {
        let order = |stamp: Self| (stamp.generation, stamp.tenants, stamp.at);
        order(self) > order(other)
    }
}
