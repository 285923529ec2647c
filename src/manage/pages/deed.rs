//! [`Deed`]: the action of a request to the pages.

use crate::key::KeyKind;
use crate::manage::api::KeyRoute;

/// The action of a request to the pages. A form and its handler have the same action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    List,
    Create(KeyKind),
    Show,
    Rename,
    Change,
    Disable,
    Enable,
    Rotate,
    Revoke,
}

impl Deed {
    pub(super) const ALL: [Self; 10] = [
        Self::List,
        Self::Create(KeyKind::Secret),
        Self::Create(KeyKind::Public),
        Self::Show,
        Self::Rename,
        Self::Change,
        Self::Disable,
        Self::Enable,
        Self::Rotate,
        Self::Revoke,
    ];

    /// Returns the path, below the path of the router.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::List => "/",
            Self::Create(KeyKind::Secret) => "/new",
            Self::Create(KeyKind::Public) => "/new-public",
            Self::Show => "/key/{key_id}",
            Self::Rename => "/key/{key_id}/rename",
            Self::Change => "/key/{key_id}/change",
            Self::Disable => "/key/{key_id}/disable",
            Self::Enable => "/key/{key_id}/enable",
            Self::Rotate => "/key/{key_id}/rotate",
            Self::Revoke => "/key/{key_id}/revoke",
        }
    }

    /// Returns whether there is a form to send.
    pub(super) const fn is_form(self) -> bool {
        !matches!(self, Self::List | Self::Show)
    }

    /// Returns the route of the API that does the same.
    pub(super) const fn route(self) -> KeyRoute {
        match self {
            Self::List => KeyRoute::List,
            Self::Create(_) => KeyRoute::Create,
            Self::Show => KeyRoute::Show,
            Self::Rename | Self::Change | Self::Disable | Self::Enable => KeyRoute::Update,
            Self::Rotate => KeyRoute::Rotate,
            Self::Revoke => KeyRoute::Revoke,
        }
    }

    pub(super) const fn is_for_one_key(self) -> bool {
        !matches!(self, Self::List | Self::Create(_))
    }
}
