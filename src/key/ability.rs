//! [`Ability`] and [`AbilitySet`]: what a key may do.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::text::is_text;
use thiserror::Error;

/// The longest ability that is accepted, in bytes.
const MAX_LENGTH: usize = 128;

/// Something that a key may do: `resource:action`, `resource:*`, a word such as `admin`, or `*`.
///
/// An ability has segments, such as `bots:read` or `billing:invoices:write`, of the characters `A-Z`,
/// `a-z`, `0-9`, `_`, `-` and `.`. A `*` stands for everything that follows; it is a whole segment, and
/// the last one. Whole segments are compared: `doc:*` does not match `docs:read`.
///
/// A single word is an ability of its own: `read` grants only `read`, not `bots:read`. Neither `bots:*`
/// nor `bots:read` grants `bots`. Only `*`, which grants everything, also grants single words.
///
/// # Examples
///
/// ```
/// use tower_api_key::Ability;
///
/// let all_bots: Ability = "bots:*".parse()?;
/// assert!(all_bots.covers(&"bots:read".parse()?));
/// assert!(!all_bots.covers(&"bot:read".parse()?));
/// assert!(all_bots.is_wildcard() && all_bots.as_str() == "bots:*");
/// let read: Ability = "read".parse()?;
/// assert!(read.covers(&read) && !read.covers(&"bots:read".parse()?));
/// assert!("bots:".parse::<Ability>().is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct Ability(Box<str>);

/// The error of a text that is not an ability.
///
/// An ability is `*`, or one or more segments of `A-Z`, `a-z`, `0-9`, `_`, `-` and `.`
/// joined by `:`, of which the last of several may be `*`; at most 128 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an ability is `resource:action`, `resource:*`, a word such as `admin`, or `*`")]
pub struct AbilityError;

impl Ability {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether it stands for more than one action.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.ends_with('*')
    }

    /// Tells whether this ability includes everything that `other` allows.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.covers_text(&other.0)
    }

    fn covers_text(&self, other: &str) -> bool {
        match self.0.strip_suffix('*') {
            // The rest is empty or ends with a colon: a whole segment.
            Some(segments) => other.starts_with(segments),
            None => *self.0 == *other,
        }
    }

    fn is_valid(text: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let segment = |segment: &str| !segment.is_empty() && segment.bytes().all(plain);
        let (resources, action) = match text.rsplit_once(':') {
            Some((resources, action)) => (Some(resources), action),
            None => (None, text),
        };
        text.len() <= MAX_LENGTH
            && resources.is_none_or(|resources| resources.split(':').all(segment))
            && (action == "*" || segment(action))
    }
}

impl fmt::Debug for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Ability {
    type Err = AbilityError;

    fn from_str(text: &str) -> Result<Self, AbilityError> {
        if Self::is_valid(text) { Ok(Self(text.into())) } else { Err(AbilityError) }
    }
}

is_text!(Ability);

impl PartialEq<str> for Ability {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

/// The abilities of a key. The empty set grants nothing.
///
/// # Examples
///
/// ```
/// use tower_api_key::AbilitySet;
///
/// let set: AbilitySet = ["bots:read", "chat:*"].try_into()?;
/// assert!(set.can("chat:send"));
/// assert!(!set.can("bots:write"));
/// assert!(set.grants(&"bots:read".parse()?));
/// assert!(set.covers(&["chat:send"].try_into()?));
/// assert_eq!(set.iter().next().unwrap().as_str(), "bots:read");
/// assert!(AbilitySet::default().is_empty());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Vec<Ability>", into = "Vec<Ability>"))]
pub struct AbilitySet(Option<Arc<[Ability]>>);

impl AbilitySet {
    /// Tells whether the set grants `ability`, given as text.
    ///
    /// Invalid text is granted by no set, not even by `*`.
    #[must_use]
    pub fn can(&self, ability: &str) -> bool {
        Ability::is_valid(ability) && self.iter().any(|granted| granted.covers_text(ability))
    }

    /// Tells whether the set grants `ability`.
    #[must_use]
    pub fn grants(&self, ability: &Ability) -> bool {
        self.iter().any(|granted| granted.covers(ability))
    }

    /// Tells whether every ability of `other` is granted by this set.
    ///
    /// Use it where keys are issued: an issuer must not grant more than it has.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|ability| self.grants(ability))
    }

    /// Tells whether the set grants nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the abilities in alphabetical order.
    pub fn iter(&self) -> std::slice::Iter<'_, Ability> {
        self.0.as_deref().unwrap_or_default().iter()
    }

    /// Tells whether both share one allocation.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        matches!((&self.0, &other.0), (Some(one), Some(other)) if Arc::ptr_eq(one, other))
    }

    /// Tells whether the allocation is shared.
    pub(crate) fn is_shared(&self) -> bool {
        self.0.as_ref().is_some_and(|abilities| Arc::strong_count(abilities) > 1)
    }
}

impl super::HeapSize for AbilitySet {
    fn heap_size(&self) -> usize {
        self.0.heap_size()
    }
}

impl super::HeapSize for Ability {
    fn heap_size(&self) -> usize {
        self.0.heap_size()
    }
}

impl<'a> IntoIterator for &'a AbilitySet {
    type Item = &'a Ability;
    type IntoIter = std::slice::Iter<'a, Ability>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for AbilitySet {
    type Item = Ability;
    type IntoIter = std::vec::IntoIter<Ability>;

    fn into_iter(self) -> Self::IntoIter {
        Vec::from(self).into_iter()
    }
}

impl fmt::Debug for AbilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

impl FromIterator<Ability> for AbilitySet {
    fn from_iter<I: IntoIterator<Item = Ability>>(abilities: I) -> Self {
        let mut abilities: Vec<_> = abilities.into_iter().collect();
        abilities.sort();
        abilities.dedup();
        // An empty set is `None`, which needs no allocation.
        Self((!abilities.is_empty()).then(|| abilities.into()))
    }
}

impl From<Vec<Ability>> for AbilitySet {
    fn from(abilities: Vec<Ability>) -> Self {
        Self::from_iter(abilities)
    }
}

impl From<AbilitySet> for Vec<Ability> {
    fn from(set: AbilitySet) -> Self {
        set.iter().cloned().collect()
    }
}

impl<const N: usize> TryFrom<[&str; N]> for AbilitySet {
    type Error = AbilityError;

    fn try_from(abilities: [&str; N]) -> Result<Self, AbilityError> {
        abilities.into_iter().map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set<const N: usize>(abilities: [&str; N]) -> AbilitySet {
        abilities.try_into().unwrap()
    }

    #[test]
    fn what_is_no_ability_is_refused() {
        for wrong in [
            "",
            "doc*",
            "*doc",
            "a b",
            ":",
            "bots:",
            ":read",
            "bots::read",
            "a:b*",
            "a:*b",
            "*:read",
            "**",
            "a:**",
            "*:*",
            "a:*:b",
            "a b:c",
            "a:b ",
            " a:b",
            "a:b\n",
            "ä:b",
            "a:b,c:d",
            "a/b:c",
            "a:\"b\"",
            &format!("a:{}", "b".repeat(127)),
            &"b".repeat(129),
        ] {
            assert_eq!(wrong.parse::<Ability>(), Err(AbilityError), "{wrong:?}");
        }
    }

    #[test]
    fn whole_segments_are_compared() {
        assert!(set(["docs:read"]).can("docs:read"));
        assert!(!set(["doc:read"]).can("docs:read"));
        assert!(!set(["doc:*"]).can("docs:read"));
        assert!(!set(["docs:read"]).can("docs:readall"));
        assert!(!set(["docs:read"]).can("Docs:read"));
        assert!(!set(["docs:read"]).can("docs"));
        assert!(set(["billing:*"]).can("billing:invoices:read"));
        assert!(!set(["billing:read"]).can("billing:invoices:read"));
    }

    #[test]
    fn a_star_grants_everything_that_is_an_ability() {
        assert!(set(["*"]).can("bots:read"));
        assert!(set(["*"]).can("bots:*"));
        assert!(!set(["*"]).can(""));
        assert!(!set(["*"]).can("bots:"));
    }

    #[test]
    fn a_word_grants_itself_alone() {
        assert!(set(["read"]).can("read"));
        for other in ["bots:read", "read:bots", "read:*", "Read", "reader", "rea", "*", ""] {
            assert!(!set(["read"]).can(other), "{other}");
        }
        for other in ["bots:*", "bots:read", "read:bots", "read:*"] {
            assert!(!set([other]).can("bots") && !set([other]).can("read"), "{other}");
        }
        assert!(set(["*"]).can("read"));
        assert!(set(["*"]).covers(&set(["read", "bots:read"])));
        assert!(!set(["read"]).covers(&set(["bots:read"])));
        assert!(!set(["bots:*"]).covers(&set(["bots"])));
    }

    #[test]
    fn a_wildcard_is_granted_by_a_wildcard_only() {
        assert!(set(["bots:*"]).can("bots:*"));
        assert!(!set(["bots:read", "bots:write"]).can("bots:*"));
        assert!(!set(["bots:*"]).can("*"));
    }

    #[test]
    fn an_empty_set_grants_nothing() {
        assert!(!AbilitySet::default().can("bots:read"));
        assert!(!AbilitySet::default().can("*"));
    }

    #[test]
    fn a_subset_may_be_handed_on() {
        assert!(set(["bots:*", "chat:send"]).covers(&set(["bots:read", "chat:send"])));
        assert!(!set(["bots:read"]).covers(&set(["bots:*"])));
        assert!(set(["bots:read"]).covers(&AbilitySet::default()));
    }

    /// Says the same as `covers` in the plainest way: segment by segment.
    fn reference(granted: &str, asked: &str) -> bool {
        let granted: Vec<_> = granted.split(':').collect();
        let asked: Vec<_> = asked.split(':').collect();
        for (index, segment) in granted.iter().enumerate() {
            match (*segment, asked.get(index)) {
                ("*", Some(_)) => return true,
                (segment, Some(asked)) if segment == *asked => {}
                _ => return false,
            }
        }
        granted.len() == asked.len()
    }

    proptest! {
        #[test]
        fn matching_agrees_with_a_plain_model(
            granted in prop::collection::vec("(\\*|[ab]{1,2}(:[ab]{1,2}){0,3}(:\\*)?)", 0..4),
            asked in "(\\*|[ab]{1,2}(:[ab]{1,2}){0,3}(:\\*)?)",
        ) {
            let set: AbilitySet = granted.iter().map(|text| text.parse().unwrap()).collect();
            let expected = granted.iter().any(|granted| reference(granted, &asked));
            prop_assert_eq!(set.can(&asked), expected);
            prop_assert_eq!(set.grants(&asked.parse().unwrap()), expected);
        }

        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            if let Ok(ability) = text.parse::<Ability>() {
                prop_assert_eq!(ability.as_str(), text);
            }
        }
    }
}
