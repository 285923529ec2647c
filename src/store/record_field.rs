//! [`RecordField`]: fields that a table may omit.

use std::fmt;

use super::{KeyHint, KeyRecord};
use crate::key::{KeyKind, RateLimits, Restrictions};

/// A field of a [`KeyRecord`] that a repository over a table of another system may omit.
///
/// All other fields are required: the id, the digest, the name, the tenant, the abilities, when a key
/// was issued and revoked, and the revision.
///
/// A repository without a field returns it empty, and **refuses** a record in which it is set: if
/// restrictions, limits, a stage or an expiry were lost, the key would be allowed more than its record
/// says. Only the [hint](Self::Hint) and [who issued a key](Self::CreatedBy), which are for people, may
/// be dropped.
///
/// # Examples
///
/// ```
/// use tower_api_key::store::{CommitError, KeyChange, RecordField, StoreError};
///
/// /// The fields without a column in the table.
/// const NOT_KEPT: [RecordField; 3] =
///     [RecordField::Stage, RecordField::Limits, RecordField::Restrictions];
///
/// fn check(change: &KeyChange) -> Result<(), CommitError> {
///     match RecordField::first_set(&NOT_KEPT, change.record()) {
///         Some(field) => Err(StoreError::answered(format!("there is no column for {field}")).into()),
///         None => Ok(()),
///     }
/// }
/// # use tower_api_key::{KeyHasher, KeyRecord};
/// # let digest = KeyHasher::sha256().digest("k");
/// # let mut record = KeyRecord::new("1".parse()?, digest, "name", std::time::SystemTime::now());
/// # assert!(check(&KeyChange::Insert(record.clone().into())).is_ok());
/// # record.set_stage(Some("live".parse()?));
/// # assert!(check(&KeyChange::Insert(record.into())).is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordField {
    /// [`KeyRecord::hint`].
    Hint,
    /// [`KeyRecord::created_by`].
    CreatedBy,
    /// [`KeyRecord::stage`].
    Stage,
    /// [`KeyRecord::kind`]: all keys are secret.
    Kind,
    /// [`KeyRecord::expires_at`].
    ExpiresAt,
    /// [`KeyRecord::is_disabled`].
    Disabled,
    /// [`KeyRecord::rotation_due_at`].
    RotationDueAt,
    /// [`KeyRecord::successor`], without which keys cannot be rotated.
    Successor,
    /// [`KeyRecord::counted_as`].
    CountedAs,
    /// [`KeyRecord::limits`].
    Limits,
    /// [`KeyRecord::restrictions`].
    Restrictions,
    /// [`KeyRecord::metadata`].
    Metadata,
}

impl RecordField {
    /// Returns the first of these fields that is set in a record.
    #[must_use]
    pub fn first_set(fields: &[Self], record: &KeyRecord) -> Option<Self> {
        fields.iter().copied().find(|field| field.is_set(record))
    }

    /// Tells whether a record has a value in this field.
    #[must_use]
    pub fn is_set(self, record: &KeyRecord) -> bool {
        match self {
            Self::Hint => record.hint != KeyHint::default(),
            Self::CreatedBy => record.created_by().is_some(),
            Self::Stage => record.stage().is_some(),
            Self::Kind => record.kind != KeyKind::default(),
            Self::ExpiresAt => record.expires_at().is_some(),
            Self::Disabled => record.disabled,
            Self::RotationDueAt => record.rotation_due_at().is_some(),
            Self::Successor => record.successor().is_some(),
            Self::CountedAs => record.counted_as().is_some(),
            Self::Limits => !record.limits().is_empty(),
            Self::Restrictions => *record.restrictions() != Restrictions::default(),
            Self::Metadata => !record.metadata().is_empty(),
        }
    }

    /// Empties the field.
    pub fn clear(self, record: &mut KeyRecord) {
        match self {
            Self::Hint => record.hint = KeyHint::default(),
            Self::CreatedBy => record.set_created_by(None),
            Self::Stage => record.set_stage(None),
            Self::Kind => record.kind = KeyKind::default(),
            Self::ExpiresAt => record.set_expires_at(None),
            Self::Disabled => record.disabled = false,
            Self::RotationDueAt => record.set_rotation_due_at(None),
            Self::Successor => record.set_successor(None),
            Self::CountedAs => record.set_counted_as(None),
            Self::Limits => record.set_limits(RateLimits::default()),
            Self::Restrictions => record.set_restrictions(Restrictions::default()),
            Self::Metadata => record.set_metadata(serde_json::Map::new()),
        }
    }
}

impl fmt::Display for RecordField {
    /// Writes the name of the field in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hint => "hint",
            Self::CreatedBy => "created_by",
            Self::Stage => "stage",
            Self::Kind => "kind",
            Self::ExpiresAt => "expires_at",
            Self::Disabled => "disabled",
            Self::RotationDueAt => "rotation_due_at",
            Self::Successor => "successor",
            Self::CountedAs => "counted_as",
            Self::Limits => "limits",
            Self::Restrictions => "restrictions",
            Self::Metadata => "metadata",
        })
    }
}
