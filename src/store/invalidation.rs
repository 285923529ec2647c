//! [`InvalidationSource`]: where a cache hears of changes that others make.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::key::KeyDigest;

/// Tells caches which keys were changed, on whichever node.
///
/// # Contract
///
/// * **Complete.** What was changed after [`subscribe`](Self::subscribe) returned is told by the
///   [`Subscription`], or its [`next`](Subscription::next) fails.
/// * **After the fact.** A change is told when whoever asks the store finds it, not before.
/// * **Honest heartbeats.** A [`beat`](Self::beat) takes the way that changes take, so that
///   hearing it proves that changes are heard. It is not sent on a subscriber's own connection.
#[async_trait]
pub trait InvalidationSource: Send + Sync {
    /// Subscribes to all changes from now on.
    ///
    /// # Errors
    ///
    /// Returns an error if the server cannot be reached.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreError>;

    /// Sends a [heartbeat](Invalidation::Heartbeat) to all subscribers.
    ///
    /// # Errors
    ///
    /// Returns an error if the server cannot be reached.
    async fn beat(&self) -> Result<(), StoreError>;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidation {
    /// What it knows of this key, also that there is none.
    Key(KeyDigest),
    /// All that it knows.
    Everything,
    /// Nothing: the subscription lives.
    Heartbeat,
}

const _: Option<(Arc<dyn InvalidationSource>, Box<dyn Subscription>)> = None;
