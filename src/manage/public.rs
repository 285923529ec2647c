//! The text of public keys, which everybody can read, and which owners look up to put it into pages.

use super::KeyManager;
use crate::key::{KeyKind, Secret};
use crate::store::KeyRecord;

/// Under which name the metadata of a public key keep its text.
const TEXT: &str = "public_key";

/// Keeps the text of a public key with it.
pub(super) fn keep_public_text(record: &mut KeyRecord, secret: &Secret) {
    if record.kind == KeyKind::Public {
        record.metadata.insert(TEXT.to_owned(), secret.reveal().into());
    }
}

/// Gives a key that took over the metadata of another one its own text, if the other had one.
pub(super) fn renew_public_text(record: &mut KeyRecord, secret: &Secret) {
    if record.metadata.remove(TEXT).is_some() {
        keep_public_text(record, secret);
    }
}

/// Returns the text of a public key, if it is kept, and is that of this key and of no other.
#[cfg(feature = "pages")]
pub(super) fn public_text<'a>(record: &'a KeyRecord, keys: &KeyManager) -> Option<&'a str> {
    let text = record.metadata.get(TEXT).filter(|_| record.kind == KeyKind::Public)?.as_str()?;
    keys.settings.scheme.digests(text).any(|digest| digest == record.digest).then_some(text)
}
