//! Lists of keys, page by page.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::conformance::{full_record, kept, moment};
use super::suite::{Suite, insert, remove, tenant_of_its_own};
use crate::key::{KeyId, KeyKind, TenantId};
use crate::store::{
    Actor, AuditQuery, KeyCursor, KeyQuery, KeyRecord, KeyRepository, KeyState, StoredKey,
    TenantFilter,
};

impl<R: KeyRepository + ?Sized> Suite<'_, R> {
    /// Returns the ids of all pages.
    pub(super) async fn listed(&self, query: &KeyQuery) -> Vec<KeyId> {
        let (mut query, mut ids) = (query.clone(), Vec::new());
        loop {
            let page = self.repository.list(&query).await;
            let page = page.unwrap_or_else(|error| panic!("`list` failed: {error}"));
            assert!(page.keys.len() <= query.limit, "a page has more keys than it may");
            ids.extend(page.keys.iter().map(|key| key.record.id.clone()));
            let Some(next) = page.next else { return ids };
            let last = page.keys.last().map(|key| KeyCursor::of(&key.record));
            assert!(last.is_none_or(|last| next <= last), "a page goes on before its last key");
            assert!(
                query.after.as_ref().is_none_or(|before| next < *before),
                "a page goes on where it began"
            );
            query = query.after(next);
        }
    }

    pub(super) async fn pages_follow_one_another(&self) {
        let tenant = tenant_of_its_own();
        let mut records: Vec<_> = (0..7)
            .map(|number| {
                let mut record = self.full_record();
                record.set_tenant(Some(tenant.clone()));
                // Three pairs that differ only by their ids.
                record.set_created_at(moment(1_500_000_000 + number / 2));
                record
            })
            .collect();
        for record in &records {
            self.committed(&[insert(record)]).await;
        }
        records.sort_by(|one, other| {
            (other.created_at(), &other.id).cmp(&(one.created_at(), &one.id))
        });
        let expected: Vec<_> = records.iter().map(|record| record.id.clone()).collect();
        let query = KeyQuery::new().tenant(tenant.clone());
        for limit in [1, 2, 3, 7, 8, 1000] {
            let listed = self.listed(&query.clone().limit(limit)).await;
            assert_eq!(listed, expected, "the newest first, {limit} a page");
        }
        for (limit, length) in [(0, 1), (usize::MAX, expected.len())] {
            let page = self.repository.list(&KeyQuery { limit, ..query.clone() }).await;
            let page = page.unwrap_or_else(|error| panic!("`list` failed: {error}"));
            assert_eq!(page.keys.len(), length, "a page of {limit}");
            assert_eq!(page.next.is_some(), length < expected.len(), "a page of {limit}");
        }
        let page = self.repository.list(&query.clone().limit(3)).await;
        let page = page.unwrap_or_else(|error| panic!("`list` failed: {error}"));
        // Insertions and removals before the cursor, and of the key of the cursor, have no effect.
        self.committed(&[remove(&records[2])]).await;
        let mut newer = self.full_record();
        newer.set_tenant(Some(tenant.clone()));
        newer.set_created_at(moment(1_500_000_100));
        self.committed(&[insert(&newer)]).await;
        let rest = self.listed(&query.after(page.next)).await;
        assert_eq!(rest, expected[3..], "a cursor lost its place");
    }

    pub(super) async fn lists_are_filtered(&self) {
        let (tenant, now) = (tenant_of_its_own(), moment(1_600_000_000));
        let earlier = now - Duration::from_secs(1);
        let record = |change: fn(&mut KeyRecord)| {
            let mut record = self.full_record();
            record.set_tenant(Some(tenant.clone()));
            record.set_expires_at(None);
            record.set_rotation_due_at(None);
            change(&mut record);
            kept(record, self.without)
        };
        let active = record(|_| {});
        let disabled = record(|record| record.disabled = true);
        let expired = record(|record| record.set_expires_at(Some(moment(1_600_000_000))));
        let revoked = record(|record| {
            record.set_revoked_at(Some(moment(1_550_000_000)));
            record.disabled = true;
            record.set_expires_at(Some(moment(1_550_000_000)));
        });
        let due = record(|record| record.set_rotation_due_at(Some(moment(1_600_000_000))));
        let nobodys = KeyRecord { tenant: None, ..active.clone() };
        let nobodys =
            KeyRecord { id: self.full_record().id, digest: self.full_record().digest, ..nobodys };
        for record in [&active, &disabled, &expired, &revoked, &due, &nobodys] {
            self.committed(&[insert(record)]).await;
        }

        let query = KeyQuery { at: now, ..KeyQuery::new().tenant(tenant.clone()) };
        let all = [&active, &disabled, &expired, &revoked, &due];
        self.assert_lists(&query, &all, "the keys of a tenant").await;
        let of_state = |state, at| KeyQuery { at, ..query.clone().state(state) };
        for (query, expected) in [
            (of_state(KeyState::Active, now), &[&active, &due][..]),
            (of_state(KeyState::Active, earlier), &[&active, &due, &expired]),
            (of_state(KeyState::Disabled, now), &[&disabled]),
            (of_state(KeyState::Expired, now), &[&expired]),
            (of_state(KeyState::Expired, earlier), &[]),
            (of_state(KeyState::Revoked, now), &[&revoked]),
            (query.clone().rotation_due_by(now), &[&due]),
            (query.clone().rotation_due_by(earlier), &[]),
            (query.clone().unused_since(now), &all),
            (query.clone().unused_since(active.created_at()), &[]),
            (query.clone().unused_since(now).state(KeyState::Active).rotation_due_by(now), &[&due]),
        ] {
            // A field that is not stored cannot be a filter.
            let matching = |record: &&&KeyRecord| {
                query.matches(&StoredKey::new(Arc::new((**record).clone()), None))
            };
            let matching: Vec<_> = all.iter().filter(matching).copied().collect();
            let expected = if self.without.is_empty() { expected } else { &matching };
            self.assert_lists(&query, expected, "what a query matches").await;
        }

        let tenantless = KeyQuery { tenant: TenantFilter::Nobody, ..query.clone() };
        let listed = self.listed(&tenantless).await;
        assert!(listed.contains(&nobodys.id) && !listed.contains(&active.id));
        let listed = self.listed(&KeyQuery { tenant: TenantFilter::Any, ..query }).await;
        assert!(listed.contains(&nobodys.id) && listed.contains(&active.id));
    }

    pub(super) async fn every_filter_lists_what_the_query_matches(&self) {
        let (tenant, now) = (tenant_of_its_own(), moment(1_600_000_000));
        let records = varied_records(&tenant, now);
        let records: Vec<_> =
            records.into_iter().map(|record| kept(record, self.without)).collect();
        for record in &records {
            self.committed(&[insert(record)]).await;
        }
        let query = KeyQuery { at: now, ..KeyQuery::new().tenant(tenant) };
        let filters: [&dyn Fn(KeyQuery) -> KeyQuery; 16] = [
            &|query| query,
            &|query| query.state(KeyState::Active),
            &|query| query.state(KeyState::Disabled),
            &|query| query.state(KeyState::Expired),
            &|query| query.state(KeyState::Revoked),
            &|query| query.name("IMPORT"),
            &|query| query.name("\u{c9}t\u{e9} %_\\"),
            &|query| query.name("a\0b"),
            &|query| query.stage("live"),
            &|query| query.kind(KeyKind::Public),
            &|query| query.kind(KeyKind::Secret),
            &|query| query.created_by("alice@acme.example"),
            &|query| query.created_by(Actor::System),
            &|query| query.rotation_due_by(now),
            &|query| query.unused_since(now),
            &|query| query.unused_since(moment(1_500_000_005)),
        ];
        for one in filters {
            for other in filters {
                let query = other(one(query.clone()));
                let matches = |record: &&KeyRecord| {
                    query.matches(&StoredKey::new(Arc::new((*record).clone()), None))
                };
                let expected: Vec<_> = records.iter().filter(matches).collect();
                self.assert_lists(&query, &expected, "what a query matches").await;
            }
        }
    }

    pub(super) async fn a_query_that_is_not_valid_lists_nothing(&self) {
        let record = self.full_record();
        self.committed(&[insert(&record)]).await;
        let valid = || KeyQuery::new().limit(1000);
        for query in [valid().tenant("not a tenant"), valid().stage("not a stage")] {
            let listed = self.repository.list(&query).await;
            assert!(listed.is_err(), "keys were listed by a query that is not valid");
        }
        for query in [AuditQuery::new().tenant("not a tenant"), AuditQuery::new().key("no key")] {
            let read = self.repository.audit_log(&query).await;
            assert!(!matches!(read, Ok(Some(_))), "events were read by a query that is not valid");
        }
    }

    pub(super) async fn a_list_goes_on_where_a_page_has_visited_enough(&self) {
        let tenant = tenant_of_its_own();
        let records: Vec<_> = (0..9)
            .map(|number| {
                let mut record = self.full_record();
                record.set_tenant(Some(tenant.clone()));
                record.set_created_at(moment(1_500_000_000 + number));
                record.set_name(if number % 4 == 0 { "needle" } else { "hay" });
                record
            })
            .collect();
        for record in &records {
            self.committed(&[insert(record)]).await;
        }
        let expected = [8, 4, 0].map(|number: usize| records[number].id.clone());
        let query = KeyQuery::new().tenant(tenant).name("needle");
        for visited in [0, 1, 2, 3, 8, 9, 10, usize::MAX] {
            for limit in [1, 2, 100] {
                let query = query.clone().limit(limit).max_visited(visited);
                assert_eq!(
                    self.listed(&query).await,
                    expected,
                    "{limit} a page, {visited} visited"
                );
            }
        }
        let all = KeyQuery { name: None, ..query }.max_visited(2);
        assert_eq!(self.listed(&all).await.len(), records.len(), "2 visited");
    }

    pub(super) async fn assert_lists(&self, query: &KeyQuery, expected: &[&KeyRecord], what: &str) {
        let expected: BTreeSet<_> = expected.iter().map(|record| &record.id).collect();
        // In small pages, to test filters and pages together.
        for limit in [2, 100] {
            let listed = self.listed(&query.clone().limit(limit)).await;
            assert_eq!(listed.iter().collect::<BTreeSet<_>>(), expected, "{what}: {query:?}");
            assert_eq!(listed.len(), expected.len(), "a key was listed twice");
        }
    }
}

/// Makes records of a tenant that differ in the fields of filters.
fn varied_records(tenant: &TenantId, now: SystemTime) -> Vec<KeyRecord> {
    let changes: [fn(&mut KeyRecord, SystemTime); 11] = [
        |_, _| {},
        |record, _| record.disabled = true,
        |record, now| record.set_expires_at(Some(now)),
        |record, now| record.set_expires_at(Some(now + Duration::from_micros(1))),
        |record, now| record.set_revoked_at(Some(now)),
        |record, now| {
            record.disabled = true;
            record.set_expires_at(Some(now));
        },
        |record, _| record.set_name("Nightly import".to_owned()),
        |record, _| record.set_name("\u{c9}t\u{e9} %_\\ \u{fb01}n".to_owned()),
        |record, _| record.kind = KeyKind::Public,
        |record, now| record.set_rotation_due_at(Some(now)),
        |record, now| record.set_rotation_due_at(Some(now + Duration::from_micros(1))),
    ];
    let stages = ["live", "test"].map(|stage| stage.parse().ok());
    let actors = [None, Some(Actor::System), Some(Actor::from("alice@acme.example"))];
    let numbered = changes.iter().enumerate();
    let record = |(number, change): (usize, &fn(&mut KeyRecord, SystemTime))| {
        let mut record = full_record();
        record.set_tenant(Some(tenant.clone()));
        record.set_created_at(moment(1_500_000_000 + number as u64));
        record.kind = KeyKind::Secret;
        record.set_stage(stages[number % 2].clone());
        record.set_created_by(actors[number % 3].clone());
        record.set_expires_at(None);
        record.set_rotation_due_at(None);
        change(&mut record, now);
        record
    };
    numbered.map(record).collect()
}
