//! [`Immediate`]: an answer without waiting.

/// The answer of a store or a limiter without waiting, or the request to call the asynchronous method.
///
/// # Examples
///
/// ```
/// use tower_api_key::Immediate;
///
/// fn cached(id: u32) -> Immediate<&'static str> {
///     if id == 7 { Immediate::Answer("seven") } else { Immediate::Ask }
/// }
/// assert_eq!(cached(7).answer(), Some("seven"));
/// assert_eq!(cached(8), Immediate::Ask);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Immediate<T> {
    /// The answer.
    Answer(T),
    /// There is no answer without waiting: call the asynchronous method.
    Ask,
}

impl<T> Immediate<T> {
    /// Returns the answer, if there is one.
    #[must_use]
    pub fn answer(self) -> Option<T> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::Ask => None,
        }
    }

    /// Applies `change` to the answer, if there is one.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Immediate<U> {
        match self {
            Self::Answer(answer) => Immediate::Answer(change(answer)),
            Self::Ask => Immediate::Ask,
        }
    }
}
