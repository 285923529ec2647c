//! [`KeyKind`]: secret and public keys.

use std::fmt;

/// Whether a key is secret, or may be seen by everyone.
///
/// Many APIs issue both, with different prefixes: `hania_sk_…` for servers, `hania_…` for a widget in
/// the browser. A kind prevents that they are mixed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum KeyKind {
    /// For calls from server to server. The default.
    #[default]
    Secret,
    /// For places where everyone can read its text, such as the source of a page.
    Public,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "secret",
            Self::Public => "public",
        })
    }
}
