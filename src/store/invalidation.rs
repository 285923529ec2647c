//! [`InvalidationSource`]: where a cache hears of changes that others make.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::key::{KeyDigest, TenantId};

/// Tells caches which keys were changed, on whichever node.
///
/// # Contract
///
/// * **Complete.** What was changed after [`subscribe`](Self::subscribe) returned is told by the
///   [`Subscription`], or its [`next`](Subscription::next) fails.
/// * **After the fact.** A change is told when whoever asks the store finds it, not before.
/// * **In order.** A heartbeat is heard after the changes that were acknowledged before it was
///   [sent](Self::beat). So a cache that hears it knows up to when it has heard everything.
/// * **Honest heartbeats.** They take the way that changes take, and are not sent on a
///   subscriber's own connection.
///
/// A source that breaks the contract because its connection died, or because something between
/// drops its messages, is found out by its heartbeats.
#[async_trait]
pub trait InvalidationSource: Send + Sync {
    /// Subscribes to all changes from now on.
    ///
    /// It is called again while an earlier subscription goes on, if subscriptions have a
    /// [lifetime](Self::lifetime). Heartbeats that are sent after it has returned take the way of the new
    /// subscription. If it fails, they take the way of the old one.
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

    /// Returns for how long a subscription may be relied on, or `None`, the default, for a source whose
    /// connections always lead to the server that there is.
    ///
    /// After a failover, an old connection may go on leading to yesterday's server, which lives and tells
    /// of no change any more. So a cache subscribes anew before that, and ends the old subscription once
    /// a heartbeat was heard by both. If only the new one hears it, the server is another: the cache
    /// [says so](Self::server_changed) and forgets everything.
    fn lifetime(&self) -> Option<Duration> {
        None
    }

    /// Is called before a cache forgets everything that it may not have heard of. From its return on,
    /// the store asks the server that the newest subscription hears.
    ///
    /// A source that belongs to a store has it make its connections anew. By default, there is nothing
    /// to do.
    fn server_changed(&self) {}
}

/// A subscription that is in effect.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next change. Cancel safe: one that was dropped has lost nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if a change may have been missed. The subscription is over then.
    async fn next(&mut self) -> Result<Invalidation, StoreError>;
}

/// What a cache has to forget.
///
/// As text, it is what is sent through a database's channel: the 64 hexadecimal digits of a
/// digest, `tenant` and its id, `*` for everything, or `beat` and a number.
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
    /// What it knows of this key, also that there is none.
    Key(KeyDigest),
    /// What it knows of the keys of this tenant, which was suspended or resumed.
    Tenant(TenantId),
    /// All that it knows.
    Everything,
    /// Nothing: the subscription lives. The number is that of [`InvalidationSource::beat`].
    Heartbeat(u64),
}

impl Invalidation {
    /// Reads the text of an invalidation. What cannot be read invalidates everything: something
    /// was changed, and it is not known what.
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
