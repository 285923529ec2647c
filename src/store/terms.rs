//! [`Terms`] and [`Rare`]: what records share, and what few of them have.

use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};

use super::Actor;
use super::moment::Moment;
use crate::key::{HeapSize as _, KeyId, RateLimits, Restrictions, Stage};

/// The terms of a key, which many keys share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Terms {
    pub(super) created_by: Option<Actor>,
    pub(super) stage: Option<Stage>,
    pub(super) limits: RateLimits,
    pub(super) restrictions: Restrictions,
}

impl Terms {
    /// The terms of a key for which none were set.
    pub(super) const NONE: Self = Self {
        created_by: None,
        stage: None,
        limits: RateLimits::NONE,
        restrictions: Restrictions::NONE,
    };

    pub(super) fn size(&self) -> usize {
        let Self { created_by, stage, limits, restrictions } = self;
        size_of::<Self>()
            + created_by.heap_size()
            + stage.heap_size()
            + limits.heap_size()
            + restrictions.heap_size()
    }
}

impl Eq for Terms {}

impl Hash for Terms {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Without restrictions: terms that have some are not shared.
        self.created_by.hash(state);
        self.stage.hash(state);
        self.limits.hash(state);
    }
}

/// The fields that few keys have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rare {
    pub(super) rotation_due_at: Option<Moment>,
    pub(super) successor: Option<KeyId>,
    pub(super) counted_as: Option<KeyId>,
    pub(super) metadata: Map<String, Value>,
}

impl Rare {
    pub(super) fn size(&self) -> usize {
        let Self { rotation_due_at: _, successor, counted_as, metadata } = self;
        size_of::<Self>() + successor.heap_size() + counted_as.heap_size() + metadata.heap_size()
    }
}
