//! The last uses of keys.

use std::time::SystemTime;

use super::super::conformance::moment;
use super::suite::{Suite, changed, insert, remove, replace, tenant_of_its_own};
use crate::key::KeyId;
use crate::store::{KeyQuery, KeyRecord, KeyRepository, KeyUse, RecordUses};

impl<R: KeyRepository + RecordUses + ?Sized> Suite<'_, R> {
    async fn record_uses(&self, uses: &[KeyUse]) {
        let result = self.repository.record_uses(uses).await;
        result.unwrap_or_else(|error| panic!("`record_uses` failed: {error}"));
    }

    async fn last_used_at(&self, id: &KeyId) -> Option<SystemTime> {
        self.get(id).await.and_then(|key| key.last_used_at)
    }

    pub(super) async fn uses_only_go_forward(&self) {
        let (one, other) = (self.inserted().await, self.inserted().await);
        let used = |record: &KeyRecord, second| KeyUse::new(record.id.clone(), moment(second));
        let unknown = self.full_record();
        self.record_uses(&[]).await;
        self.record_uses(&[used(&one, 100), used(&unknown, 100), used(&other, 300)]).await;
        assert_eq!(self.last_used_at(&one.id).await, Some(moment(100)));
        self.record_uses(&[used(&one, 200), used(&other, 200)]).await;
        assert_eq!(self.last_used_at(&one.id).await, Some(moment(200)), "a use was not noted");
        assert_eq!(self.last_used_at(&other.id).await, Some(moment(300)), "a use went backward");
        self.record_uses(&[used(&one, 500), used(&one, 400)]).await;
        assert_eq!(self.last_used_at(&one.id).await, Some(moment(500)), "the later use counts");
        self.assert_is_gone(&unknown, "a use made a key").await;
        self.committed(&[insert(&unknown)]).await;
        assert_eq!(self.last_used_at(&unknown.id).await, None, "a use was noted before the key");
    }

    pub(super) async fn a_use_changes_no_record(&self) {
        let record = self.inserted().await;
        self.record_uses(&[KeyUse::new(record.id.clone(), moment(100))]).await;
        self.assert_is(&record, "a use changed a record").await;
        let revoked = changed(&record, |record| record.set_revoked_at(Some(moment(50))));
        self.committed(&[replace(&revoked)]).await;
        self.record_uses(&[KeyUse::new(record.id.clone(), moment(200))]).await;
        self.assert_is(&revoked, "a use took back a revocation").await;
        assert_eq!(self.last_used_at(&record.id).await, Some(moment(200)));
        let renamed = changed(&revoked, |record| record.set_name("renamed".to_owned()));
        self.committed(&[replace(&renamed)]).await;
        assert_eq!(self.last_used_at(&record.id).await, Some(moment(200)), "a use was forgotten");
    }

    pub(super) async fn a_removed_key_leaves_no_uses(&self) {
        let record = self.inserted().await;
        self.record_uses(&[KeyUse::new(record.id.clone(), moment(1_600_000_000))]).await;
        self.committed(&[remove(&record)]).await;
        self.committed(&[insert(&record)]).await;
        assert_eq!(self.last_used_at(&record.id).await, None, "a removed key left a use");
    }

    pub(super) async fn lists_are_filtered_by_uses(&self) {
        let tenant = tenant_of_its_own();
        let record = || KeyRecord { tenant: Some(tenant.clone()), ..self.full_record() };
        let (used, unused) = (record(), record());
        self.committed(&[insert(&used), insert(&unused)]).await;
        let (now, later) = (moment(1_600_000_000), moment(1_600_000_001));
        self.record_uses(&[KeyUse::new(used.id.clone(), now)]).await;
        let query = KeyQuery { at: now, ..KeyQuery::new().tenant(tenant.clone()) };
        let unused_since = |time| query.clone().unused_since(time);
        self.assert_lists(&unused_since(now), &[&unused], "keys that were not used").await;
        self.assert_lists(&unused_since(later), &[&used, &unused], "keys not used since").await;
        self.assert_lists(&unused_since(used.created_at()), &[], "keys that are too new").await;
    }
}
