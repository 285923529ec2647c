//! [`Clock`]: where the time comes from.

use std::sync::Arc;
use std::time::SystemTime;

/// Tells the time against which keys expire.
///
/// The layer reads it once for each key that can expire. Tests put a fake in its place;
/// the feature `testing` has one.
pub trait Clock: Send + Sync {
    /// Returns the present time.
    fn now(&self) -> SystemTime;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }
}

/// Reads the operating system's clock. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
