//! [`KeyAction`]: the action that a request asks for, and its key.

use super::KeyRoute;
use crate::key::KeyId;

/// The action that a request asks for, and the id of its key. [`IdentifyOwner`](super::IdentifyOwner) receives it.
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
    /// Creates an action without a key, such as a list.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::manage::api::{KeyAction, KeyRoute};
    ///
    /// let action = KeyAction::new(KeyRoute::List);
    /// assert_eq!(action.route(), KeyRoute::List);
    /// assert_eq!(action.key_id(), None);
    /// assert!(!action.changes_keys());
    /// ```
    #[must_use]
    pub const fn new(route: KeyRoute) -> Self {
        Self { route, key_id: None }
    }

    /// Creates an action on one key.
    #[must_use]
    pub const fn on(route: KeyRoute, key_id: KeyId) -> Self {
        Self { route, key_id: Some(key_id) }
    }

    /// Returns the route that the request is for.
    #[must_use]
    pub const fn route(&self) -> KeyRoute {
        self.route
    }

    /// Returns the id of the key in the path. `None` for a route without a key, and for a path with an invalid id.
    ///
    /// The key was not looked up: it may not exist, or belong to another tenant.
    #[must_use]
    pub const fn key_id(&self) -> Option<&KeyId> {
        self.key_id.as_ref()
    }

    /// Returns whether the action issues or changes keys, rather than reading them.
    #[must_use]
    pub const fn changes_keys(&self) -> bool {
        !matches!(self.route, KeyRoute::List | KeyRoute::Show | KeyRoute::Audit | KeyRoute::Usage)
    }
}
