//! [`Share`]: the connections of a pool that lists and changes may use.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;

/// The default number of connections for lists and changes.
pub(super) const SHARE: u32 = 2;

/// The share of a pool for lists, changes and other writes, so that look-ups find the rest free.
///
/// If there are several, one is reserved for changes, so a revocation never waits for lists.
#[derive(Clone)]
pub(super) struct Share {
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only its errors say so"))]
    size: u32,
    all: Arc<Semaphore>,
    lists: Arc<Semaphore>,
}

/// A place in the share. Dropping it frees the place.
pub(super) struct Place {
    _all: OwnedSemaphorePermit,
    _list: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Reserves the wanted number of a pool's connections, but leaves at least one for look-ups, unless
    /// the pool has only one.
    pub(super) fn new(wanted: u32, connections: u32) -> Self {
        let size = wanted.min(connections.saturating_sub(1)).max(1);
        let semaphore = |permits: u32| {
            let permits = usize::try_from(permits).unwrap_or(Semaphore::MAX_PERMITS);
            Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
        };
        Self { size, all: semaphore(size), lists: semaphore((size - 1).max(1)) }
    }

    /// Returns the number of connections.
    #[cfg(feature = "postgres")]
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// Waits until a list may have a connection.
    pub(super) async fn for_list(&self) -> Result<Place, StoreError> {
        let list = Arc::clone(&self.lists).acquire_owned().await.map_err(StoreError::new)?;
        Ok(Place { _list: Some(list), ..self.for_change().await? })
    }

    /// Waits until a change may have a connection.
    pub(super) async fn for_change(&self) -> Result<Place, StoreError> {
        let all = Arc::clone(&self.all).acquire_owned().await.map_err(StoreError::new)?;
        Ok(Place { _all: all, _list: None })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn list(share: &Share) -> Option<Place> {
        share.for_list().now_or_never().map(Result::unwrap)
    }

    fn change(share: &Share) -> Option<Place> {
        share.for_change().now_or_never().map(Result::unwrap)
    }

    #[test]
    fn lists_leave_one_connection_to_changes() {
        let share = Share::new(3, 10);
        let lists = [list(&share).unwrap(), list(&share).unwrap()];
        assert!(list(&share).is_none(), "lists took all");
        let one = change(&share).unwrap();
        assert!(change(&share).is_none(), "there were more than three");
        drop(lists);
        assert!(change(&share).is_some() && list(&share).is_some());
        drop(one);
    }

    #[test]
    fn lists_and_changes_leave_one_connection_to_look_ups() {
        for (wanted, connections, size) in [
            (2, 10, 2),
            (20, 10, 9),
            (2, 2, 1),
            (2, 1, 1),
            (1, 0, 1),
            (u32::MAX, u32::MAX, u32::MAX - 1),
        ] {
            assert_eq!(Share::new(wanted, connections).size, size, "{wanted} of {connections}");
        }
        // Lists and changes take turns with a single one.
        let share = Share::new(1, 10);
        let place = list(&share).unwrap();
        assert!(change(&share).is_none());
        drop(place);
        assert!(change(&share).is_some());
    }
}
