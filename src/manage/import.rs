//! Importing keys that another system has issued.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::authority::Authority;
use super::name::check_name;
use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::clock::to_microsecond;
use crate::key::{InvalidFields, KeyDigest, KeyId, RateLimits};
use crate::store::{AuditAction, CommitError, KeyChange, KeyRecord, TenantFilter};

/// How many keys are imported in one transaction.
const BATCH: usize = 250;

impl KeyManager {
    /// Imports keys of another system by their [digests](crate::key::StoredHash), and returns the outcome of each
    /// key, in the same order.
    ///
    /// The call can be repeated, such as after an error: a key that exists already, with the same id and digest,
    /// stays as it is, even if it was changed or revoked since. A key whose record was
    /// [pruned](Self::prune) since is imported again.
    ///
    /// Keys are imported in batches of 250, each in one transaction with an
    /// [event](AuditAction::Imported) for each key. The [deadline](Self::deadline) is that of each batch.
    /// A refused key does not stop the others. Revoked and expired keys are imported as they are.
    ///
    /// For a dry run, or for a list that arrives in parts, use an [`importer`](Self::importer).
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails. Batches before the one that failed were imported.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::SystemTime;
    ///
    /// use tower_api_key::key::StoredHash;
    /// use tower_api_key::manage::ImportOutcome;
    /// use tower_api_key::{KeyHasher, KeyManager, KeyRecord, KeyStore, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // A row of the old table.
    /// let (id, hash) = ("17", KeyHasher::sha256().digest("the old key").to_string());
    ///
    /// let store = MemoryStore::new();
    /// let keys = KeyManager::new(store.clone());
    /// let digest = hash.parse::<StoredHash>()?.of_key();
    /// let record = KeyRecord::new(id.parse()?, digest, "nightly import", SystemTime::now());
    /// for expected in [ImportOutcome::Imported, ImportOutcome::Unchanged] {
    ///     assert_eq!(keys.import([record.clone()]).await?, [expected]);
    /// }
    /// assert!(store.find(&KeyHasher::sha256().digest("the old key")).await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn import(
        &self,
        records: impl IntoIterator<Item = KeyRecord>,
    ) -> Result<Vec<ImportOutcome>, ManageError> {
        self.importer().add(records).await
    }

    /// Returns an [`Importer`], for a dry run of an [import](Self::import), or for keys that arrive in parts.
    pub fn importer(&self) -> Importer {
        Importer { keys: self.clone(), is_dry: false, seen: Seen::default() }
    }
}

/// An import of keys in several parts. [`KeyManager::importer`] creates it.
///
/// # Examples
///
/// ```
/// # use std::time::SystemTime;
/// # use tower_api_key::manage::ImportOutcome;
/// # use tower_api_key::{KeyHasher, KeyManager, KeyQuery, KeyRecord, MemoryStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (keys, digest) = (MemoryStore::new(), KeyHasher::sha256().digest("the old key"));
/// # let record = KeyRecord::new("17".parse()?, digest, "nightly import", SystemTime::now());
/// let mut trial = KeyManager::new(keys.clone()).importer().dry_run();
/// // The same key twice.
/// let outcomes = trial.add([record.clone(), record]).await?;
/// assert_eq!(outcomes, [ImportOutcome::Imported, ImportOutcome::Unchanged]);
/// assert!(KeyManager::new(keys).list(&KeyQuery::new()).await?.keys.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Importer {
    keys: KeyManager,
    is_dry: bool,
    seen: Seen,
}

/// The outcome of the import of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportOutcome {
    /// The key was imported. In a dry run, it would be.
    Imported,
    /// The key exists already, with the same id and digest.
    Unchanged,
    /// The key was not imported.
    Refused(ImportRefusal),
}

/// The reason why a key was not imported.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImportRefusal {
    /// Another key has the id.
    #[error("another key has this id already: add a prefix to the ids of the other system")]
    IdTaken,
    /// The same key exists under this id. There is no id if the owner may not see that key.
    #[error("the key exists already, with {}", Other(.0))]
    KeyTaken(Option<KeyId>),
    /// A rule of the [`KeyManager`] refuses it.
    #[error("{0}")]
    Rule(Arc<str>),
}

struct Other<'a>(&'a Option<KeyId>);

impl fmt::Display for Other<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "the id {id}"),
            None => f.write_str("another id"),
        }
    }
}

/// The keys that came before, to find those that are twice on a list.
#[derive(Debug, Default)]
struct Seen {
    digests: HashMap<KeyId, KeyDigest>,
    ids: HashMap<KeyDigest, KeyId>,
}

impl Seen {
    /// Returns the outcome of a key that came before, or remembers it.
    fn judge(&mut self, record: &KeyRecord) -> Option<ImportOutcome> {
        match (self.digests.get(&record.id), self.ids.get(&record.digest)) {
            (Some(digest), _) if *digest == record.digest => Some(ImportOutcome::Unchanged),
            (Some(_), _) => Some(ImportOutcome::Refused(ImportRefusal::IdTaken)),
            (None, Some(id)) => {
                Some(ImportOutcome::Refused(ImportRefusal::KeyTaken(Some(id.clone()))))
            }
            (None, None) => {
                self.digests.insert(record.id.clone(), record.digest);
                self.ids.insert(record.digest, record.id.clone());
                None
            }
        }
    }
}

impl Importer {
    /// Makes it a dry run, which changes nothing and returns what the import would.
    pub fn dry_run(mut self) -> Self {
        self.is_dry = true;
        self
    }

    /// Imports keys, and returns the outcome of each, in the same order. See [`KeyManager::import`].
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails. Batches before the one that failed were imported.
    pub async fn add(
        &mut self,
        records: impl IntoIterator<Item = KeyRecord>,
    ) -> Result<Vec<ImportOutcome>, ManageError> {
        let mut records = records.into_iter();
        let mut outcomes = Vec::new();
        loop {
            let batch: Vec<_> = records.by_ref().take(BATCH).map(normal).collect();
            if batch.is_empty() {
                return Ok(outcomes);
            }
            let deadline = self.keys.begin();
            outcomes.extend(deadline.bound(self.add_batch(&batch)).await?);
        }
    }

    async fn add_batch(
        &mut self,
        batch: &[Arc<KeyRecord>],
    ) -> Result<Vec<ImportOutcome>, ManageError> {
        for attempt in 0..Errand::Change.attempts() {
            let authority = self.keys.authority().await?;
            let mut outcomes = self.judge(batch, &authority, attempt > 0).await?;
            if !self.is_dry {
                // What came before is in the store.
                self.seen = Seen::default();
            }
            for (record, outcome) in batch.iter().zip(&mut outcomes) {
                *outcome = outcome.take().or_else(|| self.seen.judge(record));
            }
            let is_left = |(_, outcome): &(_, &Option<_>)| outcome.is_none();
            let left = batch.iter().zip(&outcomes).filter(is_left).map(|(record, _)| record);
            let left: Vec<_> = left.cloned().collect();
            match self.commit(&authority, &left).await {
                Ok(()) => {
                    let imported = |outcome: Option<_>| outcome.unwrap_or(ImportOutcome::Imported);
                    return Ok(outcomes.into_iter().map(imported).collect());
                }
                // Another call has inserted one of them, or has changed the owner.
                Err(CommitError::Exists | CommitError::Conflict) => {
                    Errand::Change.pause(attempt).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ManageError::Conflict)
    }

    /// Returns the outcome of each key that is not to be inserted. `asks_each` also looks for the ids; otherwise,
    /// a taken id fails the insertion.
    async fn judge(
        &self,
        batch: &[Arc<KeyRecord>],
        authority: &Authority,
        asks_each: bool,
    ) -> Result<Vec<Option<ImportOutcome>>, ManageError> {
        let repository = &self.keys.settings.repository;
        let digests: Vec<_> = batch.iter().map(|record| record.digest).collect();
        let mut found = repository.find_many(&digests).await?.into_iter();
        let mut outcomes = Vec::with_capacity(batch.len());
        for record in batch {
            let mut found = found.next().flatten();
            if let Err(error) = check(record, authority) {
                outcomes.push(Some(refused(&error)));
                continue;
            }
            if found.is_none() && asks_each {
                found = repository.find_stored(&record.digest).await?;
            }
            outcomes.push(match found {
                Some(found) if found.id == record.id => Some(ImportOutcome::Unchanged),
                Some(found) => {
                    let visible = authority.visible(TenantFilter::Any);
                    let is_visible = visible.matches(found.tenant.as_ref());
                    let id = Some(found.id.clone()).filter(|_| is_visible);
                    Some(ImportOutcome::Refused(ImportRefusal::KeyTaken(id)))
                }
                None if asks_each || self.is_dry => {
                    let same_id = repository.get(&record.id).await?;
                    same_id.map(|same_id| match same_id.record.digest == record.digest {
                        true => ImportOutcome::Unchanged,
                        false => ImportOutcome::Refused(ImportRefusal::IdTaken),
                    })
                }
                None => None,
            });
        }
        Ok(outcomes)
    }

    async fn commit(
        &self,
        authority: &Authority,
        records: &[Arc<KeyRecord>],
    ) -> Result<(), CommitError> {
        if self.is_dry || records.is_empty() {
            return Ok(());
        }
        let now = self.keys.now();
        let event = |record| self.keys.event(now, AuditAction::Imported, None, Some(record));
        let changes: Vec<_> = records.iter().cloned().map(KeyChange::Insert).collect();
        let events: Vec<_> = records.iter().map(event).collect();
        self.keys.commit(authority, &changes, &events).await
    }
}

/// Returns a record as stores keep it.
fn normal(mut record: KeyRecord) -> Arc<KeyRecord> {
    record.set_created_at(to_microsecond(record.created_at()));
    record.set_expires_at(record.expires_at().map(to_microsecond));
    record.set_revoked_at(record.revoked_at().map(to_microsecond));
    record.set_rotation_due_at(record.rotation_due_at().map(to_microsecond));
    record.revision = 0;
    Arc::new(record)
}

fn refused(error: &ManageError) -> ImportOutcome {
    ImportOutcome::Refused(ImportRefusal::Rule(error.to_string().into()))
}

fn check(record: &KeyRecord, authority: &Authority) -> Result<(), ManageError> {
    check_times(record).check()?;
    check_name(record.name())?;
    authority.check(record)?;
    authority.check_limits(&RateLimits::default(), record.limits())
}

/// Finds times that no store keeps.
fn check_times(record: &KeyRecord) -> InvalidFields {
    let mut invalid = InvalidFields::NONE;
    for (name, time) in [
        ("created_at", Some(record.created_at())),
        ("expires_at", record.expires_at()),
        ("revoked_at", record.revoked_at()),
        ("rotation_due_at", record.rotation_due_at()),
    ] {
        let _ = invalid.time(name, time);
    }
    invalid
}
