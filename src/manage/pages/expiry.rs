//! [`Expiry`]: what a form offers for the end of a key.

/// What the pages offer for the time at which a key expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expiry {
    /// So many days from now.
    Days(u32),
    /// A day that the owner chooses. Unless [`Never`](Self::Never) is offered as well, it is within the most
    /// [`Days`](Self::Days) that are.
    Date,
    /// Never.
    Never,
}

impl Expiry {
    /// What is offered unless something else is: 7, 30, 60 or 90 days, a date, or never.
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
