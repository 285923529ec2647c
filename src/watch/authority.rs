//! [`Authority`]: the layer, as what it let through sees it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Asked, KeyEnded, StreamWatch};
use crate::reject::{Rejection, Rejector};
use crate::store::{KeyRecord, KeyStore};

/// The layer that let a request through, and that is asked whether it still would.
pub(crate) trait Authority: Send + Sync {
    /// Returns how it refuses requests.
    fn rejector(&self) -> &Rejector;

    /// Returns how it watches them.
    fn settings(&self) -> &StreamWatch;

    /// Returns where it finds records.
    fn store(&self) -> &dyn KeyStore;

    /// Returns how long the store may take.
    fn lookup_timeout(&self) -> Duration;

    /// Returns the time by which keys expire.
    fn now(&self) -> SystemTime;

    /// Judges whether what was let through with the record `before` still would be with `now`.
    ///
    /// `asked` is what was asked for, if it is known. A guard that refuses both says nothing of the
    /// change, such as one that reads a header, none of which is known any more.
    fn still_allows(
        self: Arc<Self>,
        before: &Arc<KeyRecord>,
        now: &Arc<KeyRecord>,
        asked: Option<&Asked>,
    ) -> Result<(), Rejection>;

    /// Tells that a stream ended with its key after it had been open for that long.
    fn ended(&self, ended: &KeyEnded, open: Duration);
}
