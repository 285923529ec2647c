//! The other side: programs that present keys.
//!
//! | type | is |
//! |---|---|
//! | [`ApiKey`] | the text of a key that a program presents |
//! | [`Credentials`] | where a program finds the key of its user |
//! | [`AddApiKeyLayer`], [`Origin`] | a layer that adds it to requests, and where it is sent to |
//! | [`Advice`], [`KeyFault`], [`Problem`] | what an answer says of the key |
//! | [`RetryPolicy`] | waits as long as the server says, and tries again |

mod add_api_key;
mod advice;
mod api_key;
mod credentials;
mod error;
mod key_fault;
mod origin;
mod problem;
mod retry_policy;
mod wait;

pub use self::add_api_key::{AddApiKey, AddApiKeyLayer};
pub use self::advice::Advice;
pub use self::api_key::ApiKey;
pub use self::credentials::{Credentials, CredentialsError, KeySource, LoadedKey};
pub use self::error::AddApiKeyError;
pub use self::key_fault::KeyFault;
pub use self::origin::Origin;
pub use self::problem::Problem;
pub use self::retry_policy::RetryPolicy;
