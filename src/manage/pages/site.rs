//! [`Site`]: the context of all pages.

use std::time::SystemTime;

use super::settings::Settings;
use super::texts::PageTexts;
use crate::key::KeyId;

/// The context of all pages: the settings, the path of the router, and the time.
pub(super) struct Site<'a> {
    pub(super) settings: &'a Settings,
    /// The path of the router, without a slash at its end.
    pub(super) base: String,
    pub(super) now: SystemTime,
}

impl<'a> Site<'a> {
    pub(super) fn texts(&self) -> &'a PageTexts {
        &self.settings.texts
    }

    /// Returns the path of the list.
    pub(super) fn list(&self) -> String {
        match &*self.base {
            "" => "/".to_owned(),
            base => base.to_owned(),
        }
    }

    /// Returns a path below the list.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    pub(super) fn key(&self, id: &KeyId) -> String {
        self.at(&format!("key/{id}"))
    }

    /// Returns the path of an action on a key.
    pub(super) fn of_key(&self, id: &KeyId, action: &str) -> String {
        self.at(&format!("key/{id}/{action}"))
    }
}
