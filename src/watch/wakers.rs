//! [`Wakers`]: the tasks that wait for a key.

use std::task::Waker;

/// The place of a stream among the waiters for the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

/// The wakers of streams, each in a place that it keeps.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    places: Vec<Option<Waker>>,
    free: Vec<Place>,
}

impl Wakers {
    /// Stores a waker in the place of a stream, which may be new.
    pub(super) fn put(&mut self, place: &mut Option<Place>, waker: Waker) {
        let Place(index) = *place.get_or_insert_with(|| {
            self.free.pop().unwrap_or_else(|| {
                self.places.push(None);
                Place(u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX))
            })
        });
        self.places[index as usize] = Some(waker);
    }

    /// Frees the place of a stream.
    pub(super) fn leave(&mut self, place: Place) {
        self.places[place.0 as usize] = None;
        self.free.push(place);
    }

    /// Takes all wakers. Streams keep their places.
    pub(super) fn take(&mut self) -> Vec<Waker> {
        self.places.iter_mut().filter_map(Option::take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_and_used_again() {
        let mut wakers = Wakers::default();
        let (mut first, mut second, mut third) = (None, None, None);
        wakers.put(&mut first, Waker::noop().clone());
        wakers.put(&mut second, Waker::noop().clone());
        assert_eq!(wakers.take().len(), 2);
        assert_eq!(wakers.take().len(), 0);
        wakers.put(&mut first, Waker::noop().clone());
        wakers.leave(first.unwrap());
        wakers.put(&mut third, Waker::noop().clone());
        assert_eq!(third, first);
        wakers.put(&mut second, Waker::noop().clone());
        assert_eq!(wakers.take().len(), 2);
        assert_eq!(wakers.places.len(), 2);
    }
}
