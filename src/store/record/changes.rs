//! The setters of [`KeyRecord`], for stores over other tables and for new revisions.

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::KeyRecord;
use crate::key::{
    AbilitySet, KeyDigest, KeyId, KeyKind, RateLimits, Restrictions, Stage, TenantId,
};
use crate::store::moment::Moment;
use crate::store::{Actor, KeyHint};

/// # Changes
///
/// Use these methods in stores over tables of other systems, and for new revisions in a
/// [`KeyChange`](crate::store::KeyChange).
impl KeyRecord {
    /// Sets the digest by which the record is found. A store does not change the digest of an inserted record.
    pub fn set_digest(&mut self, digest: KeyDigest) {
        self.digest = digest;
    }

    /// Sets the parts of the key by which people recognize it.
    pub fn set_hint(&mut self, hint: KeyHint) {
        self.hint = hint;
    }

    /// Sets the name of the key, which says what the key is for.
    pub fn set_name(&mut self, name: impl Into<String>) {
        self.name = (&*name.into()).into();
    }

    /// Sets the tenant on whose behalf the key acts. `None` means no tenant.
    pub fn set_tenant(&mut self, tenant: Option<TenantId>) {
        self.tenant = tenant;
    }

    /// Sets the actor that issued the key.
    pub fn set_created_by(&mut self, created_by: Option<Actor>) {
        self.change_terms(|terms| terms.created_by = created_by);
    }

    /// Sets the only stage in which the key works. With `None`, it works in all.
    pub fn set_stage(&mut self, stage: Option<Stage>) {
        self.change_terms(|terms| terms.stage = stage);
    }

    /// Sets the kind of the key: secret or public.
    pub fn set_kind(&mut self, kind: KeyKind) {
        self.kind = kind;
    }

    /// Sets the abilities of the key: what it may do.
    pub fn set_abilities(&mut self, abilities: AbilitySet) {
        self.abilities = abilities;
    }

    /// Sets when the key was issued.
    pub fn set_created_at(&mut self, created_at: SystemTime) {
        self.created_at = created_at.into();
    }

    /// Sets when the key expires. `None` means never.
    pub fn set_expires_at(&mut self, expires_at: Option<SystemTime>) {
        self.expires_at = expires_at.map(Moment::from);
    }

    /// Sets when the key was revoked. This is permanent: no store of this crate undoes it.
    pub fn set_revoked_at(&mut self, revoked_at: Option<SystemTime>) {
        self.revoked_at = revoked_at.map(Moment::from);
    }

    /// Sets whether the key is disabled.
    pub fn set_disabled(&mut self, disabled: bool) {
        self.disabled = disabled;
    }

    /// Sets the time from which the key should be replaced.
    pub fn set_rotation_due_at(&mut self, rotation_due_at: Option<SystemTime>) {
        self.change_rare(|rare| rare.rotation_due_at = rotation_due_at.map(Moment::from));
    }

    /// Sets the id of the key that replaces this one.
    pub fn set_successor(&mut self, successor: Option<KeyId>) {
        self.change_rare(|rare| rare.successor = successor);
    }

    /// Sets the id under which the limits count, if it is that of another key: the first of a chain of
    /// rotations.
    pub fn set_counted_as(&mut self, counted_as: Option<KeyId>) {
        self.change_rare(|rare| rare.counted_as = counted_as);
    }

    /// Sets the rate limits of the key.
    pub fn set_limits(&mut self, limits: RateLimits) {
        self.change_terms(|terms| terms.limits = limits);
    }

    /// Sets the restrictions of the key: addresses, sites, pages and endpoints.
    pub fn set_restrictions(&mut self, restrictions: Restrictions) {
        self.change_terms(|terms| terms.restrictions = restrictions);
    }

    /// Sets the metadata that the application stores with the key.
    pub fn set_metadata(&mut self, metadata: Map<String, Value>) {
        self.change_rare(|rare| rare.metadata = metadata);
    }

    /// Changes the restrictions of the key.
    pub(crate) fn change_restrictions(&mut self, change: impl FnOnce(&mut Restrictions)) {
        self.change_terms(|terms| change(&mut terms.restrictions));
    }

    /// Changes the metadata of the key.
    pub(crate) fn change_metadata(&mut self, change: impl FnOnce(&mut Map<String, Value>)) {
        self.change_rare(|rare| change(&mut rare.metadata));
    }

    /// Sets the number of changes of the record. The record of a
    /// [`KeyChange::Replace`](crate::store::KeyChange::Replace) has one more than the replaced one.
    pub fn set_revision(&mut self, revision: u64) {
        self.revision = revision;
    }

    /// Sets whether the tenant of the key is suspended. A store calls it for each record that it finds.
    pub fn set_suspended(&mut self, suspended: bool) {
        self.suspended = suspended;
    }
}
