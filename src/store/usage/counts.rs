//! [`UsageCounts`]: the numbers of requests by outcome.

use std::fmt;

/// The outcome of a request with a known key: accepted, or why it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UsageKind {
    /// The request was accepted.
    Accepted,
    /// The key is disabled.
    Disabled,
    /// All keys of the tenant are suspended.
    Suspended,
    /// The key was revoked.
    Revoked,
    /// The key has expired.
    Expired,
    /// The key is for another stage.
    WrongStage,
    /// The key is for another tenant.
    WrongTenant,
    /// The key lacks an ability.
    MissingAbility,
    /// The key does not allow this request for another reason.
    NotAllowed,
    /// Another key opened the session.
    UnknownSession,
    /// The key was used too often.
    RateLimited,
    /// The request was refused for a reason that has no count of its own.
    Other,
}

impl UsageKind {
    /// All kinds. The first is [`Accepted`](Self::Accepted).
    pub const ALL: [Self; 12] = [
        Self::Accepted,
        Self::Disabled,
        Self::Suspended,
        Self::Revoked,
        Self::Expired,
        Self::WrongStage,
        Self::WrongTenant,
        Self::MissingAbility,
        Self::NotAllowed,
        Self::UnknownSession,
        Self::RateLimited,
        Self::Other,
    ];

    /// Returns the name, such as `rate_limited`, which is also the name of a column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Disabled => "disabled",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::WrongStage => "wrong_stage",
            Self::WrongTenant => "wrong_tenant",
            Self::MissingAbility => "missing_ability",
            Self::NotAllowed => "not_allowed",
            Self::UnknownSession => "unknown_session",
            Self::RateLimited => "rate_limited",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for UsageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The numbers of requests by outcome.
///
/// # Examples
///
/// ```
/// use tower_api_key::store::{UsageCounts, UsageKind};
///
/// let mut counts = UsageCounts::default();
/// counts.add(UsageKind::Accepted, 40);
/// counts.add(UsageKind::RateLimited, 2);
/// assert_eq!((counts.accepted(), counts.refused(), counts.total()), (40, 2, 42));
/// assert_eq!(counts.of(UsageKind::RateLimited), 2);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageCounts([u64; UsageKind::ALL.len()]);

impl UsageCounts {
    /// Returns how many requests had this outcome.
    #[must_use]
    pub const fn of(&self, kind: UsageKind) -> u64 {
        self.0[kind as usize]
    }

    /// Returns how many requests were accepted.
    #[must_use]
    pub const fn accepted(&self) -> u64 {
        self.of(UsageKind::Accepted)
    }

    /// Returns how many requests were refused, for any reason.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0[1..].iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns how many requests there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.accepted().saturating_add(self.refused())
    }

    /// Tells whether there was no request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds requests with one outcome.
    pub fn add(&mut self, kind: UsageKind, count: u64) {
        let sum = &mut self.0[kind as usize];
        *sum = sum.saturating_add(count);
    }

    /// Adds all numbers of other counts.
    pub fn add_all(&mut self, others: &Self) {
        others.iter().for_each(|(kind, count)| self.add(kind, count));
    }

    /// Returns the kinds with requests, and their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (UsageKind, u64)> + '_ {
        let all = UsageKind::ALL.into_iter().map(|kind| (kind, self.of(kind)));
        all.filter(|(_, count)| *count > 0)
    }
}

impl fmt::Debug for UsageCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(kind, count)| (kind.as_str(), count))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_in_a_place_of_its_own() {
        for (place, kind) in UsageKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            let mut counts = UsageCounts::default();
            counts.add(kind, 3);
            assert_eq!(counts.iter().collect::<Vec<_>>(), [(kind, 3)]);
        }
    }

    #[test]
    fn sums_end_at_the_largest_number() {
        let mut counts = UsageCounts::default();
        counts.add(UsageKind::Accepted, u64::MAX);
        counts.add(UsageKind::Other, u64::MAX);
        counts.add_all(&counts.clone());
        assert_eq!(
            (counts.accepted(), counts.refused(), counts.total()),
            (u64::MAX, u64::MAX, u64::MAX)
        );
        assert_eq!(format!("{:?}", UsageCounts::default()), "{}");
    }
}
