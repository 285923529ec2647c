//! [`RateLimits`]: all rate limits of a key.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use http::HeaderValue;

use super::{InvalidFields, RateLimit, RateLimitError};

pub(crate) const MAX_LIMITS: usize = 8;

/// The rate limits of a key. The default has none.
///
/// # Examples
///
/// ```
/// use tower_api_key::key::RateLimits;
/// use tower_api_key::RateLimit;
///
/// let limits = RateLimits::new([RateLimit::per_second(10), RateLimit::per_day(10_000)])?;
/// assert_eq!(limits.len(), 2);
/// # Ok::<_, tower_api_key::key::RateLimitError>(())
/// ```
#[derive(Clone, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Vec<RateLimit>", into = "Vec<RateLimit>"))]
pub struct RateLimits(Option<Arc<Inner>>);

struct Inner {
    limits: Box<[RateLimit]>,
    /// The value of `RateLimit-Policy`, written once.
    policy: HeaderValue,
}

impl RateLimits {
    /// No limits.
    pub(crate) const NONE: Self = Self(None);

    /// Combines limits.
    ///
    /// # Errors
    ///
    /// Returns an error if two have the same name, or if there are more than 8.
    pub fn new(limits: impl IntoIterator<Item = RateLimit>) -> Result<Self, RateLimitError> {
        let limits: Box<[_]> = limits.into_iter().collect();
        if limits.is_empty() {
            return Ok(Self(None));
        }
        if limits.len() > MAX_LIMITS {
            return Err(RateLimitError::TooMany);
        }
        let same = |(index, limit): (usize, &RateLimit)| {
            limits[..index].iter().any(|other| other.name() == limit.name())
        };
        if limits.iter().enumerate().any(same) {
            return Err(RateLimitError::SameName);
        }
        let item = |limit: &RateLimit| {
            let (name, quota) = (limit.name(), limit.quota());
            format!("\"{name}\";q={quota};w={}", limit.window().as_secs())
        };
        let policy = limits.iter().map(item).collect::<Vec<_>>().join(", ");
        let policy = HeaderValue::try_from(policy).map_err(|_| RateLimitError::Name)?;
        Ok(Self(Some(Arc::new(Inner { limits, policy }))))
    }

    /// Adds limits, or keeps what is wrong with them.
    pub(crate) fn add<L>(
        &mut self,
        limits: impl IntoIterator<Item = L>,
        invalid: &mut InvalidFields,
    ) where
        L: TryInto<RateLimit, Error: fmt::Display>,
    {
        let more = invalid.convert_all("limits", limits);
        match Self::new(self.iter().cloned().chain(more)) {
            Ok(all) => *self = all,
            Err(error) => invalid.add("limits", None, error),
        }
    }

    /// Returns the value of `RateLimit-Policy`, if there are limits.
    pub(crate) fn policy(&self) -> Option<&HeaderValue> {
        self.0.as_ref().map(|inner| &inner.policy)
    }
}

impl super::HeapSize for RateLimits {
    fn heap_size(&self) -> usize {
        self.0.as_ref().map_or(0, |inner| {
            size_of_val(&**inner) + inner.limits.heap_size() + inner.policy.len()
        })
    }
}

impl Deref for RateLimits {
    type Target = [RateLimit];

    fn deref(&self) -> &[RateLimit] {
        self.0.as_ref().map_or(&[], |inner| &inner.limits)
    }
}

impl IntoIterator for RateLimits {
    type Item = RateLimit;
    type IntoIter = std::vec::IntoIter<RateLimit>;

    fn into_iter(self) -> Self::IntoIter {
        Vec::from(self).into_iter()
    }
}

impl<'a> IntoIterator for &'a RateLimits {
    type Item = &'a RateLimit;
    type IntoIter = std::slice::Iter<'a, RateLimit>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for RateLimits {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for RateLimits {}

impl Hash for RateLimits {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(ToString::to_string)).finish()
    }
}

impl TryFrom<Vec<RateLimit>> for RateLimits {
    type Error = RateLimitError;

    fn try_from(limits: Vec<RateLimit>) -> Result<Self, RateLimitError> {
        Self::new(limits)
    }
}

impl From<RateLimits> for Vec<RateLimit> {
    fn from(limits: RateLimits) -> Self {
        limits.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_a_key_have_different_names() {
        let twice = [RateLimit::per_hour(1), RateLimit::per_hour(2)];
        assert_eq!(RateLimits::new(twice), Err(RateLimitError::SameName));
        let many = (0..9).map(|number| RateLimit::per_hour(1).with_name(&number.to_string()));
        assert_eq!(RateLimits::new(many), Err(RateLimitError::TooMany));
        assert!(RateLimits::new([]).unwrap().is_empty());
    }

    #[test]
    fn the_policy_is_written_as_the_draft_has_it() {
        let burst = RateLimit::per_minute(100).with_name("burst");
        let limits = RateLimits::new([burst, RateLimit::per_day(1000)]).unwrap();
        let policy = limits.policy().unwrap();
        assert_eq!(policy, r#""burst";q=100;w=60, "daily";q=1000;w=86400"#);
    }
}
