//! Suspended tenants.

use std::cell::Cell;
use std::slice;
use std::time::SystemTime;

use futures_util::future::{join, join_all};

use super::super::conformance::{full_record, moment};
use super::required::{let_others_go_on, require};
use super::suite::{
    Suite, WRITERS, assert_conflict, changed, insert, remove, replace, tenant_of_its_own,
};
use crate::key::TenantId;
use crate::store::{CommitError, KeyQuery, KeyRecord, KeyRepository, KeyState};

fn of_tenant(tenant: &TenantId) -> KeyRecord {
    KeyRecord { tenant: Some(tenant.clone()), ..full_record() }
}

#[track_caller]
fn assert_suspended(result: Result<(), CommitError>, what: &str) {
    match result {
        Err(CommitError::Suspended) => {}
        other => panic!("{what}: expected `Suspended`, got {other:?}"),
    }
}

impl<R: KeyRepository + ?Sized> Suite<'_, R> {
    /// Tells whether the repository can suspend tenants.
    pub(super) async fn can_suspend(&self) -> bool {
        let set = self.repository.set_suspended(&tenant_of_its_own(), None, &[]).await;
        match set {
            Ok(has_changed) => assert!(!has_changed, "a tenant was resumed that was not suspended"),
            Err(CommitError::Unsupported) => return false,
            Err(error) => panic!("`set_suspended` failed: {error}"),
        }
        true
    }

    async fn set_suspended(&self, tenant: &TenantId, since: Option<SystemTime>) -> bool {
        let set = self.repository.set_suspended(tenant, since, &[]).await;
        set.unwrap_or_else(|error| panic!("`set_suspended` failed: {error}"))
    }

    async fn ids_in(&self, tenant: &TenantId, state: Option<KeyState>) -> Vec<KeyRecord> {
        let query = KeyQuery { state, ..KeyQuery::new().tenant(tenant.clone()) };
        let page = self.repository.list(&query).await;
        let page = page.unwrap_or_else(|error| panic!("`list` failed: {error}"));
        page.keys.iter().map(|key| KeyRecord::clone(&key.record)).collect()
    }

    pub(super) async fn keys_of_a_suspended_tenant_are_found_as_such(&self) {
        let (tenant, other) = (tenant_of_its_own(), tenant_of_its_own());
        let [active, theirs] = [&tenant, &other].map(of_tenant);
        let disabled = KeyRecord { disabled: true, ..of_tenant(&tenant) };
        let nobodys = KeyRecord { tenant: None, ..full_record() };
        self.committed(&[&active, &disabled, &theirs, &nobodys].map(insert)).await;
        let since = moment(1_700_000_000);
        assert!(self.set_suspended(&tenant, Some(since)).await, "a tenant was not suspended");
        let again = self.set_suspended(&tenant, Some(moment(1_800_000_000))).await;
        assert!(!again, "a tenant was suspended twice");
        let all = self.repository.suspended().await;
        let all = all.unwrap_or_else(|error| panic!("`suspended` failed: {error}"));
        let listed: Vec<_> = all.iter().filter(|suspended| suspended.tenant == tenant).collect();
        assert!(
            listed.iter().map(|suspended| suspended.since).eq([since]),
            "a suspended tenant is not listed as such: {listed:?}"
        );
        assert!(all.is_sorted_by_key(|suspended| &suspended.tenant), "tenants are not in order");
        let [suspended, out_of_use] =
            [&active, &disabled].map(|record| KeyRecord { suspended: true, ..record.clone() });
        let what = "suspending a tenant is not seen, or changed something else";
        for record in [&suspended, &out_of_use, &theirs, &nobodys] {
            self.assert_is(record, what).await;
        }
        let digests = [active.digest, theirs.digest, nobodys.digest];
        let found = self.repository.find_many(&digests).await;
        let found = found.unwrap_or_else(|error| panic!("`find_many` failed: {error}"));
        let found: Vec<_> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, [Some(&suspended), Some(&theirs), Some(&nobodys)], "{what}");
        for (state, expected) in [
            (KeyState::Suspended, slice::from_ref(&suspended)),
            (KeyState::Active, &[]),
            (KeyState::Disabled, slice::from_ref(&out_of_use)),
        ] {
            assert_eq!(self.ids_in(&tenant, Some(state)).await, expected, "{state} keys");
        }
        assert_eq!(self.ids_in(&other, Some(KeyState::Active)).await, slice::from_ref(&theirs));
        assert_eq!(self.ids_in(&other, Some(KeyState::Suspended)).await, []);

        assert!(self.set_suspended(&tenant, None).await, "a tenant was not resumed");
        assert!(!self.set_suspended(&tenant, None).await, "a tenant was resumed twice");
        for record in [&active, &disabled, &theirs, &nobodys] {
            self.assert_is(record, "resuming a tenant is not seen, or changed something else")
                .await;
        }
        assert_eq!(self.ids_in(&tenant, Some(KeyState::Active)).await, [active]);
    }

    pub(super) async fn keys_of_a_suspended_tenant_can_only_be_taken_out_of_use(&self) {
        let tenant = tenant_of_its_own();
        let [mut active, removed] = [&tenant; 2].map(of_tenant);
        let disabled = KeyRecord { disabled: true, ..of_tenant(&tenant) };
        let other = full_record();
        self.committed(&[&active, &removed, &disabled, &other].map(insert)).await;
        self.set_suspended(&tenant, Some(moment(1_700_000_000))).await;
        let (new, renamed_other) =
            (of_tenant(&tenant), changed(&other, |record| record.set_name("renamed".to_owned())));
        let inserted = self.commit(&[replace(&renamed_other), insert(&new)]).await;
        assert_suspended(inserted, "a key was inserted for a suspended tenant");
        let rename = |record: &mut KeyRecord| record.set_name("renamed".to_owned());
        for (change, what) in [
            (replace(&changed(&active, rename)), "a key of a suspended tenant was changed"),
            (replace(&changed(&disabled, rename)), "a disabled key was changed"),
            (
                replace(&changed(&disabled, |record| record.disabled = false)),
                "a key of a suspended tenant was enabled",
            ),
            (require(&active), "a key of a suspended tenant is not what was required"),
        ] {
            assert_conflict(self.commit(&[change, replace(&renamed_other)]).await, what);
        }
        let both = [require(&other), require(&active), replace(&renamed_other)];
        assert_conflict(self.commit(&both).await, "one of two keys is not what was required");
        self.assert_is(&other, "a part of a commit was made").await;
        self.assert_is_gone(&new, "a key was inserted for a suspended tenant").await;
        // As a writer does that read the record before, and one that read it since.
        let out_of_use = changed(&active, |record| record.disabled = true);
        self.committed(&[replace(&out_of_use)]).await;
        active = KeyRecord { suspended: true, ..out_of_use };
        self.assert_is(&active, "a key of a suspended tenant was not disabled").await;
        for mut record in [active, disabled] {
            record = changed(&record, |record| record.set_revoked_at(Some(moment(1_750_000_000))));
            self.committed(&[replace(&record), remove(&record)]).await;
            self.assert_is_gone(&record, "a key of a suspended tenant was not removed").await;
        }
        self.committed(&[remove(&removed)]).await;
        self.set_suspended(&tenant, None).await;
        self.committed(&[insert(&new)]).await;
        self.assert_is(&new, "no key was inserted for a tenant that was resumed").await;
    }

    pub(super) async fn nothing_is_inserted_once_a_tenant_is_suspended(&self) {
        for _ in 0..8 {
            let tenant = tenant_of_its_own();
            let (inserted, is_suspended) = (Cell::new(0), Cell::new(false));
            let write = async || {
                loop {
                    let record = of_tenant(&tenant);
                    match self.commit(&[insert(&record)]).await {
                        Ok(()) => inserted.set(inserted.get() + 1),
                        Err(CommitError::Suspended) => return,
                        Err(error) => panic!("`commit` failed: {error}"),
                    }
                    // Otherwise repositories that never wait would not let others run.
                    let_others_go_on().await;
                }
            };
            let suspend = async {
                while inserted.get() < WRITERS {
                    let_others_go_on().await;
                }
                self.set_suspended(&tenant, Some(moment(1_700_000_000))).await;
                is_suspended.set(true);
                self.ids_in(&tenant, None).await.len()
            };
            let writers = join_all((0..WRITERS).map(|_| write()));
            let (there_were, _) = join(suspend, writers).await;
            let there_are = self.ids_in(&tenant, None).await.len();
            assert!(is_suspended.get());
            assert_eq!(there_are, there_were, "a key was inserted after its tenant was suspended");
        }
    }
}
