//! Clients: programs that present API keys.
//!
//! | type | is |
//! |---|---|
//! | [`ApiKey`] | the text of an API key that a program presents |
//! | [`Credentials`] | the stored key of a program's user |
//! | [`AddApiKeyLayer`], [`Origin`] | a layer that adds a key to requests, and the origins that get it |
//! | [`Advice`], [`KeyFault`], [`Problem`] | what a response says about the key |
//! | [`RetryPolicy`] | waits as long as the server says, and retries |

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
