//! Keys that exist already: how to take over those of another system, without asking their owners for new
//! ones.
//!
//! What to do depends on what the other system kept of each key. Look at a value of its column:
//!
//! | it looks like | it is | do |
//! |---|---|---|
//! | 64 hexadecimal digits, or 43 or 44 characters of base64 | SHA-256, or HMAC-SHA-256 if the system has a secret for it | [import](#sha-256) |
//! | the same, and keys look like `12\|abc…` | SHA-256 of what follows the bar (Laravel Sanctum) | [import with the id](#laravel-sanctum) |
//! | it begins with `$2b$`, `$argon2id$`, `$scrypt$` or `pbkdf2` | a salted hash | [ask the other system](#bcrypt-argon2-scrypt-and-pbkdf2) |
//! | the key itself | no hash at all | hash it by SHA-256, and import that |
//!
//! Take over the keys first, and look at the rest later: what was imported expires, is revoked and rotated
//! like any other key, and a [rotation](crate::KeyManager::rotate) gives its owner a key of this crate.
//!
//! # SHA-256
//!
//! This is how this crate keeps its own keys. Export the table, try, and import:
//!
//! ```sh
//! psql -c '\copy api_tokens TO STDOUT CSV HEADER' app > tokens.csv
//! api-keys import tokens.csv --hash-column token_hash --tenant-column account \
//!     --abilities-column scopes --created-column created_at --revoked-column revoked_at --dry-run
//! ```
//!
//! Each line that cannot be imported is named, with the reason. Without `--dry-run`, the others are imported.
//! The command can be repeated: a key that is there already stays as it is, so a second export brings the keys
//! that the old system has issued meanwhile. From a program, [`KeyManager::import`](crate::KeyManager::import)
//! does the same with [`StoredHash`](crate::key::StoredHash).
//!
//! The [scheme](crate::KeyScheme) of the servers has to accept the old keys: it needs a
//! [format](crate::KeyFormat) for them besides those of new keys, or none at all. The default accepts any text.
//!
//! # HMAC-SHA-256
//!
//! Import with `--hash hmac-sha256`, and give the servers the secret of the old system as a pepper. New keys
//! can be hashed otherwise:
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
//! A token such as `12|abc…` has the id of its row in front of the secret, and only the secret was hashed. The
//! import puts the id into the digest, so that a secret is of no use with the id of another token.
//!
//! ```sh
//! api-keys import personal_access_tokens.csv --hash sha256-after-id --hash-column token \
//!     --id-prefix sanctum- --tenant-column tokenable_id --abilities-column abilities \
//!     --created-column created_at --expires-column expires_at
//! ```
//!
//! RFC 6750 does not allow the bar in a bearer token, so the extractor has to:
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
//! Such a hash is another one each time, so nobody can look a key up by it. The old system finds the row by
//! something else, such as the beginning of the key, and compares. Let the layer ask it, with the text of the
//! key, for keys that the store does not know: [`Fallback`](crate::Fallback). A key that it knows is adopted
//! under its SHA-256 when it is first used, and the old system is not asked for it again. After some months,
//! keys that nobody has used are left; remove the fallback, and their owners need new ones.
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
//! * Where both systems go on for a while, and the old table has hashes that can be looked up, make it a
//!   [`KeyStore`](crate::KeyStore), and ask it after the new one:
//!   [`new.or(old)`](crate::store::KeyStoreExt::or).
//! * Where the old table is to stay for good, make it a [`KeyRepository`](crate::KeyRepository), so that keys
//!   are issued and revoked there. The example `own_table` does so over numeric ids and words as scopes.
//!   [`RecordField`](crate::store::RecordField) says what a table need not keep, and the feature `testing` has
//!   suites that check the result.
//!
//! # Words as scopes
//!
//! Older systems have `read`, `write` and `admin`, where this crate has `bots:read`. A single word is an
//! [`Ability`](crate::Ability) of its own: a key with `read` may do what [requires](crate::RequireAbility)
//! `read`, and nothing else. It is not allowed `bots:read`; to go over to such abilities, update the keys
//! first, or require [one of both](crate::RequireAbility::any_of).
