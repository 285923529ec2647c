//! Issuing many keys in few transactions.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use thiserror::Error;

use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::store::{AuditAction, CommitError, IssuedKey, KeyChange, KeyRecord, NewKey};

/// How many keys one transaction issues.
const BATCH: usize = 250;

impl KeyManager {
    /// Issues many keys, in transactions of 250 with their audit events, and returns them in their
    /// order.
    ///
    /// All keys are checked before the first is issued. Each batch is issued as a whole or not at all, within
    /// the [deadline](Self::deadline). If a batch fails, the [error](IssueAllError) has the keys of the batches
    /// before, with their secrets. If the future is dropped, those secrets are lost; with
    /// [`issue_all_with`](Self::issue_all_with), they are handed over after each batch.
    ///
    /// # Errors
    ///
    /// Returns an error, and issues no key, if one of them could not be [issued](Self::issue). Three reasons are
    /// found only when a batch is issued, and then earlier batches stay: a suspended tenant, a tenant that has
    /// as many keys as it [may have](Self::max_keys_per_tenant), and a failure of the store.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let names = ["till 1", "till 2", "till 3"];
    /// let issued = keys.issue_all(names.map(|name| NewKey::named(name).tenant("acme"))).await?;
    /// for (name, key) in names.iter().zip(&issued) {
    ///     println!("{name}: {}", key.secret.reveal());
    /// }
    /// assert_eq!(issued.len(), 3);
    ///
    /// let error = keys.issue_all([NewKey::named("till 4"), NewKey::named("")]).await.unwrap_err();
    /// assert_eq!((error.index, error.issued.len()), (1, 0));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn issue_all(
        &self,
        keys: impl IntoIterator<Item = NewKey>,
    ) -> Result<Vec<IssuedKey>, IssueAllError> {
        let mut issued = Vec::new();
        let all = self.issue_all_with(keys, |batch| {
            issued.extend(batch);
            ControlFlow::Continue(())
        });
        match all.await {
            Ok(_) => Ok(issued),
            Err(error) => Err(IssueAllError { issued, ..error }),
        }
    }

    /// Like [`issue_all`](Self::issue_all), but passes the keys of each batch to `hand_out` as soon as they are
    /// issued, so that no secret is lost with the future. Returns how many keys were issued.
    ///
    /// `hand_out` returns whether to go on. The error does not have the keys that were handed out.
    ///
    /// # Errors
    ///
    /// Like [`issue_all`](Self::issue_all).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let tills = (1..=1000).map(|number| NewKey::named(format!("till {number}")).tenant("acme"));
    /// let mut batches = 0;
    /// let issued = keys
    ///     .issue_all_with(tills, |batch| {
    ///         batches += 1;
    ///         assert_eq!(batch.len(), 250);
    ///         ControlFlow::Continue(())
    ///     })
    ///     .await?;
    /// assert_eq!((issued, batches), (1000, 4));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn issue_all_with(
        &self,
        keys: impl IntoIterator<Item = NewKey>,
        mut hand_out: impl FnMut(Vec<IssuedKey>) -> ControlFlow<()> + Send,
    ) -> Result<usize, IssueAllError> {
        let mut wanted = Vec::new();
        for (index, key) in keys.into_iter().enumerate() {
            let key = key.generate(&self.settings.scheme);
            wanted.push(key.map_err(|error| IssueAllError::nothing(index, error.into()))?);
        }
        self.check_all(&wanted).await?;
        let (mut count, mut left) = (0, wanted.into_iter());
        loop {
            let batch: Vec<_> = left.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(count);
            }
            let records = match self.in_time(self.issue_batch(&batch)).await {
                Ok(records) => records,
                Err(source) => return Err(IssueAllError::of_batch(count, batch, source)),
            };
            count += records.len();
            let issued = batch.into_iter().zip(records);
            let issued =
                issued.map(|(IssuedKey { secret, .. }, record)| IssuedKey { record, secret });
            if hand_out(issued.collect()).is_break() {
                return Ok(count);
            }
        }
    }

    /// Returns an error if one of the keys may not be issued.
    async fn check_all(&self, wanted: &[IssuedKey]) -> Result<(), IssueAllError> {
        let authority = self.in_time(self.authority()).await;
        let authority = authority.map_err(|error| IssueAllError::nothing(0, error))?;
        let now = self.now();
        for (index, key) in wanted.iter().enumerate() {
            let granted = self.granted(&key.record, &authority, now);
            granted.map_err(|error| IssueAllError::nothing(index, error))?;
        }
        Ok(())
    }

    async fn issue_batch(&self, wanted: &[IssuedKey]) -> Result<Vec<Arc<KeyRecord>>, ManageError> {
        for attempt in 0..Errand::Change.attempts() {
            let authority = self.authority().await?;
            let now = self.now();
            let granted = wanted.iter().map(|key| self.granted(&key.record, &authority, now));
            let records: Vec<_> = granted.map(|it| it.map(Arc::new)).collect::<Result<_, _>>()?;
            let event = |record| self.event(now, AuditAction::Issued, None, Some(record));
            let events: Vec<_> = records.iter().map(event).collect();
            let changes: Vec<_> = records.iter().cloned().map(KeyChange::Insert).collect();
            match self.commit(&authority, &changes, &events).await {
                // The owner was changed: new records conflict with no others.
                Err(CommitError::Conflict) => Errand::Change.pause(attempt).await,
                result => return Ok(result.map(|()| records)?),
            }
        }
        Err(ManageError::Conflict)
    }
}

/// The error of [`KeyManager::issue_all`], with the keys that were issued before it.
#[derive(Error)]
#[non_exhaustive]
#[error("the key with the index {index} was not issued: {source}")]
pub struct IssueAllError {
    /// The index of the key that was refused, or of the first of the batch that failed.
    pub index: usize,
    /// The keys that were issued before, with their secrets.
    pub issued: Vec<IssuedKey>,
    /// The keys of the batch of which it is not known whether it was issued. It was issued as a whole or not at
    /// all: [get](KeyManager::get) its first key to find out.
    pub uncertain: Vec<IssuedKey>,
    /// The error of the key or batch.
    pub source: ManageError,
}

impl IssueAllError {
    const fn nothing(index: usize, source: ManageError) -> Self {
        Self { index, issued: Vec::new(), uncertain: Vec::new(), source }
    }

    fn of_batch(index: usize, batch: Vec<IssuedKey>, source: ManageError) -> Self {
        let is_known = !matches!(source, ManageError::Store(_) | ManageError::Deadline(_));
        let uncertain = if is_known { Vec::new() } else { batch };
        Self { uncertain, ..Self::nothing(index, source) }
    }
}

impl fmt::Debug for IssueAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssueAllError")
            .field("index", &self.index)
            .field("issued", &self.issued.len())
            .field("uncertain", &self.uncertain.len())
            .field("source", &self.source)
            .finish()
    }
}
