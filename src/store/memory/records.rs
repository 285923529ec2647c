//! [`Records`]: records by their digests.

use std::borrow::Borrow;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use crate::key::KeyDigest;
use crate::store::KeyRecord;

/// Records by their own digests, which are not stored a second time. Readers take no lock.
///
/// A replacement has the same digest as the record that it replaces.
#[derive(Default)]
pub(super) struct Records(papaya::HashMap<ByDigest, (), BuildHasherDefault<FirstBytes>>);

impl Records {
    pub(super) fn get(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        self.0.pin().get_key_value(digest).map(|(found, ())| Arc::clone(&found.0))
    }

    pub(super) fn has(&self, digest: &KeyDigest) -> bool {
        self.0.pin().contains_key(digest)
    }

    /// Keeps a record, and returns the one that had its digest. Only one thread at a time changes records.
    pub(super) fn insert(&self, record: &Arc<KeyRecord>) -> Option<Arc<KeyRecord>> {
        let before = self.get(&record.digest);
        self.0.pin().insert(ByDigest(Arc::clone(record)), ());
        self.free();
        before
    }

    pub(super) fn remove(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let removed = self.0.pin().remove_entry(digest).map(|(removed, ())| Arc::clone(&removed.0));
        self.free();
        removed
    }

    /// Makes the map free its old tables once no thread reads them. Otherwise it keeps all tables that
    /// became too small, which together are as large as the last one.
    fn free(&self) {
        papaya::Guard::flush(&self.0.guard());
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A record that is found by its digest.
#[derive(Clone)]
pub(crate) struct ByDigest(pub(crate) Arc<KeyRecord>);

impl Borrow<KeyDigest> for ByDigest {
    #[inline]
    fn borrow(&self) -> &KeyDigest {
        &self.0.digest
    }
}

impl PartialEq for ByDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for ByDigest {}

impl Hash for ByDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

/// Takes the eight bytes that a [`KeyDigest`] hashes as they are: digests of stored keys are
/// random, and hashing them again would make them no more so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(8) ^ number;
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_record_is_replaced_by_the_one_that_comes_next() {
        let records = Records::default();
        let record = |name| {
            let digest = KeyDigest::from_bytes([7; 32]);
            let id = "key_1".parse().unwrap();
            Arc::new(KeyRecord::new(id, digest, name, SystemTime::UNIX_EPOCH))
        };
        let [first, second] = ["first", "second"].map(record);
        assert_eq!(records.insert(&first), None);
        assert_eq!(records.insert(&second).unwrap().name(), "first");
        assert_eq!(records.get(&first.digest).unwrap().name(), "second");
        assert_eq!(records.len(), 1);
        assert_eq!(records.remove(&first.digest).unwrap().name(), "second");
        assert!(!records.has(&first.digest));
    }
}
