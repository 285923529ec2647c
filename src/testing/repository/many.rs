//! Many keys at once, and keys that ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::super::conformance::{kept, moment};
use super::suite::{
    Suite, assert_conflict, assert_exists, changed, insert, remove, replace, tenant_of_its_own,
};
use crate::key::TenantId;
use crate::store::{EndedQuery, KeyChange, KeyRecord, KeyRepository, TenantFilter};

/// More than one statement may write at once.
const MANY: usize = 300;

/// Adds a change to some.
fn and(changes: &[KeyChange], last: KeyChange) -> Vec<KeyChange> {
    [changes, &[last]].concat()
}

fn rename(record: &mut KeyRecord) {
    record.set_name(format!("{}!", record.name()));
}

impl<R: KeyRepository + ?Sized> Suite<'_, R> {
    /// Each of many changes of one kind has the effect of a single one.
    pub(super) async fn many_changes_are_made_or_none(&self) {
        let records: Vec<KeyRecord> = (0..MANY).map(|_| self.full_record()).collect();
        let inserted: Vec<_> = records.iter().map(insert).collect();
        let twice = self.commit(&and(&inserted, inserted[0].clone())).await;
        assert_exists(twice, "one of many new records is there twice");
        self.assert_each(&records, false).await;
        self.committed(&inserted).await;
        self.assert_each(&records, true).await;

        let next: Vec<_> = records.iter().map(|record| changed(record, rename)).collect();
        let replaced: Vec<_> = next.iter().map(replace).collect();
        let again = self.commit(&and(&replaced, replaced[0].clone())).await;
        assert_conflict(again, "one of many records is replaced twice by the same revision");
        self.assert_each(&records, true).await;
        // A record that is replaced twice has its last revision.
        let last = changed(&next[0], rename);
        self.committed(&and(&replaced, replace(&last))).await;
        self.assert_each(&next[1..], true).await;
        self.assert_is(&last, "a change did not find what the one before it left").await;

        let mut removed: Vec<_> = next.iter().map(remove).collect();
        assert_conflict(self.commit(&removed).await, "one of many records is at a later revision");
        self.assert_each(&next[1..], true).await;
        removed[0] = remove(&last);
        let twice = self.commit(&and(&removed, removed[1].clone())).await;
        assert_conflict(twice, "one of many records is removed twice");
        self.committed(&removed).await;
        self.assert_each(&records, false).await;
    }

    /// Asserts that some of many records are as expected, or do not exist.
    async fn assert_each(&self, records: &[KeyRecord], is_there: bool) {
        for record in records.iter().step_by(50).chain(records.last()) {
            match is_there {
                true => self.assert_is(record, "one of many records is another").await,
                false => self.assert_is_gone(record, "one of many records is there").await,
            }
        }
    }

    /// Pages list each key that was revoked or else expired before a time once, and no other.
    pub(super) async fn keys_that_ended_are_found(&self) {
        let tenant = tenant_of_its_own();
        let at = |second: u64| moment(1_600_000_000 + second);
        let with = |change: &dyn Fn(&mut KeyRecord)| {
            let mut record = self.full_record();
            record.set_tenant(Some(tenant.clone()));
            record.set_expires_at(None);
            record.set_revoked_at(None);
            record.disabled = false;
            change(&mut record);
            kept(record, self.without)
        };
        let ended: Vec<KeyRecord> = vec![
            with(&|record| record.set_expires_at(Some(at(1)))),
            with(&|record| record.set_expires_at(Some(at(1)))),
            with(&|record| record.set_revoked_at(Some(at(2)))),
            with(&|record| {
                record.set_revoked_at(Some(at(2)));
                record.set_expires_at(Some(at(100)));
            }),
            with(&|record| {
                record.set_expires_at(Some(at(3)));
                record.set_disabled(true);
            }),
        ];
        let others: Vec<KeyRecord> = vec![
            with(&|_| {}),
            with(&|record| record.set_disabled(true)),
            with(&|record| record.set_expires_at(Some(at(10)))),
            with(&|record| record.set_revoked_at(Some(at(10)))),
            with(&|record| {
                record.set_revoked_at(Some(at(50)));
                record.set_expires_at(Some(at(1)));
            }),
        ];
        let mut foreign = with(&|record| record.set_expires_at(Some(at(1))));
        foreign.set_tenant(Some(tenant_of_its_own()));
        let all: Vec<_> = ended.iter().chain(&others).chain([&foreign]).map(insert).collect();
        self.committed(&all).await;
        // Changed records are found in their new place.
        let mended = with(&|record| record.set_expires_at(Some(at(1))));
        self.committed(&[insert(&mended)]).await;
        self.committed(&[replace(&changed(&mended, |record| record.set_expires_at(None)))]).await;
        let ids = |records: &[KeyRecord]| -> BTreeSet<_> {
            records.iter().map(|record| record.id.clone()).collect()
        };
        for limit in [1, 2, 100] {
            let found = self.ended(&tenant, at(10), limit, false).await;
            assert_eq!(found.len(), ended.len(), "a key that ended was found twice, or not");
            assert_eq!(ids(&found), ids(&ended), "other keys were found than those that ended");
        }
        assert!(self.ended(&tenant, at(1), 2, false).await.is_empty(), "a key ended too early");
        let removed = self.ended(&tenant, at(10), 2, true).await;
        assert_eq!(ids(&removed), ids(&ended), "a page was skipped when keys were removed");
        assert!(self.ended(&tenant, at(10), 2, false).await.is_empty(), "a removed key has ended");
    }

    /// Reads all pages, and optionally removes the keys.
    async fn ended(
        &self,
        tenant: &TenantId,
        before: SystemTime,
        limit: usize,
        removes: bool,
    ) -> Vec<KeyRecord> {
        let tenant = TenantFilter::Of(tenant.clone());
        let (mut query, mut found) =
            (EndedQuery::before(before).tenant(tenant).limit(limit), vec![]);
        loop {
            let page = self.repository.ended(&query).await;
            let page = page.unwrap_or_else(|error| panic!("the keys that ended: {error}"));
            assert!(page.keys.len() <= limit, "a page of keys that ended is too long");
            if removes {
                let changes: Vec<_> = page.keys.iter().cloned().map(KeyChange::Remove).collect();
                self.committed(&changes).await;
            }
            found.extend(page.keys.iter().map(|record: &Arc<KeyRecord>| KeyRecord::clone(record)));
            match page.next {
                Some(next) => query = query.after(next),
                None => return found,
            }
        }
    }
}
