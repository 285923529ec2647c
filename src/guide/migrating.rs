//! Existing keys: how to import those of another system, without asking their owners for new ones.
//!
//! The steps depend on what the other system stored of each key. Look at a value of its column:
//!
//! | value | meaning | step |
//! |---|---|---|
//! | 64 hexadecimal digits, or 43 or 44 characters of base64 | SHA-256, or HMAC-SHA-256 if the system has a secret for it | [import](#sha-256) |
//! | the same, and keys look like `12\|abc…` | SHA-256 of what follows the bar (Laravel Sanctum) | [import with the id](#laravel-sanctum) |
//! | starts with `$2b$`, `$argon2id$`, `$scrypt$` or `pbkdf2` | a salted hash | [ask the other system](#bcrypt-argon2-scrypt-and-pbkdf2) |
//! | the key itself | no hash at all | hash it by SHA-256, and import that |
//!
//! Import the keys first, and the rest later: imported keys expire, and are revoked and rotated like
//! any other, and a [rotation](crate::KeyManager::rotate) gives their owner a key of this crate.
//!
//! # SHA-256
//!
//! This crate stores its own keys in the same way. Export the table, try it out, and import:
//!
//! ```sh
//! psql -c '\copy api_tokens TO STDOUT CSV HEADER' app > tokens.csv
//! api-keys import tokens.csv --hash-column token_hash --tenant-column account \
//!     --abilities-column scopes --created-column created_at --revoked-column revoked_at --dry-run
//! ```
//!
//! Each line that cannot be imported is listed with the reason. Without `--dry-run`, the others are
//! imported. The command can be repeated: an existing key stays as it is, so a second export adds the
//! keys that the old system has issued meanwhile. From a program,
//! [`KeyManager::import`](crate::KeyManager::import) does the same with
//! [`StoredHash`](crate::key::StoredHash).
//!
//! The [scheme](crate::KeyScheme) of the servers has to accept the old keys: it needs a
//! [format](crate::KeyFormat) for them besides those of new keys, or no formats. The default accepts
//! any text.
//!
//! # HMAC-SHA-256
//!
//! Import with `--hash hmac-sha256`, and set the secret of the old system as a pepper of the servers.
//! New keys can be hashed differently:
//!
//! ```
//! use tower_api_key::{KeyHasher, KeyScheme};
//!
//! # let old_secret = b"the secret of the old system";
//! let hasher = KeyHasher::sha256().or_hmac_sha256(old_secret);
//! let scheme = KeyScheme::default().hasher(hasher);
//! ```
//!
//! # Laravel Sanctum
//!
//! A token such as `12|abc…` has the id of its row in front of the secret, and only the secret was
//! hashed. The import includes the id in the digest, so that a secret does not work with the id of
//! another token.
//!
//! ```sh
//! api-keys import personal_access_tokens.csv --hash sha256-after-id --hash-column token \
//!     --id-prefix sanctum- --tenant-column tokenable_id --abilities-column abilities \
//!     --created-column created_at --expires-column expires_at
//! ```
//!
//! RFC 6750 does not allow the bar in a bearer token, so configure the extractor:
//!
//! ```
//! use tower_api_key::extract::Bearer;
//! use tower_api_key::{KeyHasher, KeyManager, KeyScheme, MemoryStore};
//!
//! let scheme = KeyScheme::default().hasher(KeyHasher::sha256().or_sha256_after_id());
//! let keys = KeyManager::new(MemoryStore::new()).scheme(scheme);
//! let layer = keys.layer().extractor(Bearer.with_any_key_characters());
//! ```
//!
//! # bcrypt, Argon2, scrypt and PBKDF2
//!
//! Such a hash differs each time, so a key cannot be looked up by it. The old system finds the row by
//! something else, such as the start of the key, and compares. Let the layer ask it with the text of
//! the key if the store does not know the key: [`Fallback`](crate::Fallback). A key that it knows is
//! adopted under its SHA-256 when it is first used, and the old system is not asked for it again. After
//! some months, only unused keys are left. Remove the fallback then; their owners need new keys.
//!
//! ```
//! use tower_api_key::{ApiKeyLayer, FailureThrottle, Fallback, KeyRecord, MemoryStore, Secret};
//!
//! # use std::time::SystemTime;
//! # use tower_api_key::StoreError;
//! # struct Row { id: i64, hash: String, account: String, issued_at: SystemTime }
//! # #[derive(Clone)] struct OldTable;
//! # impl OldTable {
//! #     async fn by_prefix(&self, _: &str) -> Result<Option<Row>, StoreError> { Ok(None) }
//! # }
//! # mod bcrypt { pub fn verify(_: &str, _: &str) -> Result<bool, std::io::Error> { Ok(false) } }
//! async fn verify(old: OldTable, key: Secret) -> Result<Option<KeyRecord>, StoreError> {
//!     let Some(prefix) = key.reveal().get(..8) else { return Ok(None) };
//!     let Some(row) = old.by_prefix(prefix).await? else { return Ok(None) };
//!     let hash = row.hash;
//!     let compare = move || bcrypt::verify(key.reveal(), &hash);
//!     let compared = tokio::task::spawn_blocking(compare).await.map_err(StoreError::new)?;
//!     if !compared.map_err(StoreError::new)? {
//!         return Ok(None);
//!     }
//!     let id = format!("old-{}", row.id).parse().map_err(StoreError::new)?;
//!     let mut record = KeyRecord::new(id, Fallback::ANY_DIGEST, "an old key", row.issued_at);
//!     record.set_tenant(Some(row.account.parse().map_err(StoreError::new)?));
//!     Ok(Some(record))
//! }
//!
//! # let old = OldTable;
//! let keys = MemoryStore::new();
//! let fallback = Fallback::new(keys.clone(), move |key| verify(old.clone(), key));
//! let layer = ApiKeyLayer::new(keys)
//!     .fallback(fallback)
//!     // A guess costs a slow hash: 20 wrong keys a minute are enough.
//!     .failure_throttle(FailureThrottle::new("20 per minute"));
//! ```
//!
//! # Keys that stay where they are
//!
//! * If both systems run for a while, and the old table has hashes that can be looked up, make it a
//!   [`KeyStore`](crate::KeyStore), and ask it after the new one:
//!   [`new.or(old)`](crate::store::KeyStoreExt::or).
//! * If the old table stays permanently, make it a [`KeyRepository`](crate::KeyRepository), so that
//!   keys are issued and revoked there. The example `own_table` does so over numeric ids and words as
//!   scopes. [`RecordField`](crate::store::RecordField) lists what a table may omit, and the feature
//!   `testing` has suites that check the result.
//!
//! # Words as scopes
//!
//! Older systems have `read`, `write` and `admin`, while this crate has `bots:read`. A single word is
//! an [`Ability`](crate::Ability) of its own: a key with `read` may do what
//! [requires](crate::RequireAbility) `read`, and nothing else, so not `bots:read`. To change to such
//! abilities, update the keys first, or require [one of both](crate::RequireAbility::any_of).
