//! [`RedisInvalidations`]: notifications of changes by Redis.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use redis::aio::PubSubStream;

use super::publish::publish;
use crate::key::KeyDigest;
use crate::redis::Connection;
use crate::store::{Invalidation, InvalidationSource, StoreError, Subscription};

/// Notifies a cache of changes of a [`RedisStore`](super::RedisStore), by a channel of the same server. Made by
/// [`RedisStore::invalidations`](super::RedisStore::invalidations).
///
/// The store's script publishes the digest of a changed key together with the change.
///
/// A subscription has a connection of its own and ends with it: Redis keeps no messages for absent
/// subscribers.
///
/// # Examples
///
/// A program that changes a record without the store has to publish that:
///
/// ```no_run
/// use tower_api_key::{KeyDigest, RedisStore};
///
/// # async fn announce(keys: RedisStore, digest: KeyDigest) -> Result<(), tower_api_key::StoreError> {
/// keys.invalidations().publish(&digest).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisInvalidations {
    connection: Connection,
    channel: Arc<str>,
}

impl RedisInvalidations {
    pub(super) fn new(connection: Connection, channel: &str) -> Self {
        Self { connection, channel: channel.into() }
    }

    /// Notifies all subscribers of a change of a key that was made without the store.
    ///
    /// # Errors
    ///
    /// Returns an error if the server cannot be reached.
    pub async fn publish(&self, digest: &KeyDigest) -> Result<(), StoreError> {
        self.send(Invalidation::Key(*digest)).await
    }

    /// Clears the caches of all subscribers.
    ///
    /// # Errors
    ///
    /// Returns an error if the server cannot be reached.
    pub async fn publish_everything(&self) -> Result<(), StoreError> {
        self.send(Invalidation::Everything).await
    }

    async fn send(&self, message: Invalidation) -> Result<(), StoreError> {
        publish(&self.connection, &self.channel, &message.to_string()).await
    }
}

#[async_trait]
impl InvalidationSource for RedisInvalidations {
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreError> {
        let subscribed = self.connection.subscribe(&self.channel).await;
        Ok(Box::new(RedisSubscription(subscribed.map_err(StoreError::new)?)))
    }

    async fn beat(&self, number: u64) -> Result<(), StoreError> {
        self.send(Invalidation::Heartbeat(number)).await
    }
}

impl fmt::Debug for RedisInvalidations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RedisInvalidations");
        debug.field("channel", &self.channel).finish_non_exhaustive()
    }
}

struct RedisSubscription(PubSubStream);

#[async_trait]
impl Subscription for RedisSubscription {
    async fn next(&mut self) -> Result<Invalidation, StoreError> {
        // A lost subscription does not reconnect by itself.
        let message = self.0.next().await;
        let message = message.ok_or_else(|| StoreError::new("the subscription was lost"))?;
        // A payload that is not text invalidates everything.
        let text = str::from_utf8(message.get_payload_bytes()).unwrap_or_default();
        Ok(Invalidation::from_text(text))
    }
}
