//! The other side: programs that present keys.

mod api_key;

pub use self::api_key::ApiKey;
