//! A record as it is written down: each part by its name.

use std::time::SystemTime;

use serde_json::{Map, Value};

#[cfg(feature = "serde")]
use super::timestamp;
use crate::key::{
    AbilitySet, KeyDigest, KeyId, KeyKind, RateLimits, Restrictions, Stage, TenantId,
};
use crate::store::{Actor, KeyHint};

#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "they are shown"))]
pub(super) struct KeyRecord {
    id: KeyId,
    digest: KeyDigest,
    #[cfg_attr(feature = "serde", serde(default))]
    hint: KeyHint,
    name: String,
    #[cfg_attr(feature = "serde", serde(default))]
    tenant: Option<TenantId>,
    #[cfg_attr(feature = "serde", serde(default))]
    created_by: Option<Actor>,
    #[cfg_attr(feature = "serde", serde(default))]
    stage: Option<Stage>,
    #[cfg_attr(feature = "serde", serde(default))]
    kind: KeyKind,
    #[cfg_attr(feature = "serde", serde(default))]
    abilities: AbilitySet,
    #[cfg_attr(feature = "serde", serde(with = "timestamp"))]
    created_at: SystemTime,
    #[cfg_attr(feature = "serde", serde(default, with = "timestamp::option"))]
    expires_at: Option<SystemTime>,
    #[cfg_attr(feature = "serde", serde(default, with = "timestamp::option"))]
    revoked_at: Option<SystemTime>,
    #[cfg_attr(feature = "serde", serde(default))]
    disabled: bool,
    #[cfg_attr(feature = "serde", serde(default, with = "timestamp::option"))]
    rotation_due_at: Option<SystemTime>,
    #[cfg_attr(feature = "serde", serde(default))]
    successor: Option<KeyId>,
    #[cfg_attr(feature = "serde", serde(default))]
    counted_as: Option<KeyId>,
    #[cfg_attr(feature = "serde", serde(default))]
    limits: RateLimits,
    #[cfg_attr(feature = "serde", serde(default))]
    restrictions: Restrictions,
    #[cfg_attr(feature = "serde", serde(default))]
    metadata: Map<String, Value>,
    #[cfg_attr(feature = "serde", serde(default))]
    revision: u64,
    #[cfg_attr(feature = "serde", serde(skip))]
    suspended: bool,
}

impl From<super::KeyRecord> for KeyRecord {
    fn from(record: super::KeyRecord) -> Self {
        Self {
            name: record.name().to_owned(),
            created_by: record.created_by().cloned(),
            stage: record.stage().cloned(),
            created_at: record.created_at(),
            expires_at: record.expires_at(),
            revoked_at: record.revoked_at(),
            rotation_due_at: record.rotation_due_at(),
            successor: record.successor().cloned(),
            counted_as: record.counted_as().cloned(),
            limits: record.limits().clone(),
            restrictions: record.restrictions().clone(),
            metadata: record.metadata().clone(),
            id: record.id,
            digest: record.digest,
            hint: record.hint,
            tenant: record.tenant,
            kind: record.kind,
            abilities: record.abilities,
            disabled: record.disabled,
            revision: record.revision,
            suspended: record.suspended,
        }
    }
}

#[cfg(feature = "serde")]
impl From<KeyRecord> for super::KeyRecord {
    fn from(parts: KeyRecord) -> Self {
        let mut record = Self::new(parts.id, parts.digest, parts.name, parts.created_at);
        record.hint = parts.hint;
        record.tenant = parts.tenant;
        record.set_created_by(parts.created_by);
        record.set_stage(parts.stage);
        record.kind = parts.kind;
        record.abilities = parts.abilities;
        record.set_expires_at(parts.expires_at);
        record.set_revoked_at(parts.revoked_at);
        record.disabled = parts.disabled;
        record.set_rotation_due_at(parts.rotation_due_at);
        record.set_successor(parts.successor);
        record.set_counted_as(parts.counted_as);
        record.set_limits(parts.limits);
        record.set_restrictions(parts.restrictions);
        record.set_metadata(parts.metadata);
        record.revision = parts.revision;
        record.suspended = parts.suspended;
        record
    }
}
