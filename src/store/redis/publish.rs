//! Messages to the nodes that cache.

use std::sync::LazyLock;

use crate::redis::{Connection, Script};
use crate::store::StoreError;

/// The message that clears their caches, as [`Invalidation`](crate::store::Invalidation) writes it.
pub(super) const EVERYTHING: &str = "*";

/// Publishes only at a server that makes changes: a replica, such as a former primary, refuses a
/// script that is not declared as read-only.
static PUBLISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new("#!lua flags=allow-oom\nreturn redis.call('PUBLISH', ARGV[1], ARGV[2])")
});

/// Publishes a message, perhaps twice, which does no harm.
pub(super) async fn publish(
    connection: &Connection,
    channel: &str,
    message: &str,
) -> Result<(), StoreError> {
    let mut publish = PUBLISH.call();
    publish.arg(channel).arg(message);
    publish.run(&mut connection.repeating()).await.map_err(StoreError::new)
}

#[cfg(all(test, feature = "cache"))]
mod tests {
    use super::*;
    use crate::store::Invalidation;

    #[test]
    fn everything_is_what_caches_take_for_it() {
        assert_eq!(Invalidation::Everything.to_string(), EVERYTHING);
    }
}
