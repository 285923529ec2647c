//! [`Actor`]: the author of a change.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::key::KeyId;
use crate::line::is_shown;

/// The longest name, in characters.
const MAX_LENGTH: usize = 256;

/// The author of a change of keys, for audit events.
///
/// # Examples
///
/// ```
/// use tower_api_key::store::Actor;
///
/// let alice = Actor::from("alice@acme.example");
/// assert_eq!(alice.to_string(), "name:alice@acme.example");
/// // It is one line in every log, whatever the name is.
/// let mallory = Actor::from("mallory\nsystem");
/// assert_eq!(mallory.to_string(), r"name:mallory\u{a}system");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Actor {
    /// The application itself. The default.
    #[default]
    System,
    /// A key, by its public id.
    Key(KeyId),
    /// A person or program that the application knows by this name.
    Named(ActorName),
}

impl fmt::Display for Actor {
    /// Writes `system`, `key:` and the id, or `name:` and the name, so that no name can look like a
    /// key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Named(name) => write!(f, "name:{name}"),
        }
    }
}

/// The error of a text that is not an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an actor is written `system`, `key:` and the id of a key, or `name:` and a name")]
pub struct ParseActorError;

impl FromStr for Actor {
    type Err = ParseActorError;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, ParseActorError> {
        match text.split_once(':') {
            None if text == "system" => Ok(Self::System),
            Some(("key", id)) => id.parse().map(Self::Key).map_err(|_| ParseActorError),
            Some(("name", name)) => name.parse().map(Self::Named).map_err(|_| ParseActorError),
            _ => Err(ParseActorError),
        }
    }
}

/// As the text that [`Display`](fmt::Display) writes.
#[cfg(feature = "serde")]
impl serde::Serialize for Actor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Actor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl From<&str> for Actor {
    /// Escapes what an [`ActorName`] cannot have.
    fn from(name: &str) -> Self {
        ActorName::escaped(name).into()
    }
}

impl From<String> for Actor {
    /// Escapes what an [`ActorName`] cannot have.
    fn from(name: String) -> Self {
        Self::from(&*name)
    }
}

impl From<ActorName> for Actor {
    fn from(name: ActorName) -> Self {
        Self::Named(name)
    }
}

impl From<KeyId> for Actor {
    fn from(id: KeyId) -> Self {
        Self::Key(id)
    }
}

/// The name of an actor: one line of 1 to 256 visible characters.
///
/// Parsing refuses any other name. [`escaped`](Self::escaped) accepts any text, and writes invisible
/// characters as `\u{…}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorName(Arc<str>);

/// The error of a text that is not the name of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the name of an actor has 1 to 256 characters on one line, all of which can be seen")]
pub struct ActorNameError;

impl ActorName {
    /// Makes a name of any text. A line break becomes `\u{a}`, a text that is too long is cut and ends
    /// with `…`, and a text without visible characters becomes `unknown`.
    #[must_use]
    pub fn escaped(text: &str) -> Self {
        if let Ok(name) = text.parse() {
            return name;
        }
        if text.trim().is_empty() {
            return Self("unknown".into());
        }
        let mut name = String::new();
        let mut left = MAX_LENGTH;
        for character in text.chars() {
            let escaped = match is_shown(character) {
                true => character.to_string(),
                false => character.escape_unicode().to_string(),
            };
            let length = escaped.chars().count();
            // The last character is for the mark of a cut.
            if length >= left {
                name.push('\u{2026}');
                break;
            }
            left -= length;
            name.push_str(&escaped);
        }
        Self(name.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl crate::key::HeapSize for ActorName {
    fn heap_size(&self) -> usize {
        self.0.heap_size()
    }
}

impl FromStr for ActorName {
    type Err = ActorNameError;

    fn from_str(text: &str) -> Result<Self, ActorNameError> {
        let is_short = text.chars().take(MAX_LENGTH + 1).count() <= MAX_LENGTH;
        match is_short && !text.trim().is_empty() && text.chars().all(is_shown) {
            true => Ok(Self(text.into())),
            false => Err(ActorNameError),
        }
    }
}

impl fmt::Debug for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_visible_line() {
        for name in ["a", "alice@acme.example", r"ACME\alice", "Zo\u{eb} 'the' admin", "  x"] {
            assert_eq!(name.parse::<ActorName>().unwrap().as_str(), name);
            assert_eq!(ActorName::escaped(name).as_str(), name);
        }
        let long = "x".repeat(256);
        assert_eq!(ActorName::escaped(&long).as_str(), long);
        let hidden =
            ["a\nb", "a\r", "\u{85}a", "a\u{2028}", "a\u{202e}b", "a\u{200b}", "\u{1b}[2J"];
        for wrong in hidden.into_iter().chain(["", " ", "\n", "\t ", &"x".repeat(257)]) {
            assert_eq!(wrong.parse::<ActorName>(), Err(ActorNameError), "{wrong:?}");
            let escaped = ActorName::escaped(wrong);
            assert_eq!(escaped.as_str().parse(), Ok(escaped.clone()), "{wrong:?}");
        }
    }

    #[test]
    fn an_actor_is_read_back_from_its_text() {
        let key = Actor::Key("key_1".parse().unwrap());
        for actor in [Actor::System, key, Actor::from("a:b"), Actor::from("system")] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        for wrong in ["", "System", "alice", "key:", "key:a b", "name:", "name:a\nb", "role:x"] {
            assert_eq!(wrong.parse::<Actor>(), Err(ParseActorError), "{wrong:?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_escaped_and_what_is_too_long_is_cut() {
        let escaped = |text: &str| ActorName::escaped(text).to_string();
        assert_eq!(escaped("a\r\nsystem revoked"), r"a\u{d}\u{a}system revoked");
        assert_eq!(escaped("x\u{202e}y"), r"x\u{202e}y");
        assert_eq!(escaped(" \n "), "unknown");
        let cut = escaped(&"x".repeat(300));
        assert!(cut.starts_with("xxx") && cut.ends_with("x\u{2026}") && cut.chars().count() == 256);
        let cut = escaped(&"\n".repeat(300).replacen('\n', "x", 1));
        assert!(cut.ends_with("\\u{a}\u{2026}") && cut.chars().count() <= 256, "{cut}");
    }
}
