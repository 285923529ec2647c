//! [`Sorted`]: records in order, with little more than a pointer for each.

use std::sync::Arc;

use crate::store::KeyRecord;

/// The maximum number of records of a chunk. An insertion in the middle moves half of them, by a word.
const CHUNK: usize = 256;

/// How many places a full chunk gains. A `Vec` would double.
const STEP: usize = 16;

/// Records in the order of the caller, which passes with each call which records come before a place.
///
/// A B-tree of the standard library takes twice the memory if records come in order, because it leaves its
/// nodes half empty.
#[derive(Default)]
pub(super) struct Sorted {
    /// None of them is empty.
    chunks: Vec<Vec<Arc<KeyRecord>>>,
}

/// The number of a chunk, and of a record in it.
pub(super) type Place = (usize, usize);

impl Sorted {
    /// Returns the first record that does not come before a place.
    pub(super) fn first(&self, before: impl Fn(&KeyRecord) -> bool) -> Option<&Arc<KeyRecord>> {
        let (chunk, index) = self.place(&before);
        self.chunks.get(chunk)?.get(index)
    }

    /// Returns all records in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.chunks.iter().flatten()
    }

    /// Returns the records before a place, backwards.
    pub(super) fn back_from(&self, (chunk, index): Place) -> impl Iterator<Item = &Arc<KeyRecord>> {
        let (whole, rest) = self.chunks.split_at(chunk);
        let part = rest.first().map(|chunk| &chunk[..index]).unwrap_or_default();
        part.iter().rev().chain(whole.iter().rev().flat_map(|chunk| chunk.iter().rev()))
    }

    /// Puts a record at a place.
    pub(super) fn insert(&mut self, record: Arc<KeyRecord>, before: impl Fn(&KeyRecord) -> bool) {
        let (mut number, mut index) = self.place(&before);
        // A record that comes after all others is added to the last chunk.
        if number == self.chunks.len() && number > 0 {
            number -= 1;
            index = self.chunks[number].len();
        }
        let Some(chunk) = self.chunks.get_mut(number) else {
            self.chunks.push(vec![record]);
            return;
        };
        if chunk.len() < CHUNK {
            insert(chunk, index, record);
        } else if index == chunk.len() {
            // Records that come in order fill their chunks.
            self.chunks.insert(number + 1, vec![record]);
        } else {
            let mut second = chunk.split_off(CHUNK / 2);
            chunk.shrink_to_fit();
            match index.checked_sub(CHUNK / 2) {
                Some(index) => insert(&mut second, index, record),
                None => insert(chunk, index, record),
            }
            self.chunks.insert(number + 1, second);
        }
    }

    /// Removes the record at a place, if it is `record`.
    pub(super) fn remove(&mut self, record: &KeyRecord, before: impl Fn(&KeyRecord) -> bool) {
        let (number, index) = self.place(&before);
        let Some(chunk) = self.chunks.get_mut(number) else { return };
        if chunk.get(index).is_none_or(|found| found.id != record.id) {
            return;
        }
        chunk.remove(index);
        // The rests of two neighbours become one, so that no chunk stays nearly empty.
        let length = chunk.len();
        let next = self.chunks.get(number + 1).map_or(CHUNK, Vec::len);
        if length == 0 {
            self.chunks.remove(number);
        } else if length + next <= CHUNK / 2 {
            let next = self.chunks.remove(number + 1);
            let chunk = &mut self.chunks[number];
            chunk.extend(next);
            chunk.shrink_to_fit();
        }
    }

    /// Returns the place of the first record that does not come before it.
    pub(super) fn place(&self, before: &impl Fn(&KeyRecord) -> bool) -> Place {
        let ends_before =
            |chunk: &Vec<Arc<KeyRecord>>| chunk.last().is_some_and(|last| before(last));
        let number = self.chunks.partition_point(ends_before);
        let chunk = self.chunks.get(number).map_or(&[][..], Vec::as_slice);
        (number, chunk.partition_point(|record| before(record)))
    }
}

fn insert(chunk: &mut Vec<Arc<KeyRecord>>, index: usize, record: Arc<KeyRecord>) {
    if chunk.len() == chunk.capacity() {
        chunk.reserve_exact(STEP);
    }
    chunk.insert(index, record);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyHasher;

    fn record(number: u32) -> Arc<KeyRecord> {
        let id = format!("key_{number:06}").parse().unwrap();
        Arc::new(KeyRecord::new(id, KeyHasher::sha256().digest("k"), "n", SystemTime::UNIX_EPOCH))
    }

    fn add(sorted: &mut Sorted, number: u32) {
        let record = record(number);
        sorted.insert(Arc::clone(&record), |other| other.id < record.id);
    }

    fn remove(sorted: &mut Sorted, number: u32) {
        let record = record(number);
        sorted.remove(&record, |other| other.id < record.id);
    }

    fn numbers<'a>(records: impl Iterator<Item = &'a Arc<KeyRecord>>) -> Vec<u32> {
        records.map(|record| record.id.as_str()[4..].parse().unwrap()).collect()
    }

    #[test]
    fn records_that_come_in_order_fill_their_chunks() {
        let mut sorted = Sorted::default();
        (0..10_000).for_each(|number| add(&mut sorted, number));
        assert_eq!(sorted.chunks.len(), 10_000_usize.div_ceil(CHUNK));
        (0..9_990).for_each(|number| remove(&mut sorted, number));
        assert_eq!(numbers(sorted.iter()), (9_990..10_000).collect::<Vec<_>>());
        assert_eq!(sorted.chunks.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_is_like_a_set_of_the_standard_library(
            changes in prop::collection::vec((0_u32..2000, 0_u8..3), 0..4000),
            place in 0_u32..2000,
        ) {
            let (mut sorted, mut model) = (Sorted::default(), BTreeSet::new());
            for (number, change) in changes {
                if change == 0 {
                    remove(&mut sorted, number);
                    model.remove(&number);
                } else if model.insert(number) {
                    add(&mut sorted, number);
                }
            }
            prop_assert_eq!(numbers(sorted.iter()), Vec::from_iter(model.iter().copied()));
            let at = record(place);
            let before = |other: &KeyRecord| other.id < at.id;
            let back = Vec::from_iter(model.range(..place).rev().copied());
            prop_assert_eq!(numbers(sorted.back_from(sorted.place(&before))), back);
            let first = numbers(sorted.first(before).into_iter());
            prop_assert_eq!(first, Vec::from_iter(model.range(place..).next().copied()));
            prop_assert!(sorted.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
        }
    }
}
