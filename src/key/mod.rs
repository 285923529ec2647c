//! API keys: their text, digest, ids, abilities, limits and restrictions.
//!
//! | type | is |
//! |---|---|
//! | [`KeyScheme`] | the formats of keys and how they are hashed, in one value |
//! | [`KeyFormat`], [`KeyFormats`] | the format of the text, and the meaning of its prefix |
//! | [`Checksum`], [`Alphabet`] | the parts of a format |
//! | [`PresentedKey`] | a text that passed the formats, not yet verified |
//! | [`Secret`] | the text of a new key, shown once |
//! | [`KeyDigest`], [`KeyHasher`] | the hash of a key, which is all that a store sees |
//! | [`StoredHash`] | the hash that another system stored of a key |
//! | [`KeyId`] | the public id of a key, for logs and revocation |
//! | [`Ability`], [`AbilitySet`] | what a key may do |
//! | [`Stage`], [`TenantId`], [`KeyKind`] | what a key is bound to |
//! | [`RateLimit`], [`RateLimits`] | how often a key may be used |
//! | [`Restrictions`] | where a key may be used from, and on which endpoints |
//! | [`OriginPattern`], [`ReferrerPattern`] | the sites and pages that may use a key |
//! | [`EndpointPattern`] | the methods and paths on which a key works |
//! | [`InvalidFields`] | the mistakes in a new key, a change or a query |

pub(crate) mod ability;
pub(crate) mod alphabet;
mod catalogue;
pub(crate) mod checksum;
mod compact;
pub(crate) mod digest;
mod endpoint;
pub(crate) mod format;
mod formats;
pub(crate) mod id;
mod invalid;
pub(crate) mod kind;
mod origin;
mod presented;
pub(crate) mod rate_limit;
mod rate_limits;
mod referrer;
mod restrictions;
pub(crate) mod scheme;
pub(crate) mod secret;
mod size;
mod stored_hash;

pub use self::ability::AbilityError;
pub use self::catalogue::AbilityCatalogue;
pub use self::digest::ParseDigestError;
pub use self::endpoint::{EndpointError, EndpointPattern, PathPattern};
pub use self::format::{FormatError, GenerateError, KeyFormatError, MAX_KEY_LENGTH};
pub use self::formats::KeyFormats;
pub use self::id::IdError;
pub use self::invalid::{InvalidField, InvalidFields};
pub use self::origin::{OriginError, OriginPattern};
pub use self::presented::PresentedKey;
pub use self::rate_limit::RateLimitError;
pub(crate) use self::rate_limits::MAX_LIMITS;
pub use self::rate_limits::RateLimits;
pub use self::referrer::ReferrerPattern;
pub use self::restrictions::Restrictions;
pub use self::scheme::IssueError;
pub use self::stored_hash::{StoredHash, StoredHashError};

// They are documented at the root, by which users name them.
#[doc(hidden)]
pub use self::ability::{Ability, AbilitySet};
#[doc(hidden)]
pub use self::alphabet::Alphabet;
#[doc(hidden)]
pub use self::checksum::Checksum;
#[doc(hidden)]
pub use self::digest::{KeyDigest, KeyHasher};
#[doc(hidden)]
pub use self::format::KeyFormat;
#[doc(hidden)]
pub use self::id::{KeyId, Stage, TenantId};
#[doc(hidden)]
pub use self::kind::KeyKind;
#[doc(hidden)]
pub use self::rate_limit::RateLimit;
#[doc(hidden)]
pub use self::scheme::KeyScheme;
#[doc(hidden)]
pub use self::secret::Secret;

pub(crate) use self::alphabet::random_text;
pub(crate) use self::compact::{Compact, Thin};
#[cfg(feature = "policy")]
pub(crate) use self::endpoint::{METHODS, Segment, judged_method};
pub(crate) use self::origin::{Site, syntax as origin_syntax};
pub(crate) use self::referrer::Page;
pub(crate) use self::size::HeapSize;
