//! [`KeyAction`]: what a request wants to do with which key.

use super::KeyRoute;
use crate::key::KeyId;

/// What a request wants to do with which key, for [`IdentifyOwner`](super::IdentifyOwner).
///
/// # Examples
///
/// ```
/// use tower_api_key::manage::api::{KeyAction, KeyRoute};
///
/// let action = KeyAction::on(KeyRoute::Revoke, "key_1".parse()?);
/// assert!(action.changes_keys());
/// assert_eq!(action.key_id().map(|id| id.as_str()), Some("key_1"));
/// # Ok::<_, tower_api_key::key::IdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAction {
    route: KeyRoute,
    key_id: Option<KeyId>,
}

impl KeyAction {
    /// Makes an action on no particular key, such as a list.
    #[must_use]
    pub const fn new(route: KeyRoute) -> Self {
        Self { route, key_id: None }
    }

    /// Makes an action on one key.
    #[must_use]
    pub const fn on(route: KeyRoute, key_id: KeyId) -> Self {
        Self { route, key_id: Some(key_id) }
    }

    /// Returns the route, which says what is to be done.
    #[must_use]
    pub const fn route(&self) -> KeyRoute {
        self.route
    }

    /// Returns the key that the request is for. None if it is for no particular one, or if no key can
    /// have the id in the path.
    ///
    /// Whether there is such a key, and whose it is, is not known yet.
    #[must_use]
    pub const fn key_id(&self) -> Option<&KeyId> {
        self.key_id.as_ref()
    }

    /// Tells whether keys are issued or changed, and not only read.
    #[must_use]
    pub const fn changes_keys(&self) -> bool {
        !matches!(self.route, KeyRoute::List | KeyRoute::Show | KeyRoute::Audit | KeyRoute::Usage)
    }
}
