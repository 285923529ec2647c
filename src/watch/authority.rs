//! [`Authority`]: the layer, as its open streams see it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Asked, KeyEnded, StreamWatch};
use crate::reject::{Rejection, Rejector};
use crate::store::{KeyRecord, KeyStore};

/// The layer that admitted a request, and can check it again.
pub(crate) trait Authority: Send + Sync {
    /// Returns how it refuses requests.
    fn rejector(&self) -> &Rejector;

    /// Returns how it watches streams.
    fn settings(&self) -> &StreamWatch;

    /// Returns the store.
    fn store(&self) -> &dyn KeyStore;

    /// Returns the time-out of the store.
    fn lookup_timeout(&self) -> Duration;

    /// Returns the time that decides whether keys have expired.
    fn now(&self) -> SystemTime;

    /// Checks whether a request that was admitted with the record `before` would be admitted with
    /// `now`.
    ///
    /// `asked` is what the request asked for, if known. If a guard refuses both records, the change is
    /// not the cause: the guard may read a header, which is not kept.
    fn still_allows(
        self: Arc<Self>,
        before: &Arc<KeyRecord>,
        now: &Arc<KeyRecord>,
        asked: Option<&Asked>,
    ) -> Result<(), Rejection>;

    /// Reports that a stream ended with its key, and how long it had been open.
    fn ended(&self, ended: &KeyEnded, open: Duration);
}
