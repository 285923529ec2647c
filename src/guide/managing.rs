//! Managing keys: issue, change, rotate, suspend and revoke them, and see the history.
//!
//! A [`KeyManager`](crate::KeyManager) enforces the rules for the life of a key, over any store that
//! can be changed. Owners [use it over HTTP](super::owners), operators [by
//! `api-keys`](super::operators).
//!
//! ```sh
//! cargo add tower-api-key --features cache,sqlite
//! cargo add tokio --features macros,rt-multi-thread
//! ```
//!
//! ```
//! use std::time::Duration;
//!
//! use tower_api_key::store::KeyState;
//! use tower_api_key::{CachedStore, KeyManager, KeyQuery, KeyUpdate, NewKey, SqliteStore};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let store = CachedStore::new(SqliteStore::in_memory().await?); // or SqliteStore::open("keys.db")
//!     let keys = KeyManager::new(store).rotation_period(Duration::from_secs(90 * 86_400));
//!     // Servers mount `keys.layer()`, or `ApiKeyLayer::new(store)` if another process manages keys.
//!
//!     let issued = keys.issue(NewKey::named("nightly import").tenant("acme")).await?;
//!     println!("shown once: {}", issued.secret.reveal());
//!     keys.update(issued.record.id(), &KeyUpdate::new().name("hourly import")).await?;
//!
//!     // The old key works for another day, and its record names the new one.
//!     let new = keys.rotate(issued.record.id(), Duration::from_secs(86_400)).await?;
//!     println!("shown once: {}", new.secret.reveal());
//!
//!     let page = keys.list(&KeyQuery::new().tenant("acme").state(KeyState::Active)).await?;
//!     assert_eq!(page.keys.len(), 2);
//!
//!     // The successor is a separate key, which still works.
//!     let revoked = keys.revoke(issued.record.id()).await?;
//!     println!("{:?}", revoked.propagation);
//!     assert_eq!(revoked.working_successors, [new.record.id().clone()]);
//!     keys.revoke_with_successors(issued.record.id()).await?;
//!     Ok(())
//! }
//! ```
//!
//! # The rules
//!
//! * A name has 3 to 100 characters, no expiry is in the past, and a rotation never extends the life of a key.
//! * A revocation is permanent, and may be repeated. An id from a path or a form is parsed:
//!   `keys.revoke(&text.parse()?)`. A manager is cheap to clone, as the state of a router is.
//!   [`revoke_presented`](crate::KeyManager::revoke_presented) revokes a secret that was found in a
//!   wrong place.
//! * Two callers that change the same key never lose a change of each other, and no change undoes a
//!   revocation.
//! * Changes of one key wait for each other; revocations go first. Every call ends within the
//!   [deadline](crate::KeyManager::deadline), 10 seconds by default, and is made completely or not at
//!   all.
//! * [`max_keys_per_tenant`](crate::KeyManager::max_keys_per_tenant) bounds the keys of a tenant, even
//!   if many are issued at once.
//! * With a [catalogue](crate::KeyManager::abilities), such as that of a [policy](super::policies), a
//!   manager issues no key with an ability that nothing requires, such as a misspelt one.
//!
//! # When a revocation takes effect
//!
//! | node | refuses the key |
//! |---|---|
//! | the one that revoked it | from the next request on |
//! | without a cache | from the next request on |
//! | with a cache that was notified | from the first request after the notification |
//! | with a cache that missed the notification | after [`max_staleness`](crate::store::CachedStoreBuilder::max_staleness), one minute by default; later only with [`serve_while_unreachable`](crate::store::CachedStoreBuilder::serve_while_unreachable), while the store cannot be reached |
//!
//! The result of [`revoke`](crate::KeyManager::revoke) says which of them applies (`propagation`).
//! Requests that were admitted before are completed; [streams and sockets](super::streams) end with
//! their key.
//!
//! # Keys that manage keys
//!
//! [On behalf of](crate::KeyManager::on_behalf_of) a verified key, a manager
//!
//! * sees only the keys of its tenant. A key without a tenant manages none, unless [that is
//!   allowed](crate::manage::Owner::allow_tenantless);
//! * grants no more than the key has: abilities, stage, expiry, limits, restrictions, and the metadata
//!   of [`inherit_metadata`](crate::KeyManager::inherit_metadata);
//! * checks the key when the change is made, in the transaction, script or lock of the change itself.
//!   After its revocation was acknowledged, no key is issued, changed or rotated on its behalf. Keys
//!   that it issued before stay.
//!
//! # Tenants
//!
//! [`suspend`](crate::KeyManager::suspend) refuses all keys of a tenant on all nodes, until
//! [`resume`](crate::KeyManager::resume). Meanwhile no key of it is issued or changed.
//! [`revoke_all`](crate::KeyManager::revoke_all) revokes all its keys.
//!
//! # Many keys
//!
//! * [`issue_all`](crate::KeyManager::issue_all) and [`prune`](crate::KeyManager::prune) work in
//!   batches, each with its audit events in one transaction. They report their progress, and can be
//!   stopped and continued.
//! * A page of [`list`](crate::KeyManager::list) visits at most 10 000 records, whatever its filter is,
//!   and has a cursor for the next page. So a page may have few keys or none and still not be the last.
//! * Lists and changes use 2 of 10 connections to a database, so no look-up waits for them. With Redis
//!   they have one of their own.
//!
//! # History
//!
//! Every change is an event: who, what, when, before and after. The SQL stores write it in the
//! transaction of the change, and [`audit_log`](crate::KeyManager::audit_log) reads it by key, tenant,
//! actor and time. [`audit`](crate::KeyManager::audit) passes events to a closure, to
//! [`TraceEvents`](crate::manage::TraceEvents), or to a file that [survives a
//! restore](super::failover). Redis keeps no events.
//!
//! # Stores
//!
//! * [`SqliteStore`](crate::SqliteStore), [`PostgresStore`](crate::PostgresStore),
//!   [`RedisStore`](crate::RedisStore) (Redis 7 or Valkey) and [`MemoryStore`](crate::MemoryStore)
//!   follow one contract, which [`check_key_repository`](crate::testing::check_key_repository) checks,
//!   also for [a store of yours](super::own_table).
//! * Tables are created and migrated when a store connects, by one node at a time. Nodes of the
//!   previous version continue to work with migrated tables, and start again after a rollback. In
//!   PostgreSQL, tables of another role are refused, unless `table_owner` names it: see
//!   [roles](super::roles).
//! * TLS to a database is a feature of sqlx or redis that an application enables in its own dependency,
//!   such as `sqlx = { version = "0.9", features = ["tls-rustls"] }`. The program `api-keys` has it.
//!
//! # The cache
//!
//! A [`CachedStore`](crate::CachedStore) goes in front of any of them.
//!
//! * It is bounded in number and bytes, and separates unknown keys from known ones. It asks the store
//!   once for all requests that wait for a key. It caches records, not decisions.
//! * A change through it takes effect on this node before the call returns.
//! * `PostgresStore::invalidations` and `RedisStore::invalidations` notify other nodes at once,
//!   `SqliteStore::invalidations` other processes with the same file within 250 ms. A node that may
//!   miss notifications serves nothing from memory.
//! * `max_staleness` bounds the age of records in any case, even on a node that a failover has left on
//!   the former primary of PostgreSQL: connections are renewed before it is over, the new ones before
//!   the old ones are closed, and the cache keeps its records.
