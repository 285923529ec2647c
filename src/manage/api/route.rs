//! [`KeyRoute`]: the routes of the management API.

/// The parameter of the paths.
pub(super) const KEY_ID: &str = "key_id";

/// A route of the management API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyRoute {
    /// `GET /api-keys`.
    List,
    /// `POST /api-keys`.
    Create,
    /// `GET /api-keys/{key_id}`.
    Show,
    /// `PATCH /api-keys/{key_id}`.
    Update,
    /// `DELETE /api-keys/{key_id}`.
    Revoke,
    /// `POST /api-keys/{key_id}/rotate`.
    Rotate,
    /// `GET /api-keys/{key_id}/audit`.
    Audit,
    /// `GET /api-keys/{key_id}/usage`.
    Usage,
}

impl KeyRoute {
    /// All routes.
    pub const ALL: [Self; 8] = [
        Self::List,
        Self::Create,
        Self::Show,
        Self::Update,
        Self::Revoke,
        Self::Rotate,
        Self::Audit,
        Self::Usage,
    ];

    /// Returns the path, in the syntax of axum and OpenAPI.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::manage::api::KeyRoute;
    ///
    /// assert_eq!(KeyRoute::Rotate.path(), "/api-keys/{key_id}/rotate");
    /// ```
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::List | Self::Create => "/api-keys",
            Self::Show | Self::Update | Self::Revoke => "/api-keys/{key_id}",
            Self::Rotate => "/api-keys/{key_id}/rotate",
            Self::Audit => "/api-keys/{key_id}/audit",
            Self::Usage => "/api-keys/{key_id}/usage",
        }
    }

    /// Returns whether the path names a key.
    pub(super) const fn is_for_one_key(self) -> bool {
        !matches!(self, Self::List | Self::Create)
    }

    /// Returns whether requests have a body.
    pub(super) const fn has_body(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Rotate)
    }
}
