//! [`KeyState`]: whether a key works, and if not, why.

use std::fmt;
use std::time::SystemTime;

use super::KeyRecord;

/// Whether a key works at some moment.
///
/// If several states apply, it is the first of revoked, disabled, expired and suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum KeyState {
    /// It works.
    Active,
    /// It is disabled until it is enabled again.
    Disabled,
    /// Its expiry has passed.
    Expired,
    /// It was revoked, which is permanent.
    Revoked,
    /// It would work, but its tenant is suspended, with all its keys, until it is resumed.
    Suspended,
}

impl KeyState {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::Active, Self::Disabled, Self::Expired, Self::Revoked, Self::Suspended];

    /// Returns the name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl KeyRecord {
    /// Tells whether the key works at `time`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use tower_api_key::store::KeyState;
    /// use tower_api_key::{KeyScheme, NewKey};
    ///
    /// let soon = SystemTime::now() + Duration::from_secs(60);
    /// let key = NewKey::named("a minute").expires_at(soon);
    /// let issued = key.generate(&KeyScheme::default())?;
    /// assert_eq!(issued.record.state(SystemTime::now()), KeyState::Active);
    /// assert_eq!(issued.record.state(soon), KeyState::Expired);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn state(&self, time: SystemTime) -> KeyState {
        self.state_by(|| time)
    }

    /// Like [`state`](Self::state), but asks for the time only if it matters.
    pub(crate) fn state_by(&self, now: impl FnOnce() -> SystemTime) -> KeyState {
        if self.revoked_at().is_some() {
            KeyState::Revoked
        } else if self.disabled {
            KeyState::Disabled
        } else if self.expires_at().is_some_and(|expires_at| now() >= expires_at) {
            KeyState::Expired
        } else if self.suspended {
            KeyState::Suspended
        } else {
            KeyState::Active
        }
    }
}
