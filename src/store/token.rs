//! [`Token`]: by which a store tells whether an answer still holds.

/// When a store gave an answer, in numbers that only the store understands.
///
/// A store returns it from [`find_to_keep`](crate::KeyStore::find_to_keep), and gets it back in
/// [`still_holds`](crate::KeyStore::still_holds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token([u64; 2]);

impl Token {
    /// Makes a token of numbers, such as how often the key was changed and when it was loaded.
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
