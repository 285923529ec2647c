//! [`Settings`]: the settings of the pages.

use std::sync::Arc;

use http::request::Parts;

use super::assets::Assets;
use super::expiry::Expiry;
use super::offered::Offered;
use super::page::Page;
use super::texts::PageTexts;
use crate::key::{KeyKind, Stage};
use crate::manage::KeyManager;
use crate::manage::api::{Bodies, IdentifyOwner};

/// The layout of an application.
pub(super) type Layout = dyn Fn(&Page, &Parts) -> String + Send + Sync;

/// The settings of the pages.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) keys: KeyManager,
    pub(super) owner: Arc<dyn IdentifyOwner>,
    pub(super) offered: Offered,
    pub(super) stages: Vec<Stage>,
    pub(super) expiries: Vec<Expiry>,
    pub(super) usage: bool,
    pub(super) layout: Option<Arc<Layout>>,
    pub(super) texts: PageTexts,
    pub(super) base: Option<String>,
    /// A URL of the application's API, for `curl`.
    pub(super) api_url: Option<String>,
    /// The environment variable that the pages show.
    pub(super) variable: String,
    pub(super) page_size: usize,
    pub(super) public_keys: bool,
    pub(super) history: bool,
    pub(super) bodies: Bodies,
    pub(super) assets: Assets,
}

impl Settings {
    /// Returns the stages of all keys.
    pub(super) fn all_stages(&self) -> Vec<Stage> {
        let kinds = [KeyKind::Secret, KeyKind::Public].into_iter();
        distinct(kinds.flat_map(|kind| self.stages_of(kind)))
    }

    /// Returns the stages for keys of a kind: those of the prefixes, or otherwise those of the application.
    pub(super) fn stages_of(&self, kind: KeyKind) -> Vec<Stage> {
        let formats = self.keys.settings.scheme.issued_formats();
        let formats = formats.iter().filter(|format| is_of(format.kind_of_prefix(), kind));
        let stages = distinct(formats.filter_map(|format| format.stage_of_prefix().cloned()));
        match stages.is_empty() {
            true => distinct(self.stages.iter().cloned()),
            false => stages,
        }
    }

    /// Returns whether the form for keys of a kind offers a stage. An empty text means no stage.
    pub(super) fn offers_stage(&self, kind: KeyKind, stage: &str) -> bool {
        let stages = self.stages_of(kind);
        match stages.is_empty() {
            true => stage.is_empty(),
            false => stages.iter().any(|offered| offered.as_str() == stage),
        }
    }

    /// Returns whether public keys are issued: the scheme has a prefix for them, and the application has not
    /// disabled them.
    pub(super) fn issues_public_keys(&self) -> bool {
        let formats = self.keys.settings.scheme.issued_formats();
        let mut kinds = formats.iter().map(|format| format.kind_of_prefix());
        self.public_keys && kinds.any(|kind| kind == Some(KeyKind::Public))
    }

    /// Returns the largest number of days that is offered, if the choices are limited.
    pub(super) fn most_days(&self) -> Option<u32> {
        let days = self.expiries.iter().filter_map(|expiry| match expiry {
            Expiry::Days(days) => Some(*days),
            _ => None,
        });
        match self.expiries.contains(&Expiry::Never) {
            true => None,
            false => days.max(),
        }
    }
}

fn distinct(stages: impl Iterator<Item = Stage>) -> Vec<Stage> {
    let mut seen = std::collections::HashSet::new();
    stages.filter(|stage| seen.insert(stage.clone())).collect()
}

fn is_of(of_prefix: Option<KeyKind>, kind: KeyKind) -> bool {
    of_prefix.is_none_or(|of_prefix| of_prefix == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyFormat, KeyFormats, KeyScheme};
    use crate::manage::pages::KeyPages;
    use crate::store::MemoryStore;

    fn owner(
        _: &mut Parts,
        _: &crate::manage::api::KeyAction,
    ) -> Result<crate::manage::Owner, crate::manage::api::Refused> {
        Err(http::StatusCode::UNAUTHORIZED.into())
    }

    #[test]
    fn the_list_can_be_filtered_by_the_stages_of_all_keys() {
        let formats: KeyFormats = [
            KeyFormat::new("sk_live_").stage("live").kind(KeyKind::Secret),
            KeyFormat::new("pk_live_").stage("live").kind(KeyKind::Public),
            KeyFormat::new("pk_demo_").stage("demo").kind(KeyKind::Public),
        ]
        .into_iter()
        .collect();
        let keys = KeyManager::new(MemoryStore::new()).scheme(KeyScheme::new(formats));
        let settings = KeyPages::new(keys, owner).settings;
        let stages = settings.all_stages();
        assert_eq!(stages.iter().map(Stage::as_str).collect::<Vec<_>>(), ["live", "demo"]);
        assert!(!settings.offers_stage(KeyKind::Secret, "demo"));
    }
}
