//! Bounds on the keys of a tenant.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;

use super::super::conformance::{full_record, kept, moment};
use super::suite::{Suite, WRITERS, changed, insert, remove, replace, tenant_of_its_own};
use crate::key::TenantId;
use crate::store::{CommitError, KeyBound, KeyChange, KeyQuery, KeyRecord, KeyRepository};

impl<R: KeyRepository + ?Sized> Suite<'_, R> {
    pub(super) async fn those_keys_are_counted_that_work_or_may_work_again(&self) {
        let (tenant, now) = (tenant_of_its_own(), moment(1_600_000_000));
        let record = |change: fn(&mut KeyRecord, SystemTime)| {
            let mut record =
                KeyRecord { tenant: Some(tenant.clone()), expires_at: None, ..self.full_record() };
            change(&mut record, now);
            kept(record, self.without)
        };
        let soon = |record: &mut KeyRecord, now: SystemTime| {
            record.set_expires_at(Some(now + Duration::from_micros(1)));
        };
        let expired = record(|record, now| record.set_expires_at(Some(now)));
        let counted = [record(|_, _| {}), record(|record, _| record.disabled = true), record(soon)];
        let others = [
            expired.clone(),
            record(|record, now| record.set_revoked_at(Some(now))),
            record(|record, _| record.tenant = None),
            record(|record, _| record.tenant = Some(tenant_of_its_own())),
        ];
        for record in counted.iter().chain(&others) {
            self.committed(&[insert(record)]).await;
        }
        let bound = |at_most| bound(&tenant, at_most, now);
        for (at_most, is_kept) in [(0, false), (2, false), (3, true), (4, true), (u64::MAX, true)] {
            let result = self.commit(&[bound(at_most)]).await;
            assert_eq!(result.is_ok(), is_kept, "3 of {at_most} keys: {result:?}");
        }
        let lives_again = replace(&changed(&expired, |record| record.set_expires_at(None)));
        self.assert_full(&[lives_again.clone(), bound(3)], 3, "a key that lives again").await;
        let new = record(|_, _| {});
        self.assert_full(&[insert(&new), bound(3)], 3, "a new key").await;
        self.assert_is_gone(&new, "a key was inserted beyond the bound").await;
        self.assert_full(&[insert(&new), lives_again.clone(), bound(4)], 4, "both").await;
        let one_for_another = [remove(&counted[0]), insert(&new), bound(3)];
        self.committed(&one_for_another).await;
        self.committed(&[lives_again, bound(4)]).await;
        // Keys without a tenant are not counted.
        let nobodys = KeyRecord { tenant: None, ..self.full_record() };
        let bound = KeyChange::Bound(KeyBound::new(Arc::new(nobodys.clone()), 0, now));
        self.committed(&[insert(&nobodys), bound]).await;
    }

    pub(super) async fn those_who_insert_at_once_keep_to_the_bound(&self) {
        let (tenant, now) = (tenant_of_its_own(), moment(1_600_000_000));
        let most = WRITERS as u64 / 2;
        let insertion = async || {
            let record = KeyRecord { tenant: Some(tenant.clone()), ..self.full_record() };
            let changes = [insert(&record), bound(&tenant, most, now)];
            for _ in 0..1000 {
                match self.commit(&changes).await {
                    Ok(()) => return true,
                    Err(CommitError::Full(_)) => return false,
                    // Another writer interfered.
                    Err(CommitError::Conflict) => {}
                    Err(error) => panic!("an insertion within a bound failed: {error}"),
                }
            }
            panic!("a writer never had its turn");
        };
        let inserted = join_all((0..WRITERS).map(|_| insertion())).await;
        let inserted = inserted.into_iter().filter(|inserted| *inserted).count() as u64;
        assert_eq!(inserted, most, "writers at once do not keep to the bound");
        let listed = self.listed(&KeyQuery::new().tenant(tenant.clone())).await;
        assert_eq!(listed.len() as u64, most, "writers at once do not keep to the bound");
    }

    async fn assert_full(&self, changes: &[KeyChange], at_most: u64, what: &str) {
        match self.commit(changes).await {
            Err(CommitError::Full(said)) if said == at_most => {}
            other => panic!("{what}: expected {at_most} to be all, got {other:?}"),
        }
    }
}

fn bound(tenant: &TenantId, at_most: u64, now: SystemTime) -> KeyChange {
    let record = KeyRecord { tenant: Some(tenant.clone()), ..full_record() };
    KeyChange::Bound(KeyBound::new(Arc::new(record), at_most, now))
}
