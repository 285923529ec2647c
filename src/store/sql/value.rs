//! [`Value`]: a parameter of a statement.

/// A value, as every database binds it in its own type.
#[derive(Clone)]
pub(in crate::store) enum Value {
    Text(Option<String>),
    Texts(Vec<String>),
    Bytes(Vec<u8>),
    Number(i64),
    Flag(bool),
    /// In microseconds since 1970.
    Time(Option<i64>),
    #[cfg(feature = "postgres")]
    Times(Vec<i64>),
    #[cfg(feature = "postgres")]
    Numbers(Vec<i64>),
    Json(Option<String>),
}
