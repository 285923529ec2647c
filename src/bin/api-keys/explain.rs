//! The reasons why a key is not valid, in words.

use std::error::Error as _;
use std::time::SystemTime;

use tower_api_key::store::StoredKey;
use tower_api_key::{KeyFormat, KeyId, Rejection, RejectionKind, TenantId};

use crate::session::pepper_advice;
use crate::time::format_relative;

/// Explains the state of a key.
pub(crate) fn explain_known(key: &StoredKey, kind: RejectionKind, now: SystemTime) -> String {
    let record = &*key.record;
    let since = |time: Option<SystemTime>| {
        time.map_or_else(|| "before".to_owned(), |time| format_relative(time, now))
    };
    match kind {
        RejectionKind::Revoked => format!("it was revoked at {}", since(record.revoked_at())),
        RejectionKind::Expired => format!("it expired at {}", since(record.expires_at())),
        RejectionKind::Disabled => {
            let id = record.id();
            format!("it is disabled; `api-keys update {id} --enable` enables it")
        }
        RejectionKind::Suspended => {
            let tenant = record.tenant().map_or("NAME", TenantId::as_str);
            format!("its tenant is suspended; `api-keys tenant resume {tenant}` resumes it")
        }
        _ => "its record belongs to a key with another prefix".to_owned(),
    }
}

/// Explains why servers with a pepper do not find a key.
pub(crate) fn explain_without_pepper(id: &KeyId) -> String {
    format!(
        "{id} has this secret, but was hashed without API_KEYS_PEPPER: servers with the pepper do \
         not find it, unless they have `KeyHasher::or_sha256`; was it issued without the pepper?"
    )
}

/// Explains why there is no record of a key, without repeating it.
pub(crate) fn explain_unknown(secret: &str, rejection: Option<&Rejection>) -> String {
    if rejection.is_some_and(|rejection| rejection.kind() == RejectionKind::Malformed) {
        let reason = rejection.and_then(|rejection| rejection.source());
        let reason = reason.map_or_else(
            || "the key has a character that is not allowed".to_owned(),
            ToString::to_string,
        );
        return format!("malformed: {reason}");
    }
    let mut text = "no key in this database has this secret".to_owned();
    let default = KeyFormat::default();
    if secret.starts_with("key_") {
        text += ", which may be the id of one";
    } else if secret.starts_with(default.prefix())
        && let Err(error) = default.parse(secret)
    {
        text += &format!("; if its format is the default one, {error}");
    }
    text + "; " + pepper_advice()
}
