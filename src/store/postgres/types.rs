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

#[cfg(test)]
mod tests {
    use super::*;

    /// An array as the server sends it.
    fn array(dimensions: &[u32], numbers: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = [u32::try_from(dimensions.len()).unwrap(), 0, BIGINT_ARRAY.0];
        let dimensions = dimensions.iter().flat_map(|length| [*length, 1]);
        for number in header.into_iter().chain(dimensions) {
            bytes.extend(number.to_be_bytes());
        }
        for number in numbers {
            bytes.extend(8_u32.to_be_bytes());
            bytes.extend(number.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn the_numbers_of_all_dimensions_are_read_in_turn() {
        assert_eq!(read_numbers(&array(&[], &[])), Some(vec![]));
        assert_eq!(read_numbers(&array(&[2], &[0, i64::MAX])), Some(vec![0, i64::MAX as u64]));
        assert_eq!(read_numbers(&array(&[2, 2], &[1, 2, 3, 4])), Some(vec![1, 2, 3, 4]));
    }

    #[test]
    fn an_array_of_another_form_is_not_read() {
        let good = array(&[2], &[1, 2]);
        for end in (0..good.len()).filter(|end| ![20, 32].contains(end)) {
            assert_eq!(read_numbers(&good[..end]), None, "{end}");
        }
        assert_eq!(read_numbers(&array(&[2], &[1, -1])), None);
        assert_eq!(read_numbers(&[0xff; 64]), None);
        // A `NULL` has no length.
        let mut null = good;
        null[20..24].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(read_numbers(&null), None);
    }
}
