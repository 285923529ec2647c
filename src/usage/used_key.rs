//! [`UsedKey`]: a recently used key, and its unwritten usage.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use super::tally::{Counted, Tally};
use crate::key::{KeyId, TenantId};
use crate::store::Hour;
use crate::store::{KeyUsage, KeyUse, UsageCounts, UsageKind};

/// The most unwritten hours that are kept of a key. Beyond that, the counts of the oldest hour are added to the
/// hour after it.
const HOURS: usize = 24;

/// The time and the hour of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// In microseconds since 1970.
    pub(super) at: u64,
    pub(super) hour: Hour,
}

impl Moment {
    #[inline]
    pub(super) fn at(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let at = since.as_secs().saturating_mul(1_000_000);
        let hour = u32::try_from(since.as_secs() / 3600).unwrap_or(u32::MAX);
        Self {
            at: at.saturating_add(since.subsec_micros().into()),
            hour: Hour(hour).min(Hour::LAST),
        }
    }

    #[cfg(test)]
    pub(super) fn of(at: u64) -> Self {
        Self::at(SystemTime::UNIX_EPOCH + Duration::from_micros(at))
    }
}

/// Counts the accepted requests of a key in one thread. Aligned to have its own cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Cell {
    id: KeyId,
    accepted: Tally,
    /// In microseconds since 1970; 0 is never.
    last: AtomicU64,
}

impl Cell {
    fn of(id: KeyId) -> Self {
        Self { id, accepted: Tally::default(), last: AtomicU64::new(0) }
    }

    pub(super) fn id(&self) -> &KeyId {
        &self.id
    }

    /// Counts a request. Returns false if the cell is closed or has the counts of another hour.
    #[inline]
    pub(super) fn accept(&self, now: Moment) -> bool {
        // No other thread writes here. The clock may go back.
        if self.last.load(Ordering::Relaxed) < now.at {
            self.last.store(now.at, Ordering::Relaxed);
        }
        self.accepted.add(now.hour) == Counted::Here
    }
}

/// A key, and how often it was used.
///
/// Requests are counted without a lock. The lock protects the counts of past hours, and the list of the cells of
/// threads.
pub(super) struct UsedKey {
    id: KeyId,
    tenant: Option<TenantId>,
    /// The count of threads that have no cell.
    accepted: Tally,
    last: AtomicU64,
    /// One for each kind except the first. Allocated at the first refusal.
    refused: OnceLock<Box<[Tally; UsageKind::ALL.len() - 1]>>,
    /// The last use that was written.
    written: AtomicU64,
    rest: Mutex<Rest>,
}

#[derive(Default)]
struct Rest {
    cells: Vec<Arc<Cell>>,
    /// The counts taken from cells and tallies, in the order of the hours.
    hours: Vec<(Hour, UsageCounts)>,
    is_closed: bool,
}

/// The parts of a key's usage that are not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwritten {
    pub(super) last_use: bool,
    pub(super) hours: usize,
}

impl Unwritten {
    pub(super) const NOTHING: Self = Self { last_use: false, hours: 0 };
}

impl UsedKey {
    pub(super) fn new(id: KeyId, tenant: Option<TenantId>) -> Self {
        Self {
            id,
            tenant,
            accepted: Tally::default(),
            last: AtomicU64::new(0),
            refused: OnceLock::new(),
            written: AtomicU64::new(0),
            rest: Mutex::default(),
        }
    }

    pub(super) fn id(&self) -> &KeyId {
        &self.id
    }

    /// Counts an accepted request. Returns false if the key is closed, because nobody reads it any more.
    pub(super) fn accept(&self, now: Moment) -> bool {
        self.last.fetch_max(now.at, Ordering::Relaxed);
        self.count(&self.accepted, UsageKind::Accepted, now.hour)
    }

    /// Counts a refused request. Returns false if the key is closed.
    pub(super) fn refuse(&self, kind: UsageKind, now: Moment) -> bool {
        let place = (kind as usize).checked_sub(1);
        let tally = place.and_then(|place| self.refused.get_or_init(Box::default).get(place));
        tally.is_none_or(|tally| self.count(tally, kind, now.hour))
    }

    fn count(&self, tally: &Tally, kind: UsageKind, hour: Hour) -> bool {
        loop {
            match tally.add(hour) {
                Counted::Here => return true,
                Counted::Closed => return false,
                Counted::OtherHour => {
                    let mut rest = self.rest();
                    if let Some((hour, count)) = tally.take() {
                        rest.add(hour, kind, count);
                    }
                }
            }
        }
    }

    /// Creates a cell for a thread, unless the key is closed.
    ///
    /// Before the list of cells grows, cells that no thread holds are removed. Otherwise, keys that replace each
    /// other in the slot of a thread would leave a cell behind each time.
    pub(super) fn cell(&self) -> Option<Arc<Cell>> {
        let mut rest = self.rest();
        if rest.cells.len() == rest.cells.capacity() {
            drop(rest);
            rest = self.gather();
        }
        if rest.is_closed {
            return None;
        }
        let cell = Arc::new(Cell::of(self.id.clone()));
        rest.cells.push(Arc::clone(&cell));
        Some(cell)
    }

    /// Returns which parts are not written.
    pub(super) fn unwritten(&self) -> Unwritten {
        let hours = self.gather().hours.len();
        let last_use = self.last_use() > self.written.load(Ordering::Relaxed);
        Unwritten { last_use, hours }
    }

    /// Returns the last use, in microseconds since 1970; 0 is never.
    pub(super) fn last_use(&self) -> u64 {
        drop(self.gather());
        self.last.load(Ordering::Relaxed)
    }

    /// Returns a use of the key at `at`, in microseconds since 1970.
    pub(super) fn used_at(&self, at: u64) -> KeyUse {
        KeyUse::new(self.id.clone(), SystemTime::UNIX_EPOCH + Duration::from_micros(at))
    }

    /// Records that a use was written.
    pub(super) fn written(&self, last: u64) {
        self.written.fetch_max(last, Ordering::Relaxed);
    }

    /// Takes the counts of the first hour with requests.
    pub(super) fn take_hour(&self) -> Option<KeyUsage> {
        let mut rest = self.gather();
        (!rest.hours.is_empty()).then(|| self.usage(rest.hours.remove(0)))
    }

    /// Takes the counts of all hours.
    pub(super) fn take_hours(&self) -> Vec<KeyUsage> {
        let hours = std::mem::take(&mut self.gather().hours);
        hours.into_iter().map(|hour| self.usage(hour)).collect()
    }

    fn usage(&self, (hour, counts): (Hour, UsageCounts)) -> KeyUsage {
        KeyUsage::new(self.id.clone(), self.tenant.clone(), hour.start(), counts)
    }

    /// Closes the key: no more requests are counted here. Earlier counts stay.
    pub(super) fn close(&self) {
        let mut rest = self.rest();
        rest.is_closed = true;
        let closed = self.refused.get_or_init(Box::default);
        let closed = closed.iter().zip(&UsageKind::ALL[1..]);
        for (tally, kind) in closed.chain([(&self.accepted, &UsageKind::Accepted)]) {
            if let Some((hour, count)) = tally.close() {
                rest.add(hour, *kind, count);
            }
        }
        for cell in std::mem::take(&mut rest.cells) {
            if let Some((hour, count)) = cell.accepted.close() {
                rest.add(hour, UsageKind::Accepted, count);
            }
            self.last.fetch_max(cell.last.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.accepted.is_closed()
    }

    /// Moves the counts of cells and tallies into the hours, and removes the cells that no thread holds.
    fn gather(&self) -> MutexGuard<'_, Rest> {
        let mut rest = self.rest();
        let Rest { cells, hours, .. } = &mut *rest;
        cells.retain_mut(|cell| {
            // Checked first, so that the count taken from an unused cell is its last.
            let is_used = Arc::get_mut(cell).is_none();
            if let Some((hour, count)) = cell.accepted.take() {
                add(hours, hour, UsageKind::Accepted, count);
            }
            self.last.fetch_max(cell.last.load(Ordering::Relaxed), Ordering::Relaxed);
            is_used
        });
        let refused = self.refused.get().map(|tallies| &tallies[..]).unwrap_or_default();
        let refused = refused.iter().zip(&UsageKind::ALL[1..]);
        for (tally, kind) in refused.chain([(&self.accepted, &UsageKind::Accepted)]) {
            if let Some((hour, count)) = tally.take() {
                add(hours, hour, *kind, count);
            }
        }
        rest
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    fn add(&mut self, hour: Hour, kind: UsageKind, count: u64) {
        add(&mut self.hours, hour, kind, count);
    }
}

fn add(hours: &mut Vec<(Hour, UsageCounts)>, hour: Hour, kind: UsageKind, count: u64) {
    match hours.binary_search_by_key(&hour, |(hour, _)| *hour) {
        Ok(place) => hours[place].1.add(kind, count),
        Err(place) => {
            let mut counts = UsageCounts::default();
            counts.add(kind, count);
            hours.insert(place, (hour, counts));
        }
    }
    if hours.len() > HOURS {
        let (_, oldest) = hours.remove(0);
        hours[0].1.add_all(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECONDS_PER_HOUR: u64 = 3_600_000_000;

    fn key() -> UsedKey {
        UsedKey::new("a".parse().unwrap(), Some("acme".parse().unwrap()))
    }

    fn moment(hour: u64) -> Moment {
        Moment::of(hour * MICROSECONDS_PER_HOUR + 1)
    }

    fn hours(key: &UsedKey) -> Vec<(u32, u64, u64)> {
        let rows = key.take_hours();
        let counts = |row: &KeyUsage| (row.counts.accepted(), row.counts.refused());
        rows.iter().map(|row| (row.hour.0, counts(row).0, counts(row).1)).collect()
    }

    #[test]
    fn requests_are_counted_by_the_hour_in_which_they_came() {
        let key = key();
        for hour in [5, 6, 6, 5, 7] {
            assert!(key.accept(moment(hour)));
        }
        assert!(key.refuse(UsageKind::RateLimited, moment(6)));
        assert!(key.refuse(UsageKind::Other, moment(7)));
        assert_eq!(key.unwritten(), Unwritten { last_use: true, hours: 3 });
        let first = key.take_hour().unwrap();
        assert_eq!((first.hour.0, first.counts.accepted()), (5, 2));
        assert_eq!(first.tenant.unwrap().as_str(), "acme");
        assert_eq!(hours(&key), [(6, 2, 1), (7, 1, 1)]);
        key.written(key.last_use());
        assert_eq!(key.unwritten(), Unwritten::NOTHING);
    }

    #[test]
    fn a_clock_that_goes_back_takes_no_use_back() {
        let key = key();
        let cell = key.cell().unwrap();
        for at in [5, 7, 6, u64::MAX, 0] {
            assert!(key.accept(Moment::of(at)));
        }
        assert_eq!(key.last_use(), u64::MAX);
        assert_eq!(cell.last.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_threads_count_in_their_cells_is_gathered() {
        let key = key();
        let (one, other) = (key.cell().unwrap(), key.cell().unwrap());
        assert!(one.accept(moment(5)) && other.accept(moment(6)) && one.accept(moment(5)));
        assert!(!one.accept(moment(6)), "its hour is not taken");
        assert!(key.accept(moment(6)));
        drop(one);
        assert_eq!(key.last_use(), moment(6).at);
        assert_eq!(key.rest().cells.len(), 1, "a cell that no thread has is forgotten");
        assert_eq!(hours(&key), [(5, 2, 0), (6, 2, 0)]);
        assert!(other.accept(moment(9)), "its hour is taken");
        assert_eq!(hours(&key), [(9, 1, 0)]);
    }

    #[test]
    fn nothing_is_counted_in_a_closed_key_and_what_was_counted_stays() {
        let key = key();
        let cell = key.cell().unwrap();
        assert!(cell.accept(moment(5)) && key.refuse(UsageKind::Expired, moment(5)));
        key.close();
        assert!(key.is_closed() && key.cell().is_none());
        assert!(!cell.accept(moment(5)) && !key.accept(moment(5)));
        for kind in &UsageKind::ALL[1..] {
            assert!(!key.refuse(*kind, moment(5)));
        }
        assert_eq!(key.last_use(), moment(5).at);
        assert_eq!(hours(&key), [(5, 1, 1)]);
    }

    #[test]
    fn of_too_many_hours_the_oldest_are_added_up() {
        let key = key();
        for hour in 0..100 {
            assert!(key.accept(moment(hour)));
        }
        let hours = hours(&key);
        assert_eq!((hours.len(), hours[0], hours[1]), (HOURS, (76, 77, 0), (77, 1, 0)));
    }
}
