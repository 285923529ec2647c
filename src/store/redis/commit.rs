//! Changes: decided here, and made by a script if nothing was changed in between.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use futures_util::future::try_join;

use super::RedisStore;
use super::draft::{Counted, Draft, Kept, Named};
use super::list::place;
use super::read::Use;
use crate::key::{KeyDigest, KeyId, TenantId};
use crate::redis::Script;
use crate::store::{
    CommitError, EndPlace, KeyChange, KeyCursor, KeyRecord, StoreError, TenantFilter,
};

/// How often changes are decided again because others were faster. That rarely happens twice: if another
/// writer changed the same record, the next decision differs.
const ATTEMPTS: usize = 5;

/// How often if keys are counted: a change of any key of the tenant in between makes it fail.
const ATTEMPTS_TO_COUNT: usize = 50;

static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));

/// The outcome of a draft.
enum Written {
    All,
    NothingSinceChanged,
    NothingSince(CommitError),
}

impl RedisStore {
    pub(super) async fn make(&self, changes: &[KeyChange]) -> Result<(), CommitError> {
        if changes.is_empty() {
            return Ok(());
        }
        let counts = changes.iter().any(|change| matches!(change, KeyChange::Bound(_)));
        // One at a time on this node: concurrent counts would only make each other fail.
        let _turn = if counts { Some(self.counting.lock().await) } else { None };
        for _ in 0..if counts { ATTEMPTS_TO_COUNT } else { ATTEMPTS } {
            let mut draft = self.draft(changes).await?;
            changes.iter().try_for_each(|change| draft.make(change))?;
            match self.write(&draft).await? {
                Written::All => return Ok(()),
                Written::NothingSinceChanged => {}
                Written::NothingSince(refusal) => return Err(refusal),
            }
        }
        Err(CommitError::Conflict)
    }

    /// Reads what the changes touch.
    async fn draft(&self, changes: &[KeyChange]) -> Result<Draft, StoreError> {
        // First, so that later changes are noticed.
        let counted = self.counted(changes).await?;
        let bound = |change: &&KeyChange| matches!(change, KeyChange::Bound(_));
        let digests = changes.iter().filter(|change| !bound(change));
        let digests: HashSet<KeyDigest> = digests.map(|change| change.record().digest).collect();
        // What is only compared stays where it is in the indices.
        let named = changes.iter().filter(|change| !change.is_requirement());
        let ids: HashSet<KeyId> = named.map(|change| change.record().id.clone()).collect();
        let (digests, ids) = (Vec::from_iter(digests), Vec::from_iter(ids));
        let kept = self.kept(&digests, Use::Compared);
        let (kept, named) = try_join(kept, self.digests(&ids, Use::Compared)).await?;
        let named = named.into_iter().map(|digest| Named { before: digest, after: digest });
        Ok(Draft {
            records: digests.into_iter().zip(kept).collect(),
            ids: ids.into_iter().zip(named).collect(),
            counted,
            needed: BTreeMap::new(),
        })
    }

    /// Counts the keys of the tenants that are bounded.
    async fn counted(
        &self,
        changes: &[KeyChange],
    ) -> Result<HashMap<TenantId, Counted>, StoreError> {
        let mut counted = HashMap::new();
        for change in changes {
            if let KeyChange::Bound(bound) = change
                && let Some(tenant) = &bound.record.tenant
            {
                counted.insert(tenant.clone(), self.count(tenant, bound).await?);
            }
        }
        Ok(counted)
    }

    /// Makes what the draft comes to, if everything is as it was for the draft.
    async fn write(&self, draft: &Draft) -> Result<Written, StoreError> {
        let (changed, compared): (Vec<_>, Vec<_>) =
            draft.records.iter().partition(|(_, kept)| kept.is_changed);
        let mut places: Vec<_> = changed.iter().flat_map(|(_, kept)| self.places(kept)).collect();
        // One record may leave the place that another takes.
        places.sort_by_key(|(_, _, taken)| *taken);
        let mut script = COMMIT.call();
        let tenants: BTreeSet<_> = changed.iter().flat_map(|(_, kept)| kept.tenants()).collect();
        script.key(self.ids()).key(self.uses()).key(self.revisions());
        script.key(self.suspended_tenants()).arg(self.channel());
        script.arg(changed.len()).arg(compared.len()).arg(draft.ids.len()).arg(places.len());
        script.arg(tenants.len()).arg(draft.counted.len()).arg(draft.needed.len());
        for (digest, kept) in changed {
            script.key(self.record(digest)).arg(digest.to_string());
            script.arg(&kept.json).arg(kept.write()?);
        }
        for (digest, kept) in compared {
            script.key(self.record(digest)).arg(&kept.json);
        }
        for (id, Named { before, after }) in &draft.ids {
            let text = |digest: &Option<KeyDigest>| {
                digest.map_or_else(String::new, |digest| digest.to_string())
            };
            script.arg(id.as_str()).arg(text(before)).arg(text(after));
        }
        for (index, place, taken) in places {
            script.key(index).arg(place).arg(u8::from(taken));
        }
        for tenant in tenants {
            script.key(self.index(&TenantFilter::Of(tenant.clone()))).arg(tenant.as_str());
        }
        for (tenant, Counted { revision, places, .. }) in &draft.counted {
            script.key(self.index(&TenantFilter::Of(tenant.clone())));
            script.arg(tenant.as_str()).arg(revision).arg(places);
        }
        for tenant in draft.needed.keys() {
            script.arg(tenant.as_str());
        }
        // Not repeated: perhaps only the answer was lost.
        let written: i64 =
            script.run(&mut self.management.clone()).await.map_err(StoreError::new)?;
        Ok(match written {
            1 => Written::All,
            0 => Written::NothingSinceChanged,
            // Which tenant is suspended.
            number => Written::NothingSince(draft.refusal(number)),
        })
    }

    /// Returns which places in which indices are left or taken.
    fn places(&self, kept: &Kept) -> impl Iterator<Item = (String, String, bool)> {
        let of = |record: &Arc<KeyRecord>, taken| {
            let place = place(&KeyCursor::of(record));
            let listed = [TenantFilter::Any, record.tenant.clone().into()]
                .map(|tenant| (self.index(&tenant), place.clone(), taken));
            let ends = EndPlace::of(record).map(|place| (self.ends(), place.to_string(), taken));
            listed.into_iter().chain(ends)
        };
        let left = kept.before.iter().flat_map(move |record| of(record, false));
        left.chain(kept.after.iter().flat_map(move |record| of(record, true)))
    }
}
