//! Roles in PostgreSQL: the rights to verify keys, to manage them and to migrate tables.
//!
//! A server that only verifies keys needs no right to change them: an attacker who takes it over can
//! read digests, which are useless without the keys, and cannot issue a key. The statements are for a
//! schema `auth` and three roles. Each is tested with a role that has exactly these rights.
//!
//! # Migrating
//!
//! The role that creates the tables owns them and the schema. `api-keys init --schema auth` creates
//! them as this role; nothing else needs it.
//!
#![doc = concat!("```sql\n", include_str!("migrate.sql"), "```")]
//!
//! # Verifying
//!
//! For an [`ApiKeyLayer`](crate::ApiKeyLayer) over a `PostgresStore`, and for the notifications of a
//! `CachedStore`, which need no further right:
//!
#![doc = concat!("```sql\n", include_str!("verify.sql"), "```")]
//!
//! The server connects with `without_migration()`. It owns no tables, so it names their creator, unless
//! that is the owner of the database or the schema: `table_owner("api_migrate")`.
//!
//! To count requests and record when keys were last used, with a
//! [`UsageRecorder`](crate::guide::usage):
//!
#![doc = concat!("```sql\n", include_str!("usage.sql"), "```")]
//!
//! And to delete old usage, unless the recorder is built `without_pruning()`:
//!
#![doc = concat!("```sql\n", include_str!("prune_usage.sql"), "```")]
//!
//! # Managing
//!
//! For a [`KeyManager`](crate::KeyManager), its API, and the program `api-keys`:
//!
#![doc = concat!("```sql\n", include_str!("manage.sql"), "```")]
//!
//! `DELETE` on `api_keys` is only for [`prune`](crate::KeyManager::prune), and on `api_key_audit` only
//! for [`prune_audit_log`](crate::KeyManager::prune_audit_log). `INSERT` and `DELETE` on
//! `api_key_suspensions` are for [suspending](crate::KeyManager::suspend) and resuming tenants. To read
//! usage, `SELECT` on `api_key_usage` is enough; the other rights on the usage tables are only for
//! [`prune_usage`](crate::KeyManager::prune_usage). Without them, only these calls fail: a role without
//! `DELETE` on `api_key_audit` cannot remove its traces. A server that both verifies and manages needs
//! the rights of both.
//!
//! # Updates of this crate
//!
//! If a version needs another table, its migration creates the table, and no role has rights to it yet.
//! So run `api-keys init` of the new version first, as the migrating role; then these statements again,
//! as they are in the new version; then start the nodes. A node without the right to read a table that
//! look-ups need does not start, and its error names the table.
