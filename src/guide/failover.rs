//! Replication, failover, restore: which settings prevent losses, and what to do afterwards.
//!
//! A revoked key is refused once its revocation is acknowledged, and on other nodes as soon as they
//! learn of it. Two things can undo that, and neither is a visible error:
//!
//! * **A node that is left behind.** If a failover moves only new connections, such as behind a proxy
//!   or a host name, old connections still lead to the former primary, which does not know of later
//!   revocations. This crate bounds the delay: see the section of each database.
//! * **A database that has forgotten.** A standby without the last changes is promoted, or a backup is
//!   restored. Keys that were revoked since are valid again, and keys that were issued since are
//!   unknown. *This crate cannot undo that*, because it relies on the database. Settings of the
//!   database prevent it, and [afterwards](#after-a-restore) there is work to do.
//!
//! # How long a revoked key may be accepted
//!
//! | after a failover | bound |
//! |---|---|
//! | a `CachedStore` with the source of a `PostgresStore` | `max_staleness`: subscriptions are renewed before half of it is over, and a cache with an older one serves nothing |
//! | a `CachedStore` with the source of a `RedisStore` | the life of a connection, a minute by default, and three heartbeats, also where `max_staleness` is less; three heartbeats where the old server has become a replica |
//! | a `CachedStore` without a source | its `max_staleness` and the life of a connection |
//! | a `PostgresStore` alone | the life of a connection, 30 seconds by default |
//! | a `RedisStore` alone | the life of a connection, a minute by default; none where the old server has become a replica |
//!
//! If a database cannot be reached, requests get a 503. With
//! `CachedStoreBuilder::serve_while_unreachable`, records in memory are served for some time: a key
//! that another node revokes meanwhile may be accepted for that long.
//!
//! # PostgreSQL
//!
//! `PostgresStore` first asks each server whether it is a standby (`pg_is_in_recovery()`) and refuses
//! one, unless `PostgresStoreBuilder::accept_standby` says how far it may be behind. If a server
//! refuses a change because it is read-only (SQLSTATE 25006), the change is retried once over new
//! connections. No connection is used for longer than `PostgresStoreBuilder::connection_lifetime`; for
//! a pool of your own, set its `max_lifetime`.
//!
//! Settings of the database:
//!
//! | setting | why |
//! |---|---|
//! | `synchronous_standby_names = 'ANY 1 (a, b)'` | a change is acknowledged once a standby has it, too. Without it, a failover loses the last changes: as many as the standby was behind |
//! | `synchronous_commit = on` | the same, for the role of the application: with `local`, a change is acknowledged before a standby has it, whatever the names are. With `remote_apply`, the standbys show a change once it is acknowledged. Changes of keys never use `off`, even if it is set |
//! | promote only a synchronous standby | another one may lack acknowledged changes |
//! | stop, or fence, the former primary | a node that still asks it is bounded as above, but a change that is made there is lost |
//! | a proxy that ends sessions when it moves (HAProxy: `on-marked-down shutdown-sessions`; PgBouncer: `PAUSE`, `RECONNECT`) | then no node is left behind at all |
//! | `tcp_keepalives_idle`, `tcp_user_timeout` | ends connections whose other side is gone |
//! | triggers that are `ENABLE ALWAYS` | changes by a logical replication, or by a session with `session_replication_role = replica`, notify the nodes, too |
//!
//! A change waits for a synchronous standby without a time limit: no `statement_timeout` applies to a
//! commit. The caller may give up (`KeyManager::deadline`), and then does not know whether the change
//! was made. Do not cancel the backend (`pg_cancel_backend`): PostgreSQL acknowledges a commit whose
//! wait is interrupted.
//!
//! `pg_restore --disable-triggers` leaves the notifying triggers as ordinary ones. Connecting, and
//! `api-keys init`, check and repair that; a role without the right gets an error with the statement
//! that repairs it.
//!
//! ## Poolers, and how many connections a node has
//!
//! PgBouncer works with `pool_mode = session`, and needs no `ignore_startup_parameters`. With
//! `transaction` or `statement` the store refuses to connect. A node has
//!
//! * up to 10 connections for look-ups and changes, or those of the pool that you give it;
//! * 2 for each cache that receives notifications, and 2 more for a moment when they are renewed;
//! * 1 more while it connects, and at most 1 more a second to find out why it cannot.
//!
//! With PgBouncer in session mode, set `default_pool_size` to the sum of these for all nodes.
//!
//! # SQLite
//!
//! A database in a file has no standby. `synchronous` is `FULL`, so acknowledged changes survive a
//! power failure, if the disk keeps what it acknowledges.
//!
//! * **A full disk** fails changes, including revocations, but not look-ups. The connection whose write
//!   failed is closed; once there is space, the next write works. Monitor the free space.
//! * **Copying the file** while it is in use copies an inconsistent state: use `sqlite3 keys.db
//!   ".backup copy.db"` or `VACUUM INTO`. The files `keys.db-wal` and `keys.db-shm` belong to it.
//! * **Network file systems** lose locks and writes: keep the file on a local disk. Tools that ship the
//!   log elsewhere do so after a change was acknowledged, and lose the last ones.
//! * **Other processes** with a cache see a change within 250 ms if the cache has
//!   `SqliteStore::invalidations`, and otherwise within their `max_staleness`.
//! * To **restore**, stop all processes, replace the file, remove its `-wal` and `-shm`, and continue
//!   as [below](#after-a-restore).
//!
//! # Redis
//!
//! * A server that has become a replica refuses look-ups itself, so no node accepts a key there that
//!   was revoked meanwhile.
//! * The store refuses to connect to replicas, to servers that evict keys, and to clusters that spread
//!   keys over nodes.
//! * A URL such as `redis+sentinel://host-1:26379,host-2:26379/name/0` asks the sentinels for the primary.
//! * Replication is asynchronous, and Redis cannot prevent the loss of the last changes. If no
//!   acknowledged revocation may be lost, keep keys in PostgreSQL.
//!
//! [`RedisStore`](crate::RedisStore) lists the settings, and what each prevents.
//!
//! # After a restore
//!
//! For every database, and also after a failover that may have lost changes:
//!
//! 1. Before clients reconnect, find out what is missing: from the events of an
//!    [`AuditSink`](crate::store::AuditSink) that writes outside of the database, such as
//!    `JsonLinesAudit` to a file on another disk, `--audit-file` of `api-keys`, or `TraceEvents` in a
//!    log on another machine. The audit table is as old as the rest.
//! 2. Repeat the revocations since then: `api-keys revoke --ids-stdin` takes the ids.
//! 3. Clear the caches of all nodes, which may be from the lost past: by
//!    [`KeyRepository::invalidate_everywhere`](crate::KeyRepository::invalidate_everywhere) or
//!    `api-keys invalidate`. A node that notices another server does so itself. Restart processes over
//!    SQLite after their file was replaced.
//! 4. Keys that were issued since are unknown now. Issue new ones to their owners.
