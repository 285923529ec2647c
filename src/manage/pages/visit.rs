//! [`Visit`]: a request of an owner to the pages.

use http::request::Parts;

use super::offered::Offered;
use super::site::Site;
use crate::key::KeyId;
use crate::manage::KeyManager;
use crate::manage::api::ApiError;
use crate::manage::authority::Authority;

/// A request of an owner to the pages.
pub(super) struct Visit<'a> {
    pub(super) site: &'a Site<'a>,
    /// The manager that acts on behalf of the owner.
    pub(super) keys: KeyManager,
    pub(super) authority: Authority,
    pub(super) parts: &'a Parts,
    /// The id of the key in the path, if it is valid.
    pub(super) key_id: Option<KeyId>,
}

impl Visit<'_> {
    pub(super) fn key_id(&self) -> Result<&KeyId, ApiError> {
        self.key_id.as_ref().ok_or_else(ApiError::not_found)
    }

    /// Returns what the owner may grant.
    pub(super) fn offered(&self) -> Offered {
        self.site.settings.offered.only(|ability| self.authority.grants(ability))
    }
}
