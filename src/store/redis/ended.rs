//! The keys that ended, by an index of when they do.
//!
//! The index `ended` has the [place](EndPlace) of each key that ends some time, and changes with the
//! record. Nodes of the version before do not keep it: what they write is added by a sweep over all
//! keys, a step a page, before the index is used for the first time and then once a week. What the index
//! says is only where to look: the record counts.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use super::RedisStore;
use super::list::place;
use super::read::{Read, Use};
use crate::clock::microseconds;
use crate::key::KeyId;
use crate::redis::Script;
use crate::store::{
    EndPlace, EndedCursor, EndedPage, EndedQuery, KeyCursor, KeyRecord, StoreError, TenantFilter,
};

/// The most keys of a page. One script removes them, and blocks the server meanwhile.
const PAGE: usize = 250;

/// How many keys a step of the sweep looks at.
const STEP: usize = 500;

/// The time until the next sweep, in seconds.
const SWEPT_FOR: u64 = 7 * 24 * 60 * 60;

/// The start of the cursor of a sweep, and the value that is stored once it is complete.
const SWEEP: &str = "sweep:";
const DONE: &str = "done";

static REPLACE_PLACES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=allow-oom
-- KEYS: the index, and the name of a record for each place
-- ARGV: for each place  the JSON of the record (empty if there is none), the place that it leaves and
--   the one that it takes (empty if it is none)
for i = 2, #KEYS do
  local json, left, taken = ARGV[3 * i - 5], ARGV[3 * i - 4], ARGV[3 * i - 3]
  if (redis.call('GET', KEYS[i]) or '') == json then
    if left ~= '' then redis.call('ZREM', KEYS[1], left) end
    if taken ~= '' then redis.call('ZADD', KEYS[1], 0, taken) end
  end
end
return #KEYS",
    )
});

/// A place that is not that of its record.
struct Wrong {
    record: String,
    json: Vec<u8>,
    left: Option<EndPlace>,
    taken: Option<EndPlace>,
}

impl RedisStore {
    /// The sorted set of when keys end.
    pub(super) fn ends(&self) -> String {
        self.name("ended")
    }

    /// How far a sweep has come.
    fn swept(&self) -> String {
        self.name("ended:swept")
    }

    /// Returns a page. Each page is one of the [steps](super::steps::Steps) that leave room for look-ups.
    pub(super) async fn ended_page(&self, query: &EndedQuery) -> Result<EndedPage, StoreError> {
        self.steps.take(self.step(query)).await
    }

    async fn step(&self, query: &EndedQuery) -> Result<EndedPage, StoreError> {
        let after = query.after.as_ref().map(EndedCursor::as_str);
        if let Some(from) = after.and_then(|after| after.strip_prefix(SWEEP)) {
            return self.sweep(from).await;
        }
        if after.is_none() {
            let read = Read::new("GET", self.swept());
            let swept: Option<String> = self.read(&read, Use::Believed).await?;
            match swept.as_deref() {
                Some(DONE) => {}
                from => return self.sweep(from.unwrap_or_default()).await,
            }
        }
        // After a sweep, from the start.
        let after = if after == Some(DONE) { None } else { query.after_place().map_err(wrong)? };
        self.indexed(query, after.as_ref()).await
    }

    /// Adds the places of some keys that the index may lack, and returns where to continue.
    async fn sweep(&self, from: &str) -> Result<EndedPage, StoreError> {
        let from_key: Option<KeyCursor> =
            (!from.is_empty()).then(|| from.parse().map_err(wrong)).transpose()?;
        let bound = from_key.map_or_else(|| "+".to_owned(), |from| format!("({}", place(&from)));
        let range = [&*bound, "-", "BYLEX", "REV", "LIMIT", "0", &STEP.to_string()];
        let read = Read::new("ZRANGE", self.index(&TenantFilter::Any)).args(range);
        let places: Vec<String> = self.read(&read, Use::Believed).await?;
        let places: Vec<KeyCursor> =
            places.iter().map(|text| text.parse().map_err(wrong)).collect::<Result<_, _>>()?;
        let ids: Vec<_> = places.iter().map(|place| place.id().clone()).collect();
        let found = self.found(&ids).await?;
        let missing = found.into_values().filter_map(|(record, json)| {
            let taken = EndPlace::of(&record)?;
            Some(Wrong {
                record: self.record(&record.digest),
                json,
                left: None,
                taken: Some(taken),
            })
        });
        self.replace_places(missing.collect()).await?;
        let last = places.last().filter(|_| places.len() == STEP);
        let (swept, next) = match last {
            Some(last) => (last.to_string(), format!("{SWEEP}{last}")),
            None => (DONE.to_owned(), DONE.to_owned()),
        };
        let mut command = redis::cmd("SET");
        command.arg(self.swept()).arg(swept).arg("EX").arg(SWEPT_FOR);
        let kept: Result<(), _> = command.query_async(&mut self.management.repeating()).await;
        kept.map_err(StoreError::new)?;
        Ok(EndedPage::new(Vec::new(), Some(EndedCursor::new(next))))
    }

    async fn indexed(
        &self,
        query: &EndedQuery,
        after: Option<&EndPlace>,
    ) -> Result<EndedPage, StoreError> {
        let size = query.page_size().min(PAGE);
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let before = format!("({:020}.", microsecond_after(query.before));
        let range = [&*from, &before, "BYLEX", "LIMIT", "0", &size.to_string()];
        let read = Read::new("ZRANGE", self.ends()).args(range);
        let places: Vec<String> = self.read(&read, Use::Believed).await?;
        let places: Vec<EndPlace> =
            places.iter().map(|text| text.parse().map_err(wrong)).collect::<Result<_, _>>()?;
        let ids: Vec<_> = places.iter().map(|place| place.id.clone()).collect();
        let mut found = self.found(&ids).await?;
        let next = places.last().filter(|_| places.len() == size).cloned().map(EndedCursor::from);
        let (mut keys, mut wrong) = (Vec::new(), Vec::new());
        for left in places {
            match found.remove(&left.id) {
                Some((record, _)) if EndPlace::of(&record).as_ref() == Some(&left) => {
                    keys.push(record);
                }
                Some((record, json)) => {
                    let taken = EndPlace::of(&record);
                    let record = self.record(&record.digest);
                    wrong.push(Wrong { record, json, left: Some(left), taken });
                }
                // Under a name that no record has.
                None => wrong.push(Wrong {
                    record: self.name("key:"),
                    json: Vec::new(),
                    left: Some(left),
                    taken: None,
                }),
            }
        }
        self.replace_places(wrong).await?;
        keys.retain(|record| query.matches(record));
        Ok(EndedPage::new(keys, next))
    }

    /// Returns the records of ids, and their JSON.
    async fn found(
        &self,
        ids: &[KeyId],
    ) -> Result<HashMap<KeyId, (Arc<KeyRecord>, Vec<u8>)>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let digests = self.digests(ids, Use::Believed).await?;
        let digests: Vec<_> = digests.into_iter().flatten().collect();
        let kept = self.kept(&digests, Use::Believed).await?;
        let found = kept.into_iter().filter_map(|kept| Some((kept.before?, kept.json)));
        Ok(found.map(|(record, json)| (record.id.clone(), (record, json))).collect())
    }

    /// Puts places right, unless their records were changed meanwhile.
    async fn replace_places(&self, places: Vec<Wrong>) -> Result<(), StoreError> {
        if places.is_empty() {
            return Ok(());
        }
        let mut call = REPLACE_PLACES.call();
        call.key(self.ends());
        let text = |place: Option<EndPlace>| place.map_or_else(String::new, |it| it.to_string());
        for Wrong { record, json, left, taken } in places {
            call.key(record).arg(json).arg(text(left)).arg(text(taken));
        }
        let done: Result<u64, _> = call.run(&mut self.management.repeating()).await;
        done.map(drop).map_err(StoreError::new)
    }
}

/// Returns the first microsecond that is not before `time`.
fn microsecond_after(time: SystemTime) -> u64 {
    microseconds(time.checked_add(Duration::from_nanos(999)).unwrap_or(time))
}

fn wrong(error: crate::store::ParseCursorError) -> StoreError {
    StoreError::answered(error)
}
