//! Replication, failover, restore: what is lost without which setting, and what to do afterwards.
//!
//! A revoked key is refused from the moment its revocation is acknowledged, and on other nodes as soon as
//! they hear of it. Two things can take that back, and neither is an error that anybody sees:
//!
//! * **A node that is left behind.** After a failover behind a proxy or a name that moves new
//!   connections only, old connections lead to yesterday's primary, which lives on and knows nothing of
//!   what was revoked since. This crate bounds it, see the section of each database.
//! * **A database that has forgotten.** A standby is promoted that did not have the last changes, or a
//!   backup is restored. Keys that were revoked since are valid again, and keys that were
//!   issued since are unknown. *This crate cannot undo that*: the database is what it believes. Settings of
//!   the database prevent it, and [afterwards](#after-a-restore) there is work to do.
//!
//! # How long what is revoked may be accepted
//!
//! | after a failover | bound |
//! |---|---|
//! | a `CachedStore` with the source of a `PostgresStore` | `max_staleness`: subscriptions are made anew before half of it is over, and nothing is served by one that is older |
//! | a `CachedStore` with the source of a `RedisStore` | the life of a connection, a minute by default, and three heartbeats, also where `max_staleness` is less; three heartbeats where the old server has become a replica |
//! | a `CachedStore` without a source | its `max_staleness` and the life of a connection |
//! | a `PostgresStore` alone | the life of a connection, 30 seconds by default |
//! | a `RedisStore` alone | the life of a connection, a minute by default; none where the old server has become a replica |
//!
//! While a database cannot be reached, requests are answered with 503. By
//! `CachedStoreBuilder::serve_while_unreachable`, records in memory are served for some time: so long may
//! a key be accepted that another node revokes meanwhile.
//!
//! # PostgreSQL
//!
//! `PostgresStore` asks each server whether it is a standby (`pg_is_in_recovery()`) before it asks for
//! anything else, and refuses one, unless `PostgresStoreBuilder::accept_standby` says how far it may be behind.
//! A change that a server refuses because it is read-only (SQLSTATE 25006) is tried once more over
//! new connections. No connection is used for longer than
//! `PostgresStoreBuilder::connection_lifetime`; for a pool of your own, set its `max_lifetime`.
//!
//! The database's part:
//!
//! | setting | why |
//! |---|---|
//! | `synchronous_standby_names = 'ANY 1 (a, b)'` | a change is acknowledged once a standby has it, too. Without it, the last changes before a failover are lost: as many as the standby was behind |
//! | `synchronous_commit = on` | the same, for the role of the application: with `local`, a change is acknowledged before a standby has it, whatever the names are. With `remote_apply`, a change is found on the standbys once it is acknowledged. `off` is never used for changes of keys, also where it is set |
//! | promote only a standby that is synchronous | another one may lack what was acknowledged |
//! | stop, or fence, yesterday's primary | a node that still asks it is bounded as above, but a change that is made there is lost |
//! | a proxy that ends sessions when it moves (HAProxy: `on-marked-down shutdown-sessions`; PgBouncer: `PAUSE`, `RECONNECT`) | then no node is left behind at all |
//! | `tcp_keepalives_idle`, `tcp_user_timeout` | ends connections whose other side is gone |
//! | triggers that are `ENABLE ALWAYS` | changes by a logical replication, or by a session with `session_replication_role = replica`, notify the nodes, too |
//!
//! A change waits for a synchronous standby for as long as it takes: no `statement_timeout` counts for a
//! commit. The caller may give up (`KeyManager::deadline`), and then does not know whether it was made.
//! Do not cancel the backend (`pg_cancel_backend`): PostgreSQL acknowledges a commit whose wait is cut short.
//!
//! Restoring data with `pg_restore --disable-triggers` leaves the notifying triggers ordinary. Connecting,
//! and `api-keys init`, check that and mend it; a role that may not is told the statement that does.
//!
//! ## Poolers, and how many connections a node has
//!
//! PgBouncer works with `pool_mode = session`, and needs no `ignore_startup_parameters`. With
//! `transaction` or `statement` the store refuses to connect. A node has
//!
//! * up to 10 connections for look-ups and changes, or those of the pool that you give it;
//! * 2 for each cache that hears of changes, and 2 more for a moment when they are made anew;
//! * 1 more while it connects, and 1 more a second at most to find out why there is none.
//!
//! With PgBouncer in session mode, `default_pool_size` has to be as large as that for all nodes.
//!
//! # SQLite
//!
//! A database in a file has no standby. `synchronous` is `FULL`, so what was acknowledged outlives a power
//! failure, if the disk keeps what it says to have kept.
//!
//! * **A full disk** fails changes, revocations among them, and not look-ups. The connection whose write
//!   failed is closed; with room again, the next write works. Watch the space.
//! * **Copying the file** while it is in use copies half of it: use `sqlite3 keys.db ".backup copy.db"` or
//!   `VACUUM INTO`. The files `keys.db-wal` and `keys.db-shm` belong to it.
//! * **Network file systems** lose locks and writes: keep the file on a local disk. Tools that ship
//!   the log elsewhere do so after the change was acknowledged, and lose the last ones.
//! * **Other processes** with a cache see a change within 250 ms, if the cache is invalidated by
//!   `SqliteStore::invalidations`, and else within their `max_staleness`.
//! * To **restore**, stop all processes, replace the file, remove its `-wal` and `-shm`, and go on as
//!   [below](#after-a-restore).
//!
//! # Redis
//!
//! * A server that has become a replica refuses look-ups by itself, so no node accepts a key there that was revoked
//!   meanwhile.
//! * Replicas, servers that evict keys, and clusters that spread them are refused when the store connects.
//! * A URL such as `redis+sentinel://host-1:26379,host-2:26379/name/0` asks the sentinels for the primary.
//! * Replication is asynchronous, and nothing in Redis prevents that the last changes are lost. Where no acknowledged
//!   revocation may be lost, keep keys in PostgreSQL.
//!
//! [`RedisStore`](crate::RedisStore) lists the settings, and what each prevents.
//!
//! # After a restore
//!
//! Whatever the database was, and also after a failover that may have lost changes:
//!
//! 1. Before clients come back, find out what is missing: from the events of an
//!    [`AuditSink`](crate::store::AuditSink) that writes outside of the database, such as `JsonLinesAudit`
//!    to a file on another disk, `--audit-file` of `api-keys`, or `TraceEvents` in a log that is kept
//!    elsewhere. The audit table is as old as the rest.
//! 2. Revoke again what had been revoked since: `api-keys revoke --ids-stdin` takes the ids.
//! 3. Have all nodes forget what they know: it may be of the other past.
//!    [`KeyRepository::invalidate_everywhere`](crate::KeyRepository::invalidate_everywhere) does so, as does
//!    `api-keys invalidate`, and a node by itself when it notices that the server is another. Processes over SQLite
//!    have to be started again after their file was replaced.
//! 4. Keys that were issued since are unknown now, and their owners need new ones.
