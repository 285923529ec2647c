//! A record as a row.

use std::error::Error;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value as Json;

use super::error::{UnreadableRow, UnwritableRecord};
use super::time::{from_microseconds, to_microseconds};
use super::value::Value;
use crate::key::{Ability, KeyDigest};
use crate::store::{KeyCursor, KeyHint, KeyRecord, StoreError, StoredKey};

/// The columns of a key, in the order of [`KeyRow::into_values`].
pub(super) const COLUMNS: [&str; 20] = [
    "id",
    "digest",
    "hint",
    "name",
    "tenant",
    "stage",
    "kind",
    "abilities",
    "created_at",
    "expires_at",
    "revoked_at",
    "disabled",
    "rotation_due_at",
    "successor",
    "limits",
    "restrictions",
    "metadata",
    "revision",
    "counted_as",
    "created_by",
];

/// A record as every database stores it: times in microseconds since 1970, and structures as JSON.
pub(in crate::store) struct KeyRow {
    pub(in crate::store) id: String,
    pub(in crate::store) digest: Vec<u8>,
    pub(in crate::store) hint: String,
    pub(in crate::store) name: String,
    pub(in crate::store) tenant: Option<String>,
    pub(in crate::store) stage: Option<String>,
    pub(in crate::store) kind: String,
    pub(in crate::store) abilities: Vec<String>,
    pub(in crate::store) created_at: i64,
    pub(in crate::store) expires_at: Option<i64>,
    pub(in crate::store) revoked_at: Option<i64>,
    pub(in crate::store) disabled: bool,
    pub(in crate::store) rotation_due_at: Option<i64>,
    pub(in crate::store) successor: Option<String>,
    pub(in crate::store) limits: String,
    pub(in crate::store) restrictions: String,
    pub(in crate::store) metadata: String,
    pub(in crate::store) revision: i64,
    pub(in crate::store) counted_as: Option<String>,
    pub(in crate::store) created_by: Option<String>,
    /// Not a column of the row.
    pub(in crate::store) suspended: bool,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl KeyRow {
    /// Makes the row of a record, or returns why it cannot be stored.
    pub(super) fn of(record: &KeyRecord) -> Result<Self, StoreError> {
        let unwritable = |reason: String| {
            let id = record.id.as_str().into();
            StoreError::answered(UnwritableRecord { id, reason: reason.into() })
        };
        let row = Self::try_from(record).map_err(|error| unwritable(error.to_string()))?;
        // Some JSON, such as one that is nested too deeply, can be written but not read.
        let kept = row.to_record().map_err(|error| unwritable(error.to_string()))?;
        if kept.metadata() == record.metadata() {
            Ok(row)
        } else {
            Err(unwritable("its metadata would not be read back as they are".into()))
        }
    }

    /// Returns the values of [`COLUMNS`].
    pub(super) fn into_values(self) -> Vec<Value> {
        let text = |text| Value::Text(Some(text));
        let json = |json| Value::Json(Some(json));
        vec![
            text(self.id),
            Value::Bytes(self.digest),
            text(self.hint),
            text(self.name),
            Value::Text(self.tenant),
            Value::Text(self.stage),
            text(self.kind),
            Value::Texts(self.abilities),
            Value::Time(Some(self.created_at)),
            Value::Time(self.expires_at),
            Value::Time(self.revoked_at),
            Value::Flag(self.disabled),
            Value::Time(self.rotation_due_at),
            Value::Text(self.successor),
            json(self.limits),
            json(self.restrictions),
            json(self.metadata),
            Value::Number(self.revision),
            Value::Text(self.counted_as),
            Value::Text(self.created_by),
        ]
    }

    /// Reads the record.
    ///
    /// # Errors
    ///
    /// Returns an error that names the column if one has not the form that this crate writes.
    pub(in crate::store) fn read(&self) -> Result<Arc<KeyRecord>, StoreError> {
        self.to_record().map(Arc::new).map_err(StoreError::answered)
    }

    /// Reads the record and when its key was last used.
    ///
    /// # Errors
    ///
    /// Returns an error that names the column if one has not the form that this crate writes.
    pub(in crate::store) fn read_with_use(
        &self,
        last_used_at: Option<i64>,
    ) -> Result<StoredKey, StoreError> {
        let last_used_at = self.optional_time("last_used_at", last_used_at);
        Ok(StoredKey::new(self.read()?, last_used_at.map_err(StoreError::answered)?))
    }

    fn to_record(&self) -> Result<KeyRecord, UnreadableRow> {
        let (id, created_at) =
            (self.parse("id", &self.id)?, self.time("created_at", self.created_at)?);
        let mut record = KeyRecord::new(id, self.digest()?, &*self.name, created_at);
        record.hint = KeyHint::from_text(&*self.hint);
        record.tenant = self.optional("tenant", self.tenant.as_deref())?;
        record.set_created_by(self.optional("created_by", self.created_by.as_deref())?);
        record.set_stage(self.optional("stage", self.stage.as_deref())?);
        record.kind = self.checked("kind", serde_json::from_value(Json::from(&*self.kind)))?;
        let abilities = self.abilities.iter();
        record.abilities = abilities
            .map(|ability| self.parse::<Ability>("abilities", ability))
            .collect::<Result<_, _>>()?;
        record.set_expires_at(self.optional_time("expires_at", self.expires_at)?);
        record.set_revoked_at(self.optional_time("revoked_at", self.revoked_at)?);
        record.disabled = self.disabled;
        record.set_rotation_due_at(self.optional_time("rotation_due_at", self.rotation_due_at)?);
        record.set_successor(self.optional("successor", self.successor.as_deref())?);
        record.set_counted_as(self.optional("counted_as", self.counted_as.as_deref())?);
        record.set_limits(self.checked("limits", serde_json::from_str(&self.limits))?);
        let restrictions = serde_json::from_str(&self.restrictions);
        record.set_restrictions(self.checked("restrictions", restrictions)?);
        record.set_metadata(self.checked("metadata", serde_json::from_str(&self.metadata))?);
        record.revision = self.checked("revision", u64::try_from(self.revision))?;
        record.suspended = self.suspended;
        Ok(record)
    }

    fn digest(&self) -> Result<KeyDigest, UnreadableRow> {
        let bytes = self.checked("digest", <[u8; 32]>::try_from(&*self.digest))?;
        Ok(KeyDigest::from_bytes(bytes))
    }

    fn parse<T>(&self, column: &'static str, text: &str) -> Result<T, UnreadableRow>
    where
        T: FromStr<Err: Into<BoxError>>,
    {
        self.checked(column, text.parse())
    }

    fn optional<T>(
        &self,
        column: &'static str,
        text: Option<&str>,
    ) -> Result<Option<T>, UnreadableRow>
    where
        T: FromStr<Err: Into<BoxError>>,
    {
        text.map(|text| self.parse(column, text)).transpose()
    }

    fn time(&self, column: &'static str, time: i64) -> Result<SystemTime, UnreadableRow> {
        self.checked(column, from_microseconds(time))
    }

    fn optional_time(
        &self,
        column: &'static str,
        time: Option<i64>,
    ) -> Result<Option<SystemTime>, UnreadableRow> {
        time.map(|time| self.time(column, time)).transpose()
    }

    fn checked<T, E: Into<BoxError>>(
        &self,
        column: &'static str,
        read: Result<T, E>,
    ) -> Result<T, UnreadableRow> {
        let id = || self.id.as_str().into();
        read.map_err(|error| UnreadableRow { id: id(), column, source: error.into() })
    }
}

/// Reads the place of a row in a list.
pub(in crate::store) fn place(created_at: i64, id: &str) -> Result<KeyCursor, StoreError> {
    let created_at = from_microseconds(created_at).map_err(StoreError::answered)?;
    Ok(KeyCursor::new(created_at, id.parse().map_err(StoreError::answered)?))
}

impl TryFrom<&KeyRecord> for KeyRow {
    type Error = BoxError;

    fn try_from(record: &KeyRecord) -> Result<Self, BoxError> {
        let text = |text: &str| text.to_owned();
        Ok(Self {
            id: text(record.id.as_str()),
            digest: record.digest.as_bytes().to_vec(),
            hint: record.hint.as_str().to_owned(),
            name: record.name().to_owned(),
            tenant: record.tenant.as_ref().map(|tenant| text(tenant.as_str())),
            stage: record.stage().map(|stage| text(stage.as_str())),
            kind: record.kind.to_string(),
            abilities: record.abilities.iter().map(|ability| text(ability.as_str())).collect(),
            created_at: to_microseconds(record.created_at())?,
            expires_at: record.expires_at().map(to_microseconds).transpose()?,
            revoked_at: record.revoked_at().map(to_microseconds).transpose()?,
            disabled: record.disabled,
            rotation_due_at: record.rotation_due_at().map(to_microseconds).transpose()?,
            successor: record.successor().map(|id| text(id.as_str())),
            limits: serde_json::to_string(record.limits())?,
            restrictions: serde_json::to_string(record.restrictions())?,
            metadata: serde_json::to_string(record.metadata())?,
            revision: i64::try_from(record.revision)?,
            counted_as: record.counted_as().map(|id| text(id.as_str())),
            created_by: record.created_by().map(ToString::to_string),
            suspended: record.suspended,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::key::KeyHasher;

    fn record() -> KeyRecord {
        let mut record = KeyRecord::new(
            "key_1".parse().unwrap(),
            KeyHasher::sha256().digest("k"),
            "n",
            SystemTime::now(),
        );
        record.set_created_at(SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789));
        record
    }

    fn row() -> KeyRow {
        KeyRow::of(&record()).unwrap()
    }

    #[test]
    fn times_are_kept_to_the_microsecond() {
        let kept = row().read().unwrap();
        let mut expected = record();
        expected.set_created_at(expected.created_at() - Duration::from_nanos(789));
        assert_eq!(*kept, expected);
    }

    #[test]
    fn there_are_as_many_values_as_columns() {
        assert_eq!(row().into_values().len(), COLUMNS.len());
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let refused = |change: fn(&mut KeyRecord), reason: &str| {
            let mut record = record();
            change(&mut record);
            let error = KeyRow::of(&record).err().unwrap().to_string();
            assert!(
                error.contains("key \"key_1\" cannot be kept") && error.contains(reason),
                "{error}"
            );
        };
        refused(|record| record.revision = u64::MAX, "out of range");
        refused(
            |record| record.set_created_at(record.created_at() - Duration::from_secs(1 << 31)),
            "1970 to 9999",
        );
        refused(|record| record.set_expires_at(Some(far())), "1970 to 9999");
        refused(|record| record.set_revoked_at(Some(far())), "1970 to 9999");
        refused(|record| record.set_rotation_due_at(Some(far())), "1970 to 9999");
        let nest = |record: &mut KeyRecord| {
            let deep = (0..200).fold(Json::Null, |inner, _| Json::Array(vec![inner]));
            record.change_metadata(|metadata| {
                metadata.insert("deep".to_owned(), deep);
            });
        };
        refused(nest, "recursion limit");
    }

    fn far() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)
    }

    #[test]
    fn a_row_of_another_form_is_an_error_that_names_the_column() {
        type Change = fn(&mut KeyRow);
        let changes: [(&str, Change); 18] = [
            ("id", |row| row.id = "a b".to_owned()),
            ("digest", |row| row.digest.truncate(31)),
            ("digest", |row| row.digest.push(0)),
            ("tenant", |row| row.tenant = Some(String::new())),
            ("stage", |row| row.stage = Some("/".to_owned())),
            ("kind", |row| row.kind = "Secret".to_owned()),
            ("abilities", |row| row.abilities.push("admin:".to_owned())),
            ("created_at", |row| row.created_at = -1),
            ("expires_at", |row| row.expires_at = Some(i64::MAX)),
            ("revoked_at", |row| row.revoked_at = Some(i64::MIN)),
            ("successor", |row| row.successor = Some("\u{e4}".to_owned())),
            ("created_by", |row| row.created_by = Some("alice".to_owned())),
            ("counted_as", |row| row.counted_as = Some("a b".to_owned())),
            ("limits", |row| row.limits = r#"["1 per month"]"#.to_owned()),
            ("restrictions", |row| row.restrictions = r#"{"adresses":[]}"#.to_owned()),
            ("restrictions", |row| row.restrictions = "null".to_owned()),
            ("metadata", |row| row.metadata = "[]".to_owned()),
            ("revision", |row| row.revision = -1),
        ];
        for (column, change) in changes {
            let mut row = row();
            change(&mut row);
            let error = row.read().unwrap_err().to_string();
            assert!(error.contains(&format!("cannot be read: `{column}`")), "{error}");
        }
        assert!(row().read_with_use(Some(-1)).is_err());
    }
}
