//! [`KeyStore`]: the contract between the layer and whatever keeps the records.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{KeyChanges, KeyRecord};
use crate::immediate::Immediate;
use crate::key::KeyDigest;

/// Finds the record of a key by its digest.
///
/// # Contract
///
/// * **Exact.** A record is returned only if all 32 bytes of its digest are the asked ones. The
///   layer compares again, in constant time, and takes a foreign record for an unknown key.
/// * **Honest.** `Ok(None)` says that no such key exists. A store that cannot tell, because a
///   server does not answer or a row cannot be read, returns an error; the client is then told
///   503 and not that its key is wrong.
/// * **Whole.** Revoked, disabled and expired records are returned as they are; the layer
///   judges them.
/// * **Fresh.** A key is refused from the moment its revocation was acknowledged. A store that
///   caches has to see to that.
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
///
/// use async_trait::async_trait;
/// use tower_api_key::{KeyDigest, KeyRecord, KeyStore, StoreError};
///
/// struct Api;
///
/// # impl Api { async fn get(&self, _: String) -> Result<Option<KeyRecord>, std::io::Error> { Ok(None) } }
/// #[async_trait]
/// impl KeyStore for Api {
///     async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
///         let record = self.get(format!("/keys/{digest}")).await.map_err(StoreError::new)?;
///         Ok(record.map(Arc::new))
///     }
/// }
/// ```
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Finds the record with `digest`.
    ///
    /// # Errors
    ///
    /// Returns an error if the store cannot tell whether there is such a record.
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError>;

    /// Finds the record with `digest` if the answer is at hand.
    ///
    /// A store that holds records in memory answers here, and saves the request a boxed future.
    /// [`Immediate::Ask`], the default, has the layer call [`find`](Self::find).
    fn find_now(&self, digest: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        let _ = digest;
        Immediate::Ask
    }

    /// Finds the records with these digests, in their order.
    ///
    /// Layers ask so, again and again, for keys with open streams. By default each is
    /// [found](Self::find) by itself, a few at the same time. A store that can ask for many at once
    /// does so here.
    ///
    /// # Errors
    ///
    /// Returns an error if the store cannot tell of one of them. Each is asked for by itself then.
    async fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
        // Futures first, since a closure in a stream would have to hold for every lifetime.
        let found: Vec<_> = digests.iter().map(|digest| self.find(digest)).collect();
        stream::iter(found).buffered(AT_ONCE).try_collect().await
    }

    /// Returns where the store tells of changes, so that open streams end at once with their keys. A
    /// store without, which is the default, is asked again in a
    /// [period](crate::StreamWatch::recheck_every).
    fn changes(&self) -> Option<&KeyChanges> {
        None
    }
}

/// How many keys are found at the same time, of many.
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

/// The error of a store that cannot tell whether a key exists.
///
/// Operators see it in the log; clients are told nothing of it. A clone has the same source.
#[derive(Clone)]
pub struct StoreError(Arc<dyn Error + Send + Sync>);

impl StoreError {
    /// Wraps the error of the store.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into().into())
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreError").field(&self.0).finish()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key store failed: {}", self.0)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

const _: Option<Arc<dyn KeyStore>> = None;
