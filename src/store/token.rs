//! [`Token`]: identifies an answer of a store, to check whether it is current.

/// Identifies an answer of a store, in numbers that only the store understands.
///
/// A store returns it from [`find_to_keep`](crate::KeyStore::find_to_keep), and gets it back in
/// [`still_holds`](crate::KeyStore::still_holds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token([u64; 2]);

impl Token {
    /// Creates a token from numbers, such as the number of changes and the time of loading.
    #[must_use]
    pub const fn new(numbers: [u64; 2]) -> Self {
        Self(numbers)
    }

    /// Returns the numbers.
    #[must_use]
    pub const fn numbers(self) -> [u64; 2] {
        self.0
    }
}
