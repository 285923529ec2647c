//! The other side: programs that present keys.

mod api_key;
mod credentials;

pub use self::api_key::ApiKey;
pub use self::credentials::{Credentials, CredentialsError, KeySource, LoadedKey};
