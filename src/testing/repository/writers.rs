//! Checks of writers that change the same record at once, or are dropped while they do.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};

use super::suite::{Suite, WRITERS, assert_conflict, changed, insert, replace};
use crate::key::KeyId;
use crate::store::{CommitError, KeyRecord, KeyRepository};
use crate::testing::conformance::moment;

async fn is_done_after_a_poll(future: &mut (impl Future + Unpin)) -> bool {
    poll_fn(|cx| Poll::Ready(future.poll_unpin(cx).is_ready())).await
}

impl<R: KeyRepository + ?Sized> Suite<'_, R> {
    pub(super) async fn of_two_writers_one_wins(&self) {
        let record = self.inserted().await;
        let renamed =
            |number| changed(&record, |record| record.set_name(format!("writer {number}")));
        let changes: Vec<_> = (0..WRITERS).map(renamed).collect();
        let tried = changes.iter().map(|change| async { self.commit(&[replace(change)]).await });
        let results = join_all(tried).await;
        let won: Vec<_> =
            changes.iter().zip(&results).filter(|(_, result)| result.is_ok()).collect();
        assert_eq!(won.len(), 1, "one of those who change the same revision wins");
        self.assert_is(won[0].0, "the change of another writer than the winner was made").await;
        for result in results.into_iter().filter(Result::is_err) {
            assert_conflict(result, "the others of those who change the same revision");
        }
    }

    pub(super) async fn no_revocation_is_lost(&self) {
        for _ in 0..5 {
            let record = self.inserted().await;
            let updates = (0..WRITERS).map(|number| {
                let id = &record.id;
                self.until_made(id, move |record| record.set_name(format!("update {number}")))
            });
            let revocation = self.until_made(&record.id, |record| {
                let revoked_at = record.revoked_at().unwrap_or_else(|| moment(1_700_000_000));
                record.set_revoked_at(Some(revoked_at));
            });
            join(join_all(updates), revocation).await;
            let key = self.get(&record.id).await.map(|key| key.record);
            let revoked_at = key.as_ref().and_then(|record| record.revoked_at());
            assert_eq!(revoked_at, Some(moment(1_700_000_000)), "a revocation was lost");
            let revision = key.map(|record| record.revision);
            assert_eq!(revision, Some(WRITERS as u64 + 1), "a change was lost");
        }
    }

    /// Changes a record, and retries until no other writer interferes.
    async fn until_made(&self, id: &KeyId, change: impl Fn(&mut KeyRecord)) {
        for _ in 0..100 * WRITERS {
            let Some(key) = self.get(id).await else { panic!("a key was lost") };
            match self.commit(&[replace(&changed(&key.record, &change))]).await {
                Ok(()) => return,
                Err(CommitError::Conflict) => {}
                Err(error) => panic!("`commit` failed: {error}"),
            }
        }
        panic!("a writer never had its turn");
    }

    pub(super) async fn a_dropped_commit_is_whole(&self) {
        for polls in 1..6 {
            let (old, new) = (self.inserted().await, self.full_record());
            let abilities = ["changed:too"].try_into().unwrap_or_default();
            let rotated = changed(&old, |record| record.abilities = abilities);
            let changes = [replace(&rotated), insert(&new)];
            let mut commit = Box::pin(self.commit(&changes));
            for _ in 0..polls {
                if is_done_after_a_poll(&mut commit).await {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            drop(commit);
            // It may still be running. Later changes of the same record come after it.
            self.until_made(&old.id, |record| record.set_name("after".to_owned())).await;
            let old = self.get(&old.id).await.map(|key| key.record);
            let was_rotated = old.is_some_and(|record| record.abilities == rotated.abilities);
            let was_inserted = self.get(&new.id).await.is_some();
            assert_eq!(was_rotated, was_inserted, "a dropped commit was made in part");
        }
    }
}
