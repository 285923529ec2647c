//! [`Expiry`]: the choices of an expiry in a form.

/// A choice that the form offers for the expiry of a key.
///
/// # Examples
///
/// ```
/// use tower_api_key::manage::pages::Expiry;
///
/// assert!(Expiry::DEFAULT.contains(&Expiry::Days(90)));
/// assert!(Expiry::DEFAULT.contains(&Expiry::Never));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expiry {
    /// A number of days from now.
    Days(u32),
    /// A date that the owner chooses. If [`Never`](Self::Never) is not offered, the date is not later than the
    /// largest number of [`Days`](Self::Days).
    Date,
    /// No expiry.
    Never,
}

impl Expiry {
    /// The default choices: 7, 30, 60 or 90 days, a date, or never.
    pub const DEFAULT: [Self; 6] =
        [Self::Days(7), Self::Days(30), Self::Days(60), Self::Days(90), Self::Date, Self::Never];

    /// Returns the value in the form.
    pub(super) fn value(self) -> String {
        match self {
            Self::Days(days) => days.to_string(),
            Self::Date => "date".to_owned(),
            Self::Never => "never".to_owned(),
        }
    }
}
