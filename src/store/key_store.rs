//! [`KeyStore`]: the contract between the layer and a store of records.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{KeyChanges, KeyRecord, Token};
use crate::immediate::Immediate;
use crate::key::KeyDigest;

/// Finds the record of a key by its digest.
///
/// # Contract
///
/// * **Exact.** The store returns a record only if all 32 bytes of its digest match. The layer compares
///   again, in constant time, and treats another key's record as an unknown key.
/// * **Honest.** `Ok(None)` says that no such key exists. A store that does not know, because a
///   server does not answer or a row cannot be read, returns an error. The client then gets a 503,
///   not the answer to a wrong key.
/// * **Whole.** The store returns revoked, disabled and expired records as they are, and those of
///   suspended tenants [as such](KeyRecord::set_suspended). The layer judges them.
/// * **Fresh.** Once a revocation is acknowledged, the store returns no record from before it. A store
///   that caches must ensure that.
/// * **Read only.** Finding a record changes nothing in it.
/// * **Cancel safe.** The future may be dropped at any point; the layer drops it when the
///   lookup takes too long.
///
/// A store that panics or hangs fails one request with 503, not the server. It must not block
/// the thread. The feature `testing` has a suite that checks a store against this contract.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::SystemTime;
///
/// use async_trait::async_trait;
/// use tower_api_key::{KeyDigest, KeyRecord, KeyStore, StoreError};
///
/// /// A service that knows the keys.
/// struct Api;
///
/// /// What it tells of one.
/// struct Answer {
///     id: String,
///     owner: String,
///     issued_at: SystemTime,
///     blocked: bool,
/// }
///
/// # impl Api { async fn get(&self, _: String) -> Result<Option<Answer>, std::io::Error> { Ok(None) } }
/// #[async_trait]
/// impl KeyStore for Api {
///     async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
///         let answer = self.get(format!("/keys/{digest}")).await.map_err(StoreError::new)?;
///         let Some(answer) = answer else { return Ok(None) };
///         let id = answer.id.parse().map_err(StoreError::new)?;
///         let mut record = KeyRecord::new(id, *digest, answer.owner, answer.issued_at);
///         record.set_disabled(answer.blocked);
///         Ok(Some(Arc::new(record)))
///     }
/// }
/// ```
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Finds the record with `digest`.
    ///
    /// # Errors
    ///
    /// Returns an error if the store does not know whether there is such a record.
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError>;

    /// Finds the record with `digest` without waiting.
    ///
    /// A store that holds records in memory answers here, and saves the request a boxed future. After
    /// [`Immediate::Ask`], the default, the layer calls [`find`](Self::find).
    fn find_now(&self, digest: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        let _ = digest;
        Immediate::Ask
    }

    /// Finds the record with `digest` like [`find_now`](Self::find_now), but also returns a token. The layer
    /// later asks with it whether the record [still holds](Self::still_holds).
    ///
    /// With a token, each thread of a layer keeps the record, and does not look it up again. Without a token,
    /// which is the default, the layer keeps nothing and asks the store at each request. Take the token
    /// before you look up the record. Streams use the other methods.
    fn find_to_keep(
        &self,
        digest: &KeyDigest,
    ) -> Immediate<(Option<Arc<KeyRecord>>, Option<Token>)> {
        self.find_now(digest).map(|found| (found, None))
    }

    /// Tells whether [`find_now`](Self::find_now) would still return the record that came with `token`.
    ///
    /// Return `false` once a change of the record is acknowledged, or another request may have found the
    /// change, also on other threads: for kept records, this method ensures the contract's *fresh*. It is
    /// called at each request, so it should be cheap and must not wait.
    fn still_holds(&self, digest: &KeyDigest, token: Token) -> bool {
        let _ = (digest, token);
        false
    }

    /// Finds the records with these digests, in their order.
    ///
    /// Layers call it periodically for keys with open streams. By default it calls [`find`](Self::find)
    /// for each, a few at the same time. Override it if your store can read many with one query.
    ///
    /// # Errors
    ///
    /// Returns an error if the store cannot answer for one of them. The layer then asks for each by itself.
    async fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
        // Futures first, since a closure in a stream would have to hold for every lifetime.
        let found: Vec<_> = digests.iter().map(|digest| self.find(digest)).collect();
        stream::iter(found).buffered(AT_ONCE).try_collect().await
    }

    /// Returns where the store reports changes, so that open streams end at once with their keys. With
    /// `None`, the default, layers ask the store [periodically](crate::StreamWatch::recheck_every).
    fn changes(&self) -> Option<&KeyChanges> {
        None
    }
}

/// How many look-ups of [`KeyStore::find_many`] run at the same time.
const AT_ONCE: usize = 8;

macro_rules! forward_to_the_inner_store {
    ($pointer:ident) => {
        // By hand, because `#[async_trait]` would box the future a second time.
        impl<T: KeyStore + ?Sized> KeyStore for $pointer<T> {
            fn find<'a, 'b, 'c>(
                &'a self,
                digest: &'b KeyDigest,
            ) -> futures_util::future::BoxFuture<'c, Result<Option<Arc<KeyRecord>>, StoreError>>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).find(digest)
            }

            fn find_now(&self, digest: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
                (**self).find_now(digest)
            }

            fn find_to_keep(
                &self,
                digest: &KeyDigest,
            ) -> Immediate<(Option<Arc<KeyRecord>>, Option<Token>)> {
                (**self).find_to_keep(digest)
            }

            fn still_holds(&self, digest: &KeyDigest, token: Token) -> bool {
                (**self).still_holds(digest, token)
            }

            fn find_many<'a, 'b, 'c>(
                &'a self,
                digests: &'b [KeyDigest],
            ) -> futures_util::future::BoxFuture<'c, Result<Vec<Option<Arc<KeyRecord>>>, StoreError>>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).find_many(digests)
            }

            fn changes(&self) -> Option<&KeyChanges> {
                (**self).changes()
            }
        }
    };
}

forward_to_the_inner_store!(Arc);
forward_to_the_inner_store!(Box);

/// The error of a store that does not know whether a key exists.
///
/// Operators see it in the log; clients do not see it. A clone has the same source.
#[derive(Clone)]
pub struct StoreError {
    source: Arc<dyn Error + Send + Sync>,
    #[cfg_attr(not(feature = "cache"), allow(dead_code, reason = "only a cache asks for it"))]
    has_answered: bool,
}

impl StoreError {
    /// Wraps the error of the store.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into().into(), has_answered: false }
    }

    /// Wraps the error of a store that was reached, such as that of a record that cannot be read, or of a query that
    /// is not valid.
    ///
    /// It is not an outage, so a `CachedStore` that serves records during outages serves none.
    pub fn answered(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { has_answered: true, ..Self::new(source) }
    }

    /// Replaces the source. Whether the store was reached stays.
    #[cfg(feature = "sqlite")]
    pub(crate) fn map_source<E>(self, map: impl FnOnce(Arc<dyn Error + Send + Sync>) -> E) -> Self
    where
        E: Error + Send + Sync + 'static,
    {
        Self { source: Arc::new(map(self.source)), ..self }
    }

    /// Tells whether the store may not have been reached.
    #[cfg(feature = "cache")]
    pub(crate) const fn is_outage(&self) -> bool {
        !self.has_answered
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreError").field(&self.source).finish()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key store failed: {}", self.source)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

const _: Option<Arc<dyn KeyStore>> = None;
