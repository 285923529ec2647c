//! Live and test keys: the formats and hashing of keys in one value, the key scheme.
//!
//! ```sh
//! cargo add tower-api-key
//! cargo add tokio --features macros,rt-multi-thread
//! ```
//!
//! ```
//! use tower_api_key::{KeyFormat, KeyHasher, KeyManager, KeyScheme, MemoryStore, NewKey};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let pepper = [7; 32]; // in production 32 random bytes, stored outside of the database
//!     let scheme = KeyScheme::new([
//!         KeyFormat::new("sk_live_").stage("live"),
//!         KeyFormat::new("sk_test_").stage("test"),
//!     ])
//!     .hasher(KeyHasher::hmac_sha256(&pepper));
//!
//!     let keys = KeyManager::new(MemoryStore::new()).scheme(scheme);
//!     let issued = keys.issue(NewKey::named("nightly import").stage("live")).await?;
//!     assert!(issued.secret.reveal().starts_with("sk_live_"));
//!     Ok(())
//! }
//! ```
//!
//! * A new key has the only format that matches its stage and kind, or the one that
//!   [`prefix`](crate::NewKey::prefix) names. Otherwise it is not issued, and the error lists the
//!   formats. Without formats, keys start with `ak_`.
//! * The manager's [layer](crate::KeyManager::layer) has its scheme and clock. Another layer needs a
//!   clone: `ApiKeyLayer::new(store).scheme(scheme)`. A layer with another pepper refuses all of the
//!   keys as unknown.
//! * A [`KeyFormat`](crate::KeyFormat) has a prefix, an [`Alphabet`](crate::Alphabet), a length and a
//!   [`Checksum`](crate::Checksum). A checksum lets scanners recognize keys; only a keyed one keeps
//!   invented keys from the store.
//! * A [client](super::clients) has the formats, and no pepper.
//!
//! # The stage of a route
//!
//! [`RequireStage`](crate::RequireStage) is the guard: for one stage of a whole server, or for a stage
//! that is read from the request.
//!
//! ```
//! use http::Request;
//! use tower_api_key::testing::verified_key;
//! use tower_api_key::{Guard, NewKey, RequestHead, RequireStage};
//!
//! let key = verified_key(NewKey::named("nightly import").stage("live"));
//! let request = Request::get("/test/charges").body(())?;
//! let head = RequestHead::new(&request);
//!
//! let production = RequireStage::fixed("live"); // for a server of one stage
//! assert!(production.check(&key, &head).is_ok());
//! let by_path = RequireStage::in_path_segment(0); // `/live/charges`, `/test/charges`
//! assert!(by_path.check(&key, &head).is_err());
//! # Ok::<_, http::Error>(())
//! ```
//!
//! # Keys that leak
//!
//! * [`KeyFormat::regex`](crate::KeyFormat::regex) finds keys in text;
//!   [`gitleaks_rule`](crate::KeyFormat::gitleaks_rule) and
//!   [`detect_secrets_plugin`](crate::KeyFormat::detect_secrets_plugin) make rules for scanners.
//! * [`manage::leaks`](crate::manage::leaks) answers reports of GitHub's secret scanning, and revokes.
//!
//! Examples: `environments` (live and test keys of one tenant), `stages` (the stage is in the path).
