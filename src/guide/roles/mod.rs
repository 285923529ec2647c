//! Roles in PostgreSQL: which rights who verifies, who manages and who migrates needs.
//!
//! A server that only verifies keys needs no right to change them: who takes it over can read digests, which
//! are of no use without the keys, and cannot issue one. The statements are for a schema `auth` and three
//! roles. Each is tested with a role that has exactly these rights.
//!
//! # Migrating
//!
//! The role that makes the tables owns them, and the schema. `api-keys init --schema auth` does that, as this
//! role; nothing else needs it.
//!
#![doc = concat!("```sql\n", include_str!("migrate.sql"), "```")]
//!
//! # Verifying
//!
//! For an [`ApiKeyLayer`](crate::ApiKeyLayer) over a `PostgresStore`, and for the notifications of a
//! `CachedStore`, which need no right of their own:
//!
#![doc = concat!("```sql\n", include_str!("verify.sql"), "```")]
//!
//! The server connects with `without_migration()`, and, since it owns nothing, names who made the tables, unless
//! that is the owner of the database or the schema: `table_owner("api_migrate")`.
//!
//! To count their requests and note when keys were last used, as a [`UsageRecorder`](crate::guide::usage) does:
//!
#![doc = concat!("```sql\n", include_str!("usage.sql"), "```")]
//!
//! And to delete usage that is too old, unless the recorder is built `without_pruning()`:
//!
#![doc = concat!("```sql\n", include_str!("prune_usage.sql"), "```")]
//!
//! # Managing
//!
//! For a [`KeyManager`](crate::KeyManager), its API, and the program `api-keys`:
//!
#![doc = concat!("```sql\n", include_str!("manage.sql"), "```")]
//!
//! `DELETE` on `api_keys` is for [`prune`](crate::KeyManager::prune) alone, that on `api_key_audit` for
//! [`prune_audit_log`](crate::KeyManager::prune_audit_log) alone, and `INSERT` and `DELETE` on
//! `api_key_suspensions` are for [suspending](crate::KeyManager::suspend) and resuming tenants. To read usage,
//! `SELECT` on `api_key_usage` is enough; the other rights on the tables of usage are for
//! [`prune_usage`](crate::KeyManager::prune_usage) alone. Without them,
//! these fail and nothing else does: who is to leave traces that they cannot remove has no `DELETE` on
//! `api_key_audit`. A server that both verifies and manages has the rights of both.
//!
//! # Updates of this crate
//!
//! A version that needs another table makes it when it migrates, and nobody has rights to it yet. So:
//! `api-keys init` of the new version first, as the role that migrates; then these statements again, as they
//! are in the new version; then the nodes. A node that may not read a table that it needs for look-ups does
//! not start, and its error names the table.
