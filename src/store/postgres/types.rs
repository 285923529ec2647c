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
const BIGINT_ARRAY: Oid = Oid(1016);
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

/// The numbers of a `bigint[]` of any dimensions, one after the other, none of which is negative.
///
/// The `Vec` of `sqlx` refuses several dimensions.
pub(super) struct Numbers(pub(super) Vec<u64>);

impl Type<Postgres> for Numbers {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(BIGINT_ARRAY)
    }
}

impl Decode<'_, Postgres> for Numbers {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let read = read_numbers(value.as_bytes()?);
        read.map(Self).ok_or_else(|| "an array of usage has another form".into())
    }
}

/// Reads the binary form of an array: how many dimensions there are, whether there is a `NULL`, the type, the length
/// and first index of each dimension, and each number after its length.
fn read_numbers(bytes: &[u8]) -> Option<Vec<u64>> {
    let (dimensions, rest) = bytes.split_first_chunk()?;
    let dimensions = usize::try_from(u32::from_be_bytes(*dimensions)).ok()?;
    let (numbers, rest) = rest.get(8 + 8 * dimensions..)?.as_chunks::<12>();
    if !rest.is_empty() {
        return None;
    }
    let read = |number: &[u8; 12]| {
        let [0, 0, 0, 8, number @ ..] = number else { return None };
        u64::try_from(i64::from_be_bytes(*number)).ok()
    };
    numbers.iter().map(read).collect()
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
