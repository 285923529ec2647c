//! [`Subject`]: the levels of a key, a tenant or an address.

use std::sync::Arc;

use super::gcra::Gcra;

/// The number of levels from which unneeded ones are removed. A key has at most 8 limits.
const MANY: usize = 16;

/// The most levels of a subject.
const MOST: usize = 10_000;

/// The levels of one subject, by its limits.
#[derive(Default)]
pub(super) struct Subject {
    // Most subjects have one limit, which needs no second allocation.
    first: Option<Level>,
    /// By their names and numbers.
    others: Vec<Level>,
    /// Set when it was removed from the map: a thread that holds it then has to look again.
    forgotten: bool,
}

/// The level of a limit. Limits with one name but different numbers, which keys of one chain of
/// rotations and changed keys may have, have a level each: what is full for one may be little for
/// another.
pub(super) struct Level {
    pub(super) name: Arc<str>,
    gcra: Gcra,
    pub(super) time: u64,
}

impl Level {
    fn is(&self, name: &Arc<str>, gcra: Gcra) -> bool {
        self.gcra == gcra && self.has(name)
    }

    fn has(&self, name: &Arc<str>) -> bool {
        // Usually it is the same allocation, which is compared without reading it.
        Arc::ptr_eq(&self.name, name) || self.name == *name
    }
}

impl Subject {
    /// Returns the level of a limit. A new limit continues from the latest level of its name.
    #[inline]
    pub(super) fn level(&self, name: &Arc<str>, gcra: Gcra) -> u64 {
        if let Some(first) = &self.first
            && first.is(name, gcra)
        {
            return first.time;
        }
        self.other_level(name, gcra)
    }

    fn other_level(&self, name: &Arc<str>, gcra: Gcra) -> u64 {
        match self.find(name, gcra) {
            Some(place) => self.others[place].time,
            None => self.named(name).map(|level| level.time).max().unwrap_or(0),
        }
    }

    /// Sets the level of a limit. If there are many others, only those that `is_needed` are kept.
    #[inline]
    pub(super) fn set(
        &mut self,
        name: &Arc<str>,
        gcra: Gcra,
        time: u64,
        is_needed: impl Fn(&Level) -> bool,
    ) {
        if let Some(first) = &mut self.first
            && first.is(name, gcra)
        {
            first.time = time;
        } else {
            self.set_other(name, gcra, time, is_needed);
        }
    }

    fn set_other(
        &mut self,
        name: &Arc<str>,
        gcra: Gcra,
        time: u64,
        is_needed: impl Fn(&Level) -> bool,
    ) {
        if let Some(place) = self.find(name, gcra) {
            self.others[place].time = time;
            return;
        }
        let level = Level { name: Arc::clone(name), gcra, time };
        if self.first.is_none() {
            self.first = Some(level);
            return;
        }
        self.make_room(is_needed);
        let (Ok(place) | Err(place)) = self.place(name, gcra);
        self.others.insert(place, level);
    }

    /// Counts a request on the levels of the same name with other numbers.
    pub(super) fn add_to_others(&mut self, name: &Arc<str>, gcra: Gcra, now: u64, cost: u32) {
        let start = self.start(name);
        let others = self.others[start..].iter_mut().take_while(|level| level.has(name));
        for level in self.first.iter_mut().filter(|first| first.has(name)).chain(others) {
            if level.gcra != gcra {
                level.time = level.gcra.add(level.time, now, cost);
            }
        }
    }

    /// Removes the levels of a name once the last of them is over. A level that is over earlier does
    /// not continue from another.
    pub(super) fn forget_if_over(&mut self, name: &Arc<str>, now: u64) {
        if self.named(name).all(|level| level.time <= now) {
            self.first.take_if(|first| first.has(name));
            self.others.retain(|level| !level.has(name));
        }
    }

    /// Tells whether there are levels of the same name with other numbers.
    pub(super) fn has_others(&self, name: &Arc<str>, gcra: Gcra) -> bool {
        let is_other = |level: &Level| level.gcra != gcra && level.has(name);
        self.first.as_ref().is_some_and(is_other) || self.others.iter().any(is_other)
    }

    fn named<'a>(&'a self, name: &'a Arc<str>) -> impl Iterator<Item = &'a Level> {
        let others = self.others[self.start(name)..].iter().take_while(|level| level.has(name));
        self.first.iter().filter(|first| first.has(name)).chain(others)
    }

    /// Returns the index from which the others have this name.
    fn start(&self, name: &Arc<str>) -> usize {
        self.others.partition_point(|level| level.name < *name)
    }

    fn find(&self, name: &Arc<str>, gcra: Gcra) -> Option<usize> {
        if self.others.len() <= MANY {
            return self.others.iter().position(|level| level.is(name, gcra));
        }
        self.place(name, gcra).ok()
    }

    fn place(&self, name: &Arc<str>, gcra: Gcra) -> Result<usize, usize> {
        self.others.binary_search_by(|level| (&level.name, level.gcra).cmp(&(name, gcra)))
    }

    fn make_room(&mut self, is_needed: impl Fn(&Level) -> bool) {
        if self.others.len() < MANY {
            return;
        }
        self.others.retain(is_needed);
        if self.others.len() >= MANY {
            // Of each name, the latest level, from which the others continue.
            self.others.dedup_by(|next, level| {
                let is_same = next.has(&level.name);
                if is_same && next.time > level.time {
                    std::mem::swap(next, level);
                }
                is_same
            });
        }
        if self.others.len() >= MOST {
            let soonest = (0..self.others.len()).min_by_key(|place| self.others[*place].time);
            soonest.map(|place| self.others.remove(place));
        }
    }

    pub(super) const fn is_forgotten(&self) -> bool {
        self.forgotten
    }

    pub(super) const fn forget(&mut self) {
        self.forgotten = true;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.first.iter().count() + self.others.len()
    }

    /// Returns when everything is back.
    pub(super) fn last(&self) -> u64 {
        self.first.iter().chain(&self.others).map(|level| level.time).max().unwrap_or(0)
    }
}
