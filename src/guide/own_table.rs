//! Your own table: keys stay in the existing table of an application.
//!
//! | the other table | use |
//! |---|---|
//! | goes away | [import it](super::migrating) |
//! | is read by this crate, and changed by another program | a [`KeyStore`](crate::KeyStore): one function |
//! | stays permanently, and this crate issues and revokes in it | a [`KeyRepository`](crate::KeyRepository) |
//!
//! # Reading
//!
//! A [`KeyStore`](crate::KeyStore) finds a record by the digest of a key. Turn a row into a
//! [`KeyRecord`](crate::KeyRecord) by `new`, and set the other columns by `set_…`:
//!
//! ```sh
//! cargo add tower-api-key
//! cargo add async-trait
//! cargo add sqlx --features runtime-tokio,sqlite
//! cargo add tokio --features macros,rt-multi-thread
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, SystemTime};
//!
//! use async_trait::async_trait;
//! use sqlx::{Row, SqlitePool};
//! use tower_api_key::{ApiKeyLayer, KeyDigest, KeyHasher, KeyRecord, KeyStore, StoreError};
//!
//! /// `api_tokens (id, account, title, token_hash, created_at, revoked)`, with the SHA-256 of each key in
//! /// hexadecimal digits.
//! struct OldTable(SqlitePool);
//!
//! #[async_trait]
//! impl KeyStore for OldTable {
//!     async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
//!         let row = sqlx::query("SELECT * FROM api_tokens WHERE token_hash = $1 AND NOT revoked")
//!             .bind(digest.to_string())
//!             .fetch_optional(&self.0)
//!             .await
//!             .map_err(StoreError::new)?;
//!         let Some(row) = row else { return Ok(None) };
//!         let id = row.try_get::<i64, _>("id").map_err(StoreError::new)?;
//!         let id = id.to_string().parse().map_err(StoreError::new)?;
//!         let title: String = row.try_get("title").map_err(StoreError::new)?;
//!         let seconds: u32 = row.try_get("created_at").map_err(StoreError::new)?;
//!         let created_at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into());
//!         let mut record = KeyRecord::new(id, *digest, title, created_at);
//!         let account: String = row.try_get("account").map_err(StoreError::new)?;
//!         record.set_tenant(Some(account.parse().map_err(StoreError::new)?));
//!         Ok(Some(Arc::new(record)))
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = SqlitePool::connect("sqlite::memory:").await?;
//! #   sqlx::raw_sql("CREATE TABLE api_tokens (id INTEGER, account TEXT, title TEXT, token_hash TEXT, created_at INTEGER, revoked INTEGER)").execute(&pool).await?;
//! #   for (key, revoked) in [("tok_1", false), ("tok_2", true)] {
//! #       sqlx::query("INSERT INTO api_tokens VALUES (7, 'acme', 'nightly import', $1, 1, $2)")
//! #           .bind(KeyHasher::sha256().digest(key).to_string()).bind(revoked).execute(&pool).await?;
//! #   }
//!     let table = OldTable(pool);
//!     let record = table.find(&KeyHasher::sha256().digest("tok_1")).await?.unwrap();
//!     assert_eq!(record.tenant().unwrap().as_str(), "acme");
//!     assert!(table.find(&KeyHasher::sha256().digest("tok_2")).await?.is_none());
//!     let layer = ApiKeyLayer::new(table);
//!     Ok(())
//! }
//! ```
//!
//! * A row that cannot be read is an error, never "no such key": requests then get a 503.
//! * With [`set_revoked_at`](crate::KeyRecord::set_revoked_at), `set_expires_at` and others, the layer
//!   decides, and its events say why a key was refused.
//! * A [`CachedStore`](crate::CachedStore) works in front of it as of any other. Without a source of
//!   notifications, changes by another program take effect after `max_staleness`.
//! * [`new.or(old)`](crate::store::KeyStoreExt::or) asks two stores, one after the other.
//! * Salted hashes, such as bcrypt, cannot be looked up: see
//!   [migrating](super::migrating#bcrypt-argon2-scrypt-and-pbkdf2).
//!
//! # Managing
//!
//! A [`KeyRepository`](crate::KeyRepository) adds `get`, `list` and `commit`. The example `own_table`
//! implements it, over numeric ids and words as scopes, in some 200 lines. It adds columns for the ids
//! of new keys, for the number of changes and for the successor of a rotated key.
//! [`RecordField`](crate::store::RecordField) lists what a table may omit.
//!
//! # Checking it
//!
//! [`check_key_store`](crate::testing::check_key_store) and
//! [`check_key_repository`](crate::testing::check_key_repository) check the whole contract;
//! [`check_key_repository_without`](crate::testing::check_key_repository_without) omits fields that the
//! table does not have.
