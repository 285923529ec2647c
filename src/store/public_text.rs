//! The text of public keys. It is not secret, and owners look it up to put it into pages.

use super::KeyRecord;
#[cfg(feature = "pages")]
use crate::key::KeyScheme;
use crate::key::{KeyKind, Secret};

/// The name of the metadata with the text of a public key.
pub(super) const PUBLIC_TEXT: &str = "public_key";

/// Stores the text of a new public key with it, if that was requested. No secret is stored.
pub(super) fn keep_public_text(record: &mut KeyRecord, secret: &Secret) {
    let mut metadata = match record.metadata().get(PUBLIC_TEXT) {
        Some(text) if record.kind() == KeyKind::Public || text.is_null() => {
            record.metadata().clone()
        }
        _ => return,
    };
    if record.kind() == KeyKind::Public {
        metadata.insert(PUBLIC_TEXT.to_owned(), secret.reveal().into());
    } else {
        metadata.remove(PUBLIC_TEXT);
    }
    record.set_metadata(metadata);
}

/// Returns the stored text of a public key, if it is really that of this key.
#[cfg(feature = "pages")]
pub(crate) fn public_text<'a>(record: &'a KeyRecord, scheme: &KeyScheme) -> Option<&'a str> {
    let text = record.metadata().get(PUBLIC_TEXT).filter(|_| record.kind() == KeyKind::Public)?;
    let text = text.as_str()?;
    scheme.digests(text).any(|digest| digest == record.digest()).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::key::{KeyFormat, KeyScheme};
    use crate::store::{IssuedKey, NewKey};

    fn issued(kind: KeyKind) -> IssuedKey {
        let scheme = KeyScheme::new(KeyFormat::new("k_"));
        NewKey::named("one").kind(kind).keep_public_text().generate(&scheme).unwrap()
    }

    #[test]
    fn the_text_of_a_public_key_is_kept_and_no_secret() {
        let public = issued(KeyKind::Public);
        assert_eq!(public.record.metadata()[PUBLIC_TEXT], public.secret.reveal());
        let secret = issued(KeyKind::Secret);
        assert!(secret.record.metadata().is_empty());
    }

    #[test]
    fn a_successor_keeps_its_own_text() {
        let scheme = KeyScheme::new(KeyFormat::new("k_"));
        let IssuedKey { record, .. } = issued(KeyKind::Public);
        let next =
            IssuedKey::with_new_secret(KeyRecord::clone(&record), &KeyFormat::new("k_"), &scheme)
                .unwrap();
        assert_eq!(next.record.metadata()[PUBLIC_TEXT], next.secret.reveal());
        // If a key has none, its successor has none either.
        let mut without = KeyRecord::clone(&record);
        without.set_metadata(serde_json::Map::new());
        let next = IssuedKey::with_new_secret(without, &KeyFormat::new("k_"), &scheme).unwrap();
        assert!(next.record.metadata().is_empty());
    }

    #[cfg(feature = "pages")]
    #[test]
    fn a_text_that_is_not_that_of_the_key_is_not_shown() {
        let scheme = KeyScheme::new(KeyFormat::new("k_"));
        let public = issued(KeyKind::Public);
        assert_eq!(public_text(&public.record, &scheme), Some(public.secret.reveal()));
        let mut other = Arc::unwrap_or_clone(public.record);
        for text in [serde_json::Value::Null, 7.into(), "k_another".into()] {
            other.set_metadata([(PUBLIC_TEXT.to_owned(), text)].into_iter().collect());
            assert_eq!(public_text(&other, &scheme), None);
        }
    }
}
