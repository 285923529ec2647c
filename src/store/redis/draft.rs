//! [`Draft`]: the result of changes, before they are made.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::decode::decode;
use crate::key::{KeyDigest, KeyId, TenantId};
use crate::store::{CommitError, KeyBound, KeyChange, KeyRecord, StoreError};

/// The records and ids that changes touch, before and after.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) records: HashMap<KeyDigest, Kept>,
    pub(super) ids: HashMap<KeyId, Named>,
    /// The tenants whose keys were counted before.
    pub(super) counted: HashMap<TenantId, Counted>,
    /// The tenants that must not be suspended, each with the error if it is.
    pub(super) needed: BTreeMap<TenantId, CommitError>,
}

/// The record of a digest, before and after.
#[derive(Default)]
pub(super) struct Kept {
    /// The record before, byte for byte; empty if there is none.
    pub(super) json: Vec<u8>,
    pub(super) before: Option<Arc<KeyRecord>>,
    pub(super) after: Option<Arc<KeyRecord>>,
    /// Whether it is written, or only compared.
    pub(super) is_changed: bool,
}

/// The digest of an id, before and after.
#[derive(Default)]
pub(super) struct Named {
    pub(super) before: Option<KeyDigest>,
    pub(super) after: Option<KeyDigest>,
}

/// The counted keys of a tenant, and how to detect that they have changed.
pub(super) struct Counted {
    pub(super) keys: u64,
    /// The revision of the tenant before anything was counted; empty if it has none.
    pub(super) revision: String,
    /// The number of places in its index.
    pub(super) places: u64,
}

impl Kept {
    pub(super) fn read(
        json: Option<Vec<u8>>,
        digest: &KeyDigest,
        is_suspended: bool,
    ) -> Result<Self, StoreError> {
        let Some(json) = json else { return Ok(Self::default()) };
        let record = Arc::new(decode(&json, digest, is_suspended)?);
        Ok(Self { json, before: Some(Arc::clone(&record)), after: Some(record), is_changed: false })
    }

    /// Returns the tenants whose key it was and is.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        let records = self.before.iter().chain(&self.after);
        records.filter_map(|record| record.tenant.as_ref())
    }

    /// Writes the new record, or nothing if it was removed. Unknown fields of the old record stay, because
    /// nodes of a newer version, which work at the same time, need them.
    pub(super) fn write(&self) -> Result<Vec<u8>, StoreError> {
        let Some(after) = &self.after else { return Ok(Vec::new()) };
        let fields: Map<String, Value> = match &self.before {
            Some(before) if before.id == after.id => serde_json::from_slice(&self.json),
            _ => Ok(Map::new()),
        }
        .map_err(StoreError::answered)?;
        let known = serde_json::to_value(after).map_err(StoreError::answered)?;
        let Value::Object(known) = known else {
            return Err(StoreError::answered("a record is no object"));
        };
        serde_json::to_vec(&fields.into_iter().chain(known).collect::<Map<_, _>>())
            .map_err(StoreError::answered)
    }
}

impl Draft {
    /// Adds a change, if it is allowed after those before it.
    pub(super) fn make(&mut self, change: &KeyChange) -> Result<(), CommitError> {
        if let KeyChange::Bound(bound) = change {
            return self.check(bound);
        }
        let record = change.record();
        let of_digest = self.records.get(&record.digest).and_then(|kept| kept.after.as_deref());
        let has_id = self.ids.get(&record.id).is_some_and(|named| named.after.is_some());
        // Not looked up in the index of ids, which may be lost.
        let same = of_digest.filter(|of_digest| of_digest.id == record.id);
        change.check(same, has_id || of_digest.is_some())?;
        for (tenant, refusal) in change.needed_tenants(same) {
            self.needed.entry(tenant.clone()).or_insert(refusal);
        }
        if !change.is_requirement() {
            self.set(record, change.after());
        }
        Ok(())
    }

    fn check(&self, bound: &KeyBound) -> Result<(), CommitError> {
        let tenant = bound.record.tenant.as_ref();
        let Some(counted) = tenant.and_then(|tenant| self.counted.get(tenant)) else {
            return Ok(());
        };
        let number = |record: fn(&Kept) -> Option<&Arc<KeyRecord>>| {
            let changed = self.records.values().filter(|kept| kept.is_changed);
            changed.filter_map(record).filter(|record| bound.counts(record)).count() as u64
        };
        let (before, after) =
            (number(|kept| kept.before.as_ref()), number(|kept| kept.after.as_ref()));
        match (counted.keys + after).saturating_sub(before) <= bound.at_most {
            true => Ok(()),
            false => Err(CommitError::Full(bound.at_most)),
        }
    }

    /// Returns the error of a suspended tenant, by its number, which is less than 0.
    pub(super) fn refusal(&self, number: i64) -> CommitError {
        let index = usize::try_from(-number).ok().and_then(|number| number.checked_sub(1));
        match index.and_then(|index| self.needed.values().nth(index)) {
            Some(CommitError::Suspended) => CommitError::Suspended,
            _ => CommitError::Conflict,
        }
    }

    fn set(&mut self, of: &KeyRecord, record: Option<&Arc<KeyRecord>>) {
        let kept = self.records.entry(of.digest).or_default();
        (kept.after, kept.is_changed) = (record.cloned(), true);
        self.ids.entry(of.id.clone()).or_default().after = record.map(|record| record.digest);
    }
}
