//! [`decode`]: a record from its text.

use crate::key::KeyDigest;
use crate::store::{KeyRecord, StoreError};

/// Reads what is kept under `digest`.
pub(super) fn decode(
    json: &[u8],
    digest: &KeyDigest,
    is_suspended: bool,
) -> Result<KeyRecord, StoreError> {
    let mut record: KeyRecord = serde_json::from_slice(json).map_err(StoreError::answered)?;
    if record.digest != *digest {
        return Err(StoreError::answered("a record is kept under the digest of another key"));
    }
    record.suspended = is_suspended;
    Ok(record)
}
