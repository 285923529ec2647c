//! Changes: decided on here, and made by a script if nothing was changed in between.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};

use futures_util::future::try_join;

use super::RedisStore;
use super::draft::{Draft, Kept, Named};
use super::list::place;
use super::read::Use;
use crate::key::{KeyDigest, KeyId};
use crate::redis::Script;
use crate::store::{CommitError, KeyChange, KeyCursor, KeyRecord, StoreError, TenantFilter};

/// How often changes are decided on anew because others were faster. They hardly are twice:
/// whoever changed the same record has won, and so the next decision is another.
const ATTEMPTS: usize = 5;

static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));

/// What became of a draft.
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
        for _ in 0..ATTEMPTS {
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
        let digests: HashSet<KeyDigest> =
            changes.iter().map(|change| change.record().digest).collect();
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
            tenants: BTreeMap::new(),
        })
    }

    /// Makes what the draft comes to, if everything is as it was for the draft.
    async fn write(&self, draft: &Draft) -> Result<Written, StoreError> {
        let (changed, compared): (Vec<_>, Vec<_>) =
            draft.records.iter().partition(|(_, kept)| kept.is_changed);
        let mut places: Vec<_> = changed.iter().flat_map(|(_, kept)| self.places(kept)).collect();
        // One record may leave the place that another takes.
        places.sort_by_key(|(_, _, taken)| *taken);
        let mut script = COMMIT.call();
        script.key(self.ids()).key(self.uses()).key(self.suspended_tenants()).arg(self.channel());
        script.arg(changed.len()).arg(compared.len()).arg(draft.ids.len()).arg(places.len());
        script.arg(draft.tenants.len());
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
        for tenant in draft.tenants.keys() {
            script.arg(tenant.as_str());
        }
        // Not repeated: the answer may be what was lost.
        let written: i64 =
            script.run(&mut self.connection.clone()).await.map_err(StoreError::new)?;
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
            [TenantFilter::Any, record.tenant.clone().into()]
                .map(|tenant| (self.index(&tenant), place.clone(), taken))
        };
        let left = kept.before.iter().flat_map(move |record| of(record, false));
        left.chain(kept.after.iter().flat_map(move |record| of(record, true)))
    }
}
