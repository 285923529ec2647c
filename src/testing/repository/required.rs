//! Requirements, and unknown kinds of changes.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::future::{join, join_all};

use super::super::conformance::moment;
use super::suite::{
    Suite, WRITERS, assert_conflict, changed, insert, remove, replace, tenant_of_its_own,
};
use crate::store::{CommitError, KeyChange, KeyQuery, KeyRecord, KeyRepository};

pub(super) fn require(record: &KeyRecord) -> KeyChange {
    KeyChange::Require(Arc::new(record.clone()))
}

pub(super) async fn let_others_go_on() {
    let mut went_on = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut went_on, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl<R: KeyRepository + ?Sized> Suite<'_, R> {
    pub(super) async fn what_is_required_is_compared_and_not_changed(&self) {
        let owner = self.inserted().await;
        self.committed(&[require(&owner)]).await;
        let (new, other) = (self.full_record(), self.inserted().await);
        let renamed = changed(&other, |record| record.set_name("renamed".to_owned()));
        // Only the revision counts, whatever else the writer assumes of the record.
        let mut believed = owner.clone();
        believed.set_name("another");
        self.committed(&[require(&believed), insert(&new), replace(&renamed), require(&owner)])
            .await;
        self.assert_is(&owner, "a record was changed that was only required").await;
        self.assert_is(&new, "a change beside a requirement was not made").await;
        self.assert_is(&renamed, "a change beside a requirement was not made").await;
        self.committed(&[require(&owner), remove(&new)]).await;
        self.assert_is_gone(&new, "a removal beside a requirement was not made").await;
        let revised = changed(&owner, |record| record.set_name("revised".to_owned()));
        self.committed(&[replace(&revised)]).await;
        self.assert_is(&revised, "a change was not made after a requirement").await;
    }

    pub(super) async fn without_what_is_required_nothing_is_changed(&self) {
        let (inserted, other) = (self.inserted().await, self.inserted().await);
        let owner = changed(&inserted, |record| record.set_name("renamed".to_owned()));
        self.committed(&[replace(&owner)]).await;
        let gone = self.inserted().await;
        self.committed(&[remove(&gone)]).await;
        let later = KeyRecord { revision: owner.revision + 1, ..owner.clone() };
        let last = KeyRecord { revision: u64::MAX, ..owner.clone() };
        let digest = KeyRecord { digest: other.digest, revision: 0, ..owner.clone() };
        let unknown_digest = KeyRecord { digest: self.full_record().digest, ..owner.clone() };
        let id = KeyRecord { id: self.full_record().id, ..owner.clone() };
        for (required, what) in [
            (&inserted, "the record is at a later revision"),
            (&later, "the record is at an earlier revision"),
            (&last, "the record is not at the last revision"),
            (&gone, "the record was removed"),
            (&self.full_record(), "there was never such a record"),
            (&digest, "the digest is that of another record"),
            (&unknown_digest, "the digest is another"),
            (&id, "the id is another"),
        ] {
            let new = self.full_record();
            let renamed = changed(&other, |record| record.set_name("renamed".to_owned()));
            let [requirement, insertion] = [require(required), insert(&new)];
            let replacement = replace(&renamed);
            for changes in [
                &[requirement.clone(), insertion.clone()][..],
                &[insertion.clone(), requirement.clone()],
                &[requirement.clone(), replacement.clone()],
                &[insertion, replacement, require(&owner), requirement.clone()],
                &[requirement.clone(), remove(&other)],
                &[requirement],
            ] {
                assert_conflict(self.commit(changes).await, what);
            }
            self.assert_is_gone(&new, what).await;
            self.assert_is(&other, what).await;
        }
        self.assert_is(&owner, "a requirement that failed changed a record").await;
    }

    pub(super) async fn a_requirement_finds_what_the_changes_before_it_left(&self) {
        let old = self.inserted().await;
        let new = changed(&old, |record| record.set_name("renamed".to_owned()));
        let replacement = replace(&new);
        let outdated = [replacement.clone(), require(&old)];
        assert_conflict(self.commit(&outdated).await, "a requirement after the change");
        let early = [require(&new), replacement.clone()];
        assert_conflict(self.commit(&early).await, "a requirement before the change");
        self.assert_is(&old, "a commit that failed changed a record").await;
        self.committed(&[require(&old), replacement, require(&new)]).await;
        self.assert_is(&new, "a record that was also required was not changed").await;

        let inserted = self.full_record();
        self.committed(&[insert(&inserted), require(&inserted)]).await;
        self.assert_is(&inserted, "a record that was also required was not inserted").await;
        let removal = [remove(&inserted), require(&inserted)];
        assert_conflict(self.commit(&removal).await, "a requirement after the removal");
        self.committed(&[require(&inserted), remove(&inserted)]).await;
        self.assert_is_gone(&inserted, "a record that was also required was not removed").await;
    }

    /// Writers that require a key run until it is revoked, and block nobody.
    pub(super) async fn nothing_is_made_for_what_was_revoked(&self) {
        for _ in 0..5 {
            let tenant = tenant_of_its_own();
            let record = || KeyRecord { tenant: Some(tenant.clone()), ..self.full_record() };
            let owner = record();
            self.committed(&[insert(&owner)]).await;
            let made = AtomicUsize::new(0);
            let issuers = (0..WRITERS).map(|_| async {
                // Bounded, in case the requirement never fails.
                for _ in 0..10_000 {
                    match self.commit(&[require(&owner), insert(&record())]).await {
                        Ok(()) => drop(made.fetch_add(1, Ordering::SeqCst)),
                        Err(CommitError::Conflict) => return,
                        Err(error) => panic!("`commit` failed: {error}"),
                    }
                    // Otherwise, if all answers are immediate, no other writer would have a turn.
                    let_others_go_on().await;
                }
                panic!("a requirement never failed");
            });
            let query = KeyQuery::new().tenant(tenant.clone()).limit(1000);
            let revocation = async {
                while made.load(Ordering::SeqCst) < WRITERS {
                    let_others_go_on().await;
                }
                let revoked = |record: &mut KeyRecord| record.set_revoked_at(Some(moment(1)));
                // Up to the last revision: a requirement changes none.
                self.committed(&[replace(&changed(&owner, revoked))]).await;
                self.listed(&query).await
            };
            let (_, there) = join(join_all(issuers), revocation).await;
            let later = self.listed(&query).await;
            assert_eq!(later, there, "a key was made for one that was revoked before");
            assert_eq!(later.len(), 1 + made.into_inner(), "a key that was made is lost");
        }
    }

    pub(super) async fn a_kind_of_change_that_is_not_known_is_refused(&self) {
        let (old, new) = (self.inserted().await, self.full_record());
        let renamed = changed(&old, |record| record.set_name("renamed".to_owned()));
        for record in [&old, &new] {
            let unknown = KeyChange::Unknown(Arc::new(record.clone()));
            let replacement = replace(&renamed);
            for changes in [
                &[unknown.clone()][..],
                &[unknown.clone(), replacement.clone()],
                &[replacement, unknown.clone()],
                &[insert(&self.full_record()), unknown],
            ] {
                let result = self.commit(changes).await;
                let is_refused = matches!(result, Err(CommitError::Unsupported));
                assert!(is_refused, "an unknown kind of change: expected an error, got {result:?}");
            }
        }
        self.assert_is(&old, "a commit with an unknown kind of change was made in part").await;
        self.assert_is_gone(&new, "a commit with an unknown kind of change was made").await;
    }
}
