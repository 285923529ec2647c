//! Retries of changes that conflict with those of other nodes.

use std::time::Duration;

use super::authority::Authority;
use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::key::KeyId;
use crate::store::{AuditEvent, CommitError, KeyChange, StoredKey};

/// How often a change is tried. Changes within a process wait for their turn, so an attempt fails only if
/// another node was faster.
const ATTEMPTS: usize = 30;

/// How often a revocation or a disabling is tried: the holder of the key may make other nodes change it all the
/// time.
const URGENT_ATTEMPTS: usize = 1000;

/// The longest pauses between two attempts.
const PAUSE: Duration = Duration::from_millis(32);
const URGENT_PAUSE: Duration = Duration::from_millis(2);

/// A planned change.
pub(super) struct Plan<T> {
    /// The changes to commit; none, if the change was made already.
    pub(super) changes: Vec<KeyChange>,
    pub(super) events: Vec<AuditEvent>,
    /// The result of the call once they are committed.
    pub(super) outcome: T,
}

impl Errand {
    pub(super) const fn attempts(self) -> usize {
        match self {
            Self::Revoke | Self::Disable => URGENT_ATTEMPTS,
            Self::Change => ATTEMPTS,
        }
    }

    /// Waits after an attempt that failed because of another node.
    ///
    /// The pause is random, and its maximum doubles from 1 ms, so that two nodes do not retry in step.
    pub(super) async fn pause(self, attempt: usize) {
        let longest = match self {
            Self::Revoke | Self::Disable => URGENT_PAUSE,
            Self::Change => PAUSE,
        };
        let doubled = Duration::from_millis(1 << attempt.min(16));
        // Without randomness, the nodes may need more attempts.
        let part = getrandom::u32().unwrap_or(u32::MAX);
        let pause = doubled.min(longest).mul_f64(f64::from(part) / f64::from(u32::MAX));
        tokio::time::sleep(pause).await;
    }
}

impl KeyManager {
    /// Changes a key by `plan`, after the changes that wait already.
    ///
    /// A call for a key that the owner does not see neither waits nor lets others wait.
    pub(super) async fn change_in_turn<T>(
        &self,
        id: &KeyId,
        errand: Errand,
        plan: impl Fn(&StoredKey, &Authority) -> Result<Plan<T>, ManageError>,
    ) -> Result<T, ManageError> {
        for attempt in 0..errand.attempts() {
            let (mut key, mut authority) = self.get_with_authority(id).await?;
            let turn = self.settings.turns.take(id, errand).await;
            if turn.has_waited() {
                (key, authority) = self.get_with_authority(id).await?;
            }
            let Plan { changes, events, outcome } = plan(&key, &authority)?;
            if changes.is_empty() {
                return Ok(outcome);
            }
            match self.commit(&authority, &changes, &events).await {
                Err(CommitError::Conflict) => {}
                result => return Ok(result.map(|()| outcome)?),
            }
            drop(turn);
            errand.pause(attempt).await;
        }
        Err(ManageError::Conflict)
    }
}
