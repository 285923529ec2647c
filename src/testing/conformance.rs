//! [`check_key_store`]: a conformance suite for [`KeyStore`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::immediate::Immediate;
use crate::key::{KeyDigest, KeyId, KeyScheme};
use crate::store::{KeyRecord, KeyStore, NewKey, RecordField};

/// Checks a store against the contract of [`KeyStore`]: a conformance suite for tests.
///
/// `insert` puts a record into the store, replacing one with the same id, and returns when the store
/// has acknowledged it. The store may hold other records; the suite uses ids of its own.
///
/// # Panics
///
/// Panics with a description of the fault.
///
/// # Examples
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::testing::check_key_store;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = MemoryStore::new();
/// check_key_store(&store, async |record| store.insert(record)).await;
/// # }
/// ```
pub async fn check_key_store<S>(store: &S, insert: impl AsyncFn(KeyRecord))
where
    S: KeyStore + ?Sized,
{
    check_key_store_without(store, &[], insert).await;
}

/// Checks a store over a table without columns for some fields, like [`check_key_store`].
///
/// The records of the suite leave these fields empty, and the store has to return them so.
///
/// # Panics
///
/// Panics with a description of the fault.
///
/// # Examples
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::store::RecordField;
/// use tower_api_key::testing::check_key_store_without;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = MemoryStore::new();
/// let insert = async |record| store.insert(record);
/// check_key_store_without(&store, &[RecordField::Metadata], insert).await;
/// # }
/// ```
pub async fn check_key_store_without<S>(
    store: &S,
    fields: &[RecordField],
    insert: impl AsyncFn(KeyRecord),
) where
    S: KeyStore + ?Sized,
{
    let suite = Suite { store, without: fields };
    let full = suite.full_record();
    suite.unknown_until_inserted(&full, &insert).await;
    suite.found_exactly(&full).await;
    suite.other_digests_are_unknown(&full).await;
    suite.two_keys_are_told_apart(&insert).await;
    suite.finding_changes_nothing(&full).await;
    suite.changes_are_seen_at_once(full, &insert).await;
    suite.finding_is_cancel_safe(&insert).await;
    suite.many_are_found_in_order(&insert).await;
}

struct Suite<'a, S: ?Sized> {
    store: &'a S,
    without: &'a [RecordField],
}

impl<S: KeyStore + ?Sized> Suite<'_, S> {
    fn full_record(&self) -> KeyRecord {
        kept(full_record(), self.without)
    }

    /// Asks in both ways, which must not contradict each other.
    async fn find(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let at_once = self.store.find_now(digest);
        let found = self.store.find(digest).await;
        let found = found.unwrap_or_else(|error| panic!("`find` failed: {error}"));
        if let Immediate::Answer(at_once) = at_once {
            assert_eq!(at_once, found, "`find_now` and `find` answer differently");
        }
        found
    }

    async fn unknown_until_inserted(&self, record: &KeyRecord, insert: &impl AsyncFn(KeyRecord)) {
        let found = self.find(&record.digest).await;
        assert_eq!(found, None, "a record was found before it was inserted");
        insert(record.clone()).await;
        let found = self.find(&record.digest).await;
        assert!(found.is_some(), "a record was not found right after it was inserted");
    }

    async fn found_exactly(&self, record: &KeyRecord) {
        let found = self.find(&record.digest).await;
        assert_eq!(found.as_deref(), Some(record), "a record was not returned as it was inserted");
    }

    async fn other_digests_are_unknown(&self, record: &KeyRecord) {
        for byte in 0..32 {
            for bit in 0..8 {
                let mut bytes = *record.digest.as_bytes();
                bytes[byte] ^= 1 << bit;
                let found = self.find(&KeyDigest::from_bytes(bytes)).await;
                assert_eq!(found, None, "a digest matched that differs in bit {bit} of {byte}");
            }
        }
        for bytes in [[0; 32], [0xff; 32]] {
            assert_eq!(self.find(&KeyDigest::from_bytes(bytes)).await, None);
        }
    }

    async fn two_keys_are_told_apart(&self, insert: &impl AsyncFn(KeyRecord)) {
        // The same name and hint, like two keys of one service; only id and digest differ.
        let (one, mut other) = (self.full_record(), self.full_record());
        other.hint.clone_from(&one.hint);
        insert(one.clone()).await;
        insert(other.clone()).await;
        for record in [&one, &other] {
            let found = self.find(&record.digest).await;
            assert_eq!(found.as_deref(), Some(record), "one key was returned for another");
        }
    }

    async fn many_are_found_in_order(&self, insert: &impl AsyncFn(KeyRecord)) {
        let (one, other) = (self.full_record(), self.full_record());
        insert(one.clone()).await;
        insert(other.clone()).await;
        let unknown = KeyDigest::from_bytes([0; 32]);
        for asked in [
            &[][..],
            &[unknown],
            &[one.digest, other.digest],
            &[other.digest, unknown, one.digest, other.digest],
        ] {
            let found = self.store.find_many(asked).await;
            let found = found.unwrap_or_else(|error| panic!("`find_many` failed: {error}"));
            let records: Vec<_> = found.iter().map(Option::as_deref).collect();
            let of = |digest| [&one, &other].into_iter().find(|record| record.digest == digest);
            let expected: Vec<_> = asked.iter().map(|digest| of(*digest)).collect();
            assert_eq!(records, expected, "`find_many` answers otherwise than `find`");
        }
    }

    async fn finding_changes_nothing(&self, record: &KeyRecord) {
        for _ in 0..3 {
            let found = self.find(&record.digest).await;
            assert_eq!(found.as_deref(), Some(record), "finding a record changed it");
        }
    }

    async fn changes_are_seen_at_once(
        &self,
        mut record: KeyRecord,
        insert: &impl AsyncFn(KeyRecord),
    ) {
        let changes: [fn(&mut KeyRecord); 7] = [
            |record| record.disabled = true,
            |record| record.set_limits(crate::key::RateLimits::default()),
            |record| record.set_counted_as(None),
            |record| record.change_restrictions(|own| own.addresses = Some([].into())),
            |record| record.abilities = crate::AbilitySet::default(),
            |record| record.set_expires_at(Some(moment(1_000_000_000))),
            |record| record.set_revoked_at(Some(moment(1_600_000_000))),
        ];
        for change in changes {
            change(&mut record);
            record = kept(record, self.without);
            record.revision += 1;
            insert(record.clone()).await;
            let found = self.find(&record.digest).await;
            assert_eq!(found.as_deref(), Some(&record), "a change was not seen at once");
        }
    }

    async fn finding_is_cancel_safe(&self, insert: &impl AsyncFn(KeyRecord)) {
        let record = self.full_record();
        insert(record.clone()).await;
        for _ in 0..3 {
            let asked = self.store.find(&record.digest);
            // Polled once, and dropped whether it is ready or not.
            let _ = futures_util::FutureExt::now_or_never(asked);
        }
        let found = self.find(&record.digest).await;
        assert_eq!(found.as_deref(), Some(&record), "a dropped `find` disturbed the next");
    }
}

pub(super) fn moment(seconds: u64) -> SystemTime {
    // Whole microseconds, which every database keeps.
    SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_000)
}

/// Returns what a table without columns for these fields keeps of a record.
pub(super) fn kept(mut record: KeyRecord, without: &[RecordField]) -> KeyRecord {
    without.iter().for_each(|field| field.clear(&mut record));
    record
}

/// Makes a record with every field set, with text that is hard to store.
pub(super) fn full_record() -> KeyRecord {
    let issued = NewKey::named("Ünïcode – 'quotes', \"more\" and 日本語")
        .tenant("tenant-1")
        .stage("prod")
        .kind(crate::KeyKind::Public)
        .abilities(["bots:*", "chat:send"])
        .expires_at(moment(4_000_000_000))
        .limit("10 per second")
        .limit("bulk: 5000 per 2 hours, burst 100, shared by tenant")
        .addresses(["192.0.2.0/24", "2001:db8::1"])
        .origins(["https://*.shop.example"])
        .referrers(["https://app.example/checkout/*"])
        .endpoints(["GET /v1/users/{id}", "/v1/reports/*"])
        .metadata("plan", "paid")
        .metadata("nested", serde_json::json!({ "list": [1, 2.5, null, true, "x"] }))
        .generate(&KeyScheme::default())
        .unwrap_or_else(|error| panic!("no record can be made: {error}"));
    let mut record = KeyRecord::clone(&issued.record);
    record.set_created_at(moment(1_500_000_000));
    record.set_rotation_due_at(Some(moment(1_900_000_000)));
    record.set_created_by(Some("Zo\u{eb} \u{201c}the\u{201d} admin".into()));
    record.set_successor(Some(record.id.clone()));
    record.set_counted_as(Some(KeyId::generate().unwrap_or_else(|error| panic!("{error}"))));
    record
}
