//! [`RecordUses`]: storing when keys were last used.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::StoreError;
use crate::key::KeyId;

/// Stores when keys were last used, separately from their records.
///
/// # Contract
///
/// * **Separate.** No record and no revision changes.
/// * **Forward.** A time that is earlier than the known one changes nothing.
/// * **Cancel safe.** The future may be dropped, and the same uses may be recorded again.
///
/// The feature `testing` has a suite that checks a repository against this contract.
#[async_trait]
pub trait RecordUses: Send + Sync {
    /// Records when keys were used, unless a later use is stored. Unknown ids are ignored.
    ///
    /// # Errors
    ///
    /// Returns an error if not all uses could be recorded.
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError>;
}

macro_rules! forward_to_the_inner_repository {
    ($pointer:ident) => {
        // By hand, because `#[async_trait]` would box the future a second time.
        impl<T: RecordUses + ?Sized> RecordUses for $pointer<T> {
            fn record_uses<'a, 'b, 'c>(
                &'a self,
                uses: &'b [KeyUse],
            ) -> BoxFuture<'c, Result<(), StoreError>>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).record_uses(uses)
            }
        }
    };
}

forward_to_the_inner_repository!(Arc);
forward_to_the_inner_repository!(Box);

/// A use of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUse {
    /// The key.
    pub id: KeyId,
    /// The time of the use.
    pub at: SystemTime,
}

impl KeyUse {
    /// Creates a use of a key.
    #[must_use]
    pub const fn new(id: KeyId, at: SystemTime) -> Self {
        Self { id, at }
    }
}

const _: Option<Arc<dyn RecordUses>> = None;
