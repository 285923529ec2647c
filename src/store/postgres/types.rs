//! Values as PostgreSQL sends them.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef, Postgres};
use sqlx::{Decode, Encode, Type};

/// The microseconds from 1970 to 2000, from where `timestamptz` counts.
const EPOCH: i64 = 946_684_800_000_000;

// The numbers of types are the same in every database (`pg_type.dat`).
const JSON: Oid = Oid(114);
const TIMESTAMPTZ: Oid = Oid(1184);
const TIMESTAMPTZ_ARRAY: Oid = Oid(1185);

/// A `timestamptz`, in microseconds since 1970.
///
/// The types that `sqlx` has for it panic over `infinity`.
pub(super) struct Timestamp(pub(super) i64);

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ_ARRAY)
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let since = self.0.checked_sub(EPOCH).ok_or("a time is out of range")?;
        <i64 as Encode<Postgres>>::encode(since, buffer)
    }
}

impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let since = <i64 as Decode<Postgres>>::decode(value)?;
        // The smallest and the largest number are the infinities.
        let time = since.checked_add(EPOCH).filter(|_| since != i64::MIN);
        time.map(Self).ok_or_else(|| "an infinite time".into())
    }
}

/// A `json`, as text.
pub(super) struct Json(pub(super) String);

impl Type<Postgres> for Json {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSON)
    }
}

impl Encode<'_, Postgres> for Json {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&str as Encode<Postgres>>::encode(&self.0, buffer)
    }
}

impl Decode<'_, Postgres> for Json {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(value.as_str()?.to_owned()))
    }
}
