//! Replacing keys by their successors.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::attempts::Plan;
use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::clock::{later, to_microsecond};
use crate::key::{KeyId, Secret};
use crate::store::{AuditAction, IssuedKey, KeyChange, KeyRecord, KeyState, Propagation};

/// The successor of a rotated key, with its secret.
#[derive(Debug)]
#[non_exhaustive]
pub struct RotatedKey {
    /// The record of the new key.
    pub record: Arc<KeyRecord>,
    /// The secret of the new key.
    pub secret: Secret,
    /// The record of the old key, which names the new one.
    pub predecessor: Arc<KeyRecord>,
    /// When other nodes see the new expiry or the revocation of the old key.
    pub propagation: Propagation,
}

impl KeyManager {
    /// Rotates a key: issues a successor with a new secret and the same abilities, limits and restrictions.
    ///
    /// The old key works for the grace period `grace`, but not beyond its own expiry. If `grace` is zero, the old
    /// key is revoked at once. Its record names the [successor](KeyRecord::successor). A grace period that ends
    /// after the year 9999 has no end.
    ///
    /// The successor expires when the old key would have: [update](Self::update) it if it should live longer.
    /// Both keys use up the same rate limits, also while both work: the record names the
    /// [key](KeyRecord::counted_as) under which they count.
    ///
    /// A key can be rotated once; then rotate its successor. If two calls rotate a key at the same time, one
    /// returns the successor and the other [`ManageError::Rotated`].
    ///
    /// # Errors
    ///
    /// Returns an error if
    ///
    /// * there is no such key, or it was rotated already,
    /// * it is revoked, expired or disabled, or its tenant is suspended,
    /// * no format of the [scheme](Self::scheme) has its prefix,
    /// * it is allowed more than the [owner](Self::on_behalf_of),
    /// * there is a grace period, and the tenant has as many keys as it
    ///   [may have](Self::max_keys_per_tenant),
    /// * the random generator or the store fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// let rotated = keys.rotate(issued.record.id(), Duration::from_secs(24 * 3600)).await?;
    /// println!("shown once: {}", rotated.secret.reveal());
    /// assert_eq!(rotated.record.name(), "nightly import");
    /// assert_eq!(rotated.predecessor.successor(), Some(rotated.record.id()));
    /// assert!(rotated.predecessor.expires_at().is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rotate(&self, id: &KeyId, grace: Duration) -> Result<RotatedKey, ManageError> {
        let rotated = self.change_in_turn(id, Errand::Change, |key, authority| {
            let (old, now) = (&key.record, self.now());
            authority.check(old)?;
            let (predecessor, new) = self.rotation_of(old, now, grace)?;
            let changes = vec![
                KeyChange::Replace(Arc::clone(&predecessor)),
                KeyChange::Insert(Arc::clone(&new.record)),
            ];
            let events = vec![
                self.event(now, AuditAction::Rotated, Some(old), Some(&predecessor)),
                self.event(now, AuditAction::Issued, None, Some(&new.record)),
            ];
            Ok(Plan { changes, events, outcome: (predecessor, new) })
        });
        let (predecessor, IssuedKey { record, secret }) = self.in_time(rotated).await?;
        let propagation = self.settings.repository.propagation();
        Ok(RotatedKey { record, secret, predecessor, propagation })
    }

    fn rotation_of(
        &self,
        old: &Arc<KeyRecord>,
        now: SystemTime,
        grace: Duration,
    ) -> Result<(Arc<KeyRecord>, IssuedKey), ManageError> {
        if let Some(successor) = old.successor() {
            return Err(ManageError::Rotated(successor.clone()));
        }
        match old.state(now) {
            KeyState::Active => {}
            KeyState::Suspended => return Err(ManageError::Suspended),
            state => return Err(ManageError::State(state)),
        }
        let formats = self.settings.scheme.issued_formats();
        let format =
            formats.with_prefix_of(&old.hint, old.stage(), old.kind).ok_or(ManageError::Format)?;
        let mut new = KeyRecord::clone(old);
        new.set_created_at(now);
        new.set_created_by(Some(self.actor().clone()));
        new.revision = 0;
        new.set_counted_as(Some(old.counted_id().clone()));
        // After the period of this manager, or else after as long a time as that of the old key.
        let of_old = old.rotation_due_at().and_then(|at| at.duration_since(old.created_at()).ok());
        let period = self.settings.rotation_period.or(of_old);
        new.set_rotation_due_at(period.and_then(|period| later(now, period)));
        let new = IssuedKey::with_new_secret(new, format, &self.settings.scheme)?;

        let mut predecessor = KeyRecord::clone(old);
        predecessor.revision = predecessor.revision.saturating_add(1);
        predecessor.set_successor(Some(new.record.id.clone()));
        predecessor.set_rotation_due_at(None);
        if grace.is_zero() {
            // Rather than expired, which other nodes would judge by their own clocks.
            predecessor.set_revoked_at(Some(now));
        } else {
            let end = later(now, grace).map(to_microsecond);
            predecessor.set_expires_at(match (old.expires_at(), end) {
                (Some(expires_at), Some(end)) => Some(expires_at.min(end)),
                (expires_at, end) => expires_at.or(end),
            });
        }
        Ok((Arc::new(predecessor), new))
    }
}
