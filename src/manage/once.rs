//! Issuing a key once, even if the request is repeated.

use std::sync::Arc;

use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::key::{KeyDigest, KeyHasher, KeyId, TenantId};
use crate::store::{AuditAction, CommitError, IssuedKey, KeyChange, KeyRecord, NewKey};

/// The name of the metadata with the fingerprint of the request that issued a key.
const REQUEST: &str = "idempotency_fingerprint";

/// The outcome of a request for a key.
pub(super) enum Once {
    /// The key was issued.
    New(IssuedKey),
    /// A key was issued for this request before. Its secret is not known any more.
    Before {
        id: KeyId,
        /// Whether the request is the same as the one before.
        is_same: bool,
    },
}

impl KeyManager {
    /// Issues a key, unless one was issued for the tenant and the same `name` of a request before.
    ///
    /// The id of the key is derived from the tenant and that name, and ids are unique. So it works with every
    /// repository, as long as that keeps the key, and for requests at the same time on different nodes.
    pub(super) async fn issue_once(
        &self,
        key: NewKey,
        name: &str,
        request: &KeyDigest,
    ) -> Result<Once, ManageError> {
        self.in_time(self.issue_new_once(key, name, request)).await
    }

    async fn issue_new_once(
        &self,
        key: NewKey,
        name: &str,
        request: &KeyDigest,
    ) -> Result<Once, ManageError> {
        let IssuedKey { record: wanted, secret } = key.generate(&self.settings.scheme)?;
        for attempt in 0..Errand::Change.attempts() {
            let authority = self.authority().await?;
            let mut record = KeyRecord::clone(&wanted);
            authority.hand_on(&mut record);
            let id = id_of(record.tenant.as_ref(), name)?;
            // First: what is asked for may not be granted any more, such as for its expiry.
            if let Some(before) = self.issued_before(&id, request).await? {
                return Ok(before);
            }
            let now = self.now();
            let mut record = self.granted(&wanted, &authority, now)?;
            record.id = id;
            record.change_metadata(|metadata| {
                metadata.insert(REQUEST.to_owned(), request.to_string().into());
            });
            let record = Arc::new(record);
            let event = self.event(now, AuditAction::Issued, None, Some(&record));
            let changes = [KeyChange::Insert(Arc::clone(&record))];
            match self.commit(&authority, &changes, &[event]).await {
                // The owner was changed, or the same request was faster.
                Err(CommitError::Conflict | CommitError::Exists) => {
                    Errand::Change.pause(attempt).await;
                }
                result => return Ok(result.map(|()| Once::New(IssuedKey { record, secret }))?),
            }
        }
        Err(ManageError::Conflict)
    }

    async fn issued_before(
        &self,
        id: &KeyId,
        request: &KeyDigest,
    ) -> Result<Option<Once>, ManageError> {
        let Some(key) = self.settings.repository.get(id).await? else { return Ok(None) };
        let asked_for = key.record.metadata().get(REQUEST).and_then(|asked_for| asked_for.as_str());
        // The application may have set other metadata since.
        let is_same = asked_for.is_none_or(|asked_for| asked_for == request.to_string());
        Ok(Some(Once::Before { id: key.record.id.clone(), is_same }))
    }
}

/// Derives the id of a key from its tenant and the name of the request.
fn id_of(tenant: Option<&TenantId>, name: &str) -> Result<KeyId, ManageError> {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // No tenant has a space in its name.
    let tenant = tenant.map_or("", TenantId::as_str);
    let digest = KeyHasher::sha256().digest(&format!("tower-api-key issues once: {tenant} {name}"));
    let letters = digest.as_bytes().iter().take(20).map(|byte| usize::from(byte % 62));
    let text: String = letters.map(|letter| char::from(ALPHABET[letter])).collect();
    format!("key_{text}").parse().map_err(|_| ManageError::Conflict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_that_of_one_request_of_one_tenant() {
        let [acme, other]: [TenantId; 2] = ["acme", "acme1"].map(|name| name.parse().unwrap());
        let id = |tenant, name| id_of(tenant, name).unwrap();
        assert_eq!(id(Some(&acme), "1 2"), id(Some(&acme), "1 2"));
        assert_eq!(id(Some(&acme), "1").as_str().len(), KeyId::generate().unwrap().as_str().len());
        let ids = [
            id(Some(&acme), "1"),
            id(Some(&acme), "2"),
            id(Some(&other), "1"),
            id(None, "1"),
            id(None, "acme 1"),
        ];
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
    }
}
