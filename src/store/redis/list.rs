//! Lists, page by page.

use futures_util::future::try_join;

use super::RedisStore;
use super::read::{Read, Use};
use crate::clock::microseconds;
use crate::store::{KeyCursor, KeyPage, KeyQuery, StoreError, StoredKey};

/// How many keys are looked at in one go, at least and at most.
const CHUNK: (usize, usize) = (50, 500);

impl RedisStore {
    pub(super) async fn page(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        let index = self.index(&query.tenant);
        let chunk = (query.page_size() + 1).clamp(CHUNK.0, CHUNK.1);
        let length = chunk.to_string();
        let mut from = query.after.as_ref().map_or_else(|| "+".to_owned(), before);
        let mut keys = Vec::new();
        loop {
            let range = [&*from, "-", "BYLEX", "REV", "LIMIT", "0", &length];
            let read = Read::new("ZRANGE", index.clone()).args(range);
            let places: Vec<String> = self.read(&read, Use::Believed).await?;
            let places = read_places(&places)?;
            keys.extend(self.keys_at(&places).await?.into_iter().filter(|key| query.matches(key)));
            match places.last() {
                Some(last) if places.len() == chunk && keys.len() <= query.page_size() => {
                    from = before(last);
                }
                _ => return Ok(query.page(keys)),
            }
        }
    }

    /// Returns the keys at these places, in their order.
    ///
    /// One may have been removed in the meantime, and a place that is not that of its record is
    /// wrong.
    async fn keys_at(&self, places: &[KeyCursor]) -> Result<Vec<StoredKey>, StoreError> {
        let ids: Vec<_> = places.iter().map(|place| place.id().clone()).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let digests = self.digests(&ids, Use::Believed);
        let (digests, uses) = try_join(digests, self.last_uses(&ids)).await?;
        let known = places.iter().zip(digests).zip(uses);
        let (digests, known): (Vec<_>, Vec<_>) =
            known.filter_map(|((place, digest), used)| Some((digest?, (place, used)))).unzip();
        let kept = self.kept(&digests, Use::Believed).await?;
        let keys = kept.into_iter().zip(known).filter_map(|(kept, (place, used))| {
            let record = kept.before.filter(|record| KeyCursor::of(record) == *place)?;
            Some(StoredKey::new(record, used))
        });
        Ok(keys.collect())
    }
}

/// Where a key is in an index: the order of these texts is that of cursors.
pub(super) fn place(cursor: &KeyCursor) -> String {
    format!("{:020}.{}", microseconds(cursor.created_at()), cursor.id())
}

/// The end of a range without the key itself.
fn before(cursor: &KeyCursor) -> String {
    format!("({}", place(cursor))
}

fn read_places(texts: &[String]) -> Result<Vec<KeyCursor>, StoreError> {
    texts.iter().map(|text| text.parse().map_err(StoreError::new)).collect()
}
