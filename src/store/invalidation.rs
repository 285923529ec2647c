//! [`InvalidationSource`]: notifies caches of changes by others.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::key::{KeyDigest, TenantId};

/// Notifies caches of changed keys, on all nodes.
///
/// # Contract
///
/// * **Complete.** The [`Subscription`] reports every change after [`subscribe`](Self::subscribe)
///   returned, or its [`next`](Subscription::next) fails.
/// * **Afterwards.** A change is reported once the store returns it, not before.
/// * **In order.** A heartbeat arrives after the changes that were acknowledged before it was
///   [sent](Self::beat). So a cache that receives it knows up to which time it knows all changes.
/// * **Honest heartbeats.** They take the same way as changes, and are not sent on a subscriber's own
///   connection.
///
/// Heartbeats reveal a source that breaks the contract because its connection died, or because an
/// intermediary drops its messages.
#[async_trait]
pub trait InvalidationSource: Send + Sync {
    /// Subscribes to all changes from now on.
    ///
    /// A cache calls it again while an earlier subscription is active, if subscriptions have a
    /// [lifetime](Self::lifetime). Heartbeats that are sent after it returned use the new subscription.
    /// If it fails, they use the old one.
    ///
    /// # Errors
    ///
    /// Returns an error if the server cannot be reached.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreError>;

    /// Sends a [heartbeat](Invalidation::Heartbeat) with this number to all subscribers.
    ///
    /// # Errors
    ///
    /// Returns an error if the server cannot be reached.
    async fn beat(&self, number: u64) -> Result<(), StoreError>;

    /// Returns how long a subscription can be relied on, or `None`, the default, if connections of the
    /// source always lead to the current server.
    ///
    /// After a failover, an old connection may still lead to the former server, which is alive and
    /// reports no further changes. So a cache subscribes again before that time, and ends the old
    /// subscription once both received a heartbeat. If only the new one receives it, the server is
    /// another: the cache [reports that](Self::server_changed) and clears its records.
    fn lifetime(&self) -> Option<Duration> {
        None
    }

    /// Called before a cache clears the records whose changes it may have missed. From its return on,
    /// the store has to ask the server of the newest subscription.
    ///
    /// A source that belongs to a store makes the store renew its connections. The default does
    /// nothing.
    fn server_changed(&self) {}
}

/// An active subscription.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next change. Cancel safe: a dropped call has lost nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if a change may have been missed. The subscription has then ended.
    async fn next(&mut self) -> Result<Invalidation, StoreError>;
}

/// The records that a cache has to forget.
///
/// Its text is the payload in a database's channel: the 64 hexadecimal digits of a digest, `tenant` and
/// its id, `*` for everything, or `beat` and a number.
///
/// # Examples
///
/// ```
/// use tower_api_key::store::Invalidation;
///
/// assert_eq!(Invalidation::Heartbeat(7).to_string(), "beat 7");
/// assert_eq!(Invalidation::from_text("beat 7"), Invalidation::Heartbeat(7));
/// assert_eq!(Invalidation::from_text("what?"), Invalidation::Everything);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidation {
    /// The record of this key, or that it is unknown.
    Key(KeyDigest),
    /// The records of this tenant, which was suspended or resumed.
    Tenant(TenantId),
    /// All records.
    Everything,
    /// None: the subscription is alive. The number is that of [`InvalidationSource::beat`].
    Heartbeat(u64),
}

impl Invalidation {
    /// Reads the text of an invalidation. A text that cannot be read invalidates everything, because
    /// the change is not known.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let key = || text.parse().ok().map(Self::Key);
        let beat = || text.strip_prefix("beat ")?.parse().ok().map(Self::Heartbeat);
        let tenant = || text.strip_prefix("tenant ")?.parse().ok().map(Self::Tenant);
        key().or_else(beat).or_else(tenant).unwrap_or(Self::Everything)
    }
}

impl fmt::Display for Invalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(digest) => digest.fmt(f),
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
            Self::Everything => f.write_str("*"),
            Self::Heartbeat(number) => write!(f, "beat {number}"),
        }
    }
}

const _: Option<(Arc<dyn InvalidationSource>, Box<dyn Subscription>)> = None;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let key = Invalidation::Key(KeyDigest::from_bytes([0xa7; 32]));
        let beats = [0, 1, u64::MAX].map(Invalidation::Heartbeat);
        let tenant = Invalidation::Tenant("acme.example-1_2".parse().unwrap());
        for invalidation in [key, tenant, Invalidation::Everything].into_iter().chain(beats) {
            assert_eq!(Invalidation::from_text(&invalidation.to_string()), invalidation);
        }
    }

    #[test]
    fn what_cannot_be_read_invalidates_everything() {
        for text in [
            "",
            "beat",
            "beat ",
            "beat x",
            "beat -1",
            "a7",
            "key_1",
            "Beat 1",
            " *",
            "tenant ",
            "tenant a b",
        ] {
            assert_eq!(Invalidation::from_text(text), Invalidation::Everything, "{text:?}");
        }
    }
}
