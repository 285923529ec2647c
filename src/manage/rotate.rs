//! Replacing keys by their successors.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::attempts::Plan;
use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::clock::{later, to_microsecond};
use crate::key::{KeyId, Secret};
use crate::store::{AuditAction, IssuedKey, KeyChange, KeyRecord, KeyState, Propagation};

/// A key's successor, and its secret for the only time.
#[derive(Debug)]
#[non_exhaustive]
pub struct RotatedKey {
    /// The record of the new key.
    pub record: Arc<KeyRecord>,
    /// The secret of the new key.
    pub secret: Secret,
    /// The record of the old key, which names the new one.
    pub predecessor: Arc<KeyRecord>,
    /// When other nodes heed that the old key's time is shorter now.
    pub propagation: Propagation,
}

impl KeyManager {
    /// Gives a key a successor with a new secret, and otherwise the same.
    ///
    /// The successor takes over what was used of the key's limits, and counts together with it while
    /// both work: the record says [as which key](KeyRecord::counted_as).
    ///
    /// The old key works for `grace` longer, but never longer than it would have anyway, and names
    /// its [successor](KeyRecord::successor). Without grace it is revoked at once. The
    /// successor expires when the old key would have; [update](Self::update) it if it is to live
    /// longer.
    ///
    /// A grace that ends after the year 9999 has no end.
    ///
    /// A key is rotated once; after that, it is its successor's turn. Of two who rotate a key at
    /// once, one gets the successor and the other [`ManageError::Rotated`].
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such key, if it was rotated already, if it is revoked,
    /// expired or disabled, if its tenant is suspended, if no format of the [scheme](Self::scheme) has
    /// its prefix, if it is allowed more than the owner on whose behalf it is rotated, if the tenant has
    /// as many keys as it [may have](Self::max_keys_per_tenant) and this one is to work on, or if no
    /// secret can be made or kept.
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
