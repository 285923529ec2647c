//! Changes that are tried until no other node gets in their way, one key's after the other.

use std::time::Duration;

use super::authority::Authority;
use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::key::KeyId;
use crate::store::{AuditEvent, CommitError, KeyChange, StoredKey};

/// How often a change is tried. Within a process changes wait for their turn, so each attempt but
/// the last failed because another node was faster.
const ATTEMPTS: usize = 30;

/// The same of a change that takes a key out of use: the holder of the key may have other nodes
/// change it without pause.
const URGENT_ATTEMPTS: usize = 1000;

/// The longest pauses between two attempts.
const PAUSE: Duration = Duration::from_millis(32);
const URGENT_PAUSE: Duration = Duration::from_millis(2);

/// What a change comes to.
pub(super) struct Plan<T> {
    /// What is committed; nothing, if the change was made already.
    pub(super) changes: Vec<KeyChange>,
    pub(super) events: Vec<AuditEvent>,
    /// What is returned once that is done.
    pub(super) outcome: T,
}

impl Errand {
    pub(super) const fn attempts(self) -> usize {
        match self {
            Self::Revoke | Self::Disable => URGENT_ATTEMPTS,
            Self::Change => ATTEMPTS,
        }
    }

    /// Waits after an attempt in whose way another node got.
    ///
    /// The longest pause doubles from 1 ms, and any shorter one is as likely, so that two nodes do
    /// not go on in step.
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
    /// Changes a key as `plan` says, when it is its turn.
    ///
    /// Nothing waits for a key that is not seen, and nobody waits for who does not see it.
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
