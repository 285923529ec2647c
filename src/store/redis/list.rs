//! Lists, page by page, in small steps.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::RedisStore;
use super::decode::decode;
use super::read::{ReadScript, is_suspended};
use super::repository::used_at;
use crate::clock::{LAST, microseconds};
use crate::rfc3339::format_time;
use crate::store::{KeyCursor, KeyPage, KeyQuery, StoreError, StoredKey};

/// How many records one step visits at most: where each of them is only sent, and where it is read to
/// see whether it is asked for, which takes the server longer. Nobody else is answered meanwhile.
pub(super) const STEP: (usize, usize) = (500, 100);

static LIST: LazyLock<ReadScript> = LazyLock::new(|| ReadScript::new(include_str!("list.lua")));

/// The number of visited places, the last of them, and the found records.
type Answer = (usize, String, Vec<Found>);

/// The place of a record, its digest, its JSON, when its key was last used, and the state of its tenant.
type Found = (String, String, Vec<u8>, f64, u8);

impl RedisStore {
    /// Visits records in steps, between which the server answers others.
    ///
    /// This node decides which records match. The server leaves out records that cannot match, by their
    /// content: an index by state would miss the changes of nodes of the previous version.
    pub(super) async fn page(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        let (asked, is_selective) = asked(query)?;
        let index = self.index(&query.tenant);
        let (mut from, mut left) = (start(query), query.visits());
        let mut keys = Vec::new();
        loop {
            let wanted = query.page_size() + 1 - keys.len();
            let step = if is_selective { STEP.1 } else { wanted.min(STEP.0) }.min(left);
            let answer = LIST.run(&self.management, |call| {
                call.key(index.clone())
                    .key(self.ids())
                    .key(self.uses())
                    .key(self.suspended_tenants());
                call.arg(self.name("key:")).arg(&from).arg(step).arg(&asked);
            });
            let (visited, at, found): Answer = self.steps.take(answer).await?;
            for found in found {
                keys.extend(read_found(&found)?.filter(|key| query.matches(key)));
            }
            if visited < step {
                return Ok(query.page(keys, None));
            }
            left -= visited;
            let at: KeyCursor = at.parse().map_err(StoreError::answered)?;
            if left == 0 || keys.len() > query.page_size() {
                return Ok(query.page(keys, Some(at)));
            }
            from = before(&at);
        }
    }
}

/// Reads the record at a place. A place that is not that of its record is wrong.
fn read_found((at, digest, json, used, standing): &Found) -> Result<Option<StoredKey>, StoreError> {
    let digest = digest.parse().map_err(StoreError::answered)?;
    let record = Arc::new(decode(json, &digest, is_suspended(*standing)?)?);
    let is_there = place(&KeyCursor::of(&record)) == *at;
    is_there.then(|| Ok(StoredKey::new(record, used_at(*used)?))).transpose()
}

/// Returns as JSON what the server may leave out, and whether it has to read each record for that.
fn asked(query: &KeyQuery) -> Result<(String, bool), StoreError> {
    let mut asked = Map::new();
    let mut ask = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            asked.insert(name.to_owned(), value.into());
        }
    };
    ask("state", query.state.map(|state| state.to_string()));
    ask("name", query.name.as_deref().map(str::to_ascii_lowercase));
    ask("stage", query.stage.as_ref().map(ToString::to_string));
    ask("kind", query.kind.map(|kind| kind.to_string()));
    ask("created_by", query.created_by.as_ref().map(ToString::to_string));
    ask("rotation_due_by", query.rotation_due_by.map(exact));
    let reads_records = !asked.is_empty();
    asked.insert("at".to_owned(), exact(query.at).into());
    if let Some(time) = query.unused_since {
        asked.insert("unused_since".to_owned(), microseconds(time).to_string().into());
    }
    asked.insert("reads_records".to_owned(), reads_records.into());
    let is_selective = reads_records || query.unused_since.is_some();
    Ok((Value::Object(asked).to_string(), is_selective))
}

/// Writes a time, or the nearest that a record can have, as texts that have its order: those of
/// records with all digits of a second, and no point.
pub(super) fn exact(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let latest = LAST + Duration::from_nanos(999_999_999);
    let text = format_time(SystemTime::UNIX_EPOCH + since.min(latest), Some(9));
    text.unwrap_or_default().replace(['.', 'Z'], "")
}

/// The place of a key in an index: these texts have the order of cursors.
pub(super) fn place(cursor: &KeyCursor) -> String {
    format!("{:020}.{}", microseconds(cursor.created_at()), cursor.id())
}

/// Returns where visiting begins: behind the cursor, and where keys have to be unused for some time,
/// among those that were issued before.
fn start(query: &KeyQuery) -> String {
    let after = query.after.as_ref().map(place);
    let oldest = query.unused_since.map(|time| {
        // The next microsecond, since a record may have parts of one.
        format!("{:020}.", microseconds(time).saturating_add(1))
    });
    let place = match (after, oldest) {
        (Some(after), Some(oldest)) => Some(after.min(oldest)),
        (after, oldest) => after.or(oldest),
    };
    place.map_or_else(|| "+".to_owned(), |place| format!("({place}"))
}

/// The end of a range without the key itself.
fn before(cursor: &KeyCursor) -> String {
    format!("({}", place(cursor))
}
