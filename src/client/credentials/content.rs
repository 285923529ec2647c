//! The content of the file: a JSON object with the key as one member.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{ApiKey, CredentialsError};
use crate::key::MAX_KEY_LENGTH;

const MEMBER: &str = "api_key";

/// The members as they are written, so that those of other tools stay unchanged.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Returns the key, if there is one.
pub(super) fn key(file: &[u8]) -> Result<Option<Zeroizing<String>>, Malformed> {
    let members: Members<'_> = serde_json::from_slice(file)?;
    let Some(value) = members.get(MEMBER) else { return Ok(None) };
    Ok(Some(Zeroizing::new(serde_json::from_str(value.get())?)))
}

/// Returns the content of the file with the key.
pub(super) fn with_key(file: Option<&[u8]>, key: &ApiKey) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    // Twice the length, for escaped characters, and its quotes: growing would leave a copy.
    let mut value = Zeroizing::new(Vec::with_capacity(2 * MAX_KEY_LENGTH + 2));
    serde_json::to_writer(&mut *value, key.reveal())?;
    let mut members: Members<'_> =
        file.map(serde_json::from_slice).transpose()?.unwrap_or_default();
    members.insert(MEMBER.to_owned(), serde_json::from_slice(&value)?);
    to_json(&members)
}

/// The rest of a file without the key.
pub(super) enum WithoutKey {
    /// There was none.
    Unchanged,
    /// The file had nothing else.
    Empty,
    Changed(Zeroizing<Vec<u8>>),
}

pub(super) fn without_key(file: &[u8]) -> Result<WithoutKey, Malformed> {
    let mut members: Members<'_> = serde_json::from_slice(file)?;
    Ok(match members.remove(MEMBER) {
        None => WithoutKey::Unchanged,
        Some(_) if members.is_empty() => WithoutKey::Empty,
        Some(_) => WithoutKey::Changed(to_json(&members)?),
    })
}

fn to_json(members: &Members<'_>) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    // The size limit of a file: growing would leave a copy.
    let mut json = Zeroizing::new(Vec::with_capacity(super::file::MAX_SIZE));
    serde_json::to_writer_pretty(&mut *json, members)?;
    json.push(b'\n');
    Ok(json)
}

/// The file has another form. The reason of `serde_json` is left out, because it quotes the file.
#[derive(Debug, PartialEq)]
pub(super) struct Malformed;

impl Malformed {
    pub(super) fn of(self, path: &Path) -> CredentialsError {
        CredentialsError::Malformed { path: path.to_owned() }
    }
}

impl From<serde_json::Error> for Malformed {
    fn from(_: serde_json::Error) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(file: Option<&str>, key: &str) -> String {
        let bytes = with_key(file.map(str::as_bytes), &key.parse().unwrap()).unwrap();
        str::from_utf8(&bytes).unwrap().to_owned()
    }

    #[test]
    fn a_new_file_holds_the_key_alone() {
        let json = written(None, "sk_live_1");
        assert_eq!(json, "{\n  \"api_key\": \"sk_live_1\"\n}\n");
        assert_eq!(key(json.as_bytes()).unwrap().unwrap().as_str(), "sk_live_1");
        assert!(matches!(without_key(json.as_bytes()), Ok(WithoutKey::Empty)));
    }

    #[test]
    fn other_members_are_kept_to_the_digit() {
        let others =
            r#""big": 123456789012345678901234567890.10, "a\u00e4": {"b":[ 1e400, null ]}"#;
        let mut json = format!("{{{others}}}");
        assert_eq!(key(json.as_bytes()), Ok(None));
        assert!(matches!(without_key(json.as_bytes()), Ok(WithoutKey::Unchanged)));
        for text in ["sk_live_1", "sk_live_2"] {
            json = written(Some(&json), text);
            assert_eq!(key(json.as_bytes()).unwrap().unwrap().as_str(), text);
        }
        let Ok(WithoutKey::Changed(rest)) = without_key(json.as_bytes()) else { panic!() };
        for json in [json.as_str(), str::from_utf8(&rest).unwrap()] {
            assert!(json.contains("123456789012345678901234567890.10"), "{json}");
            assert!(json.contains(r#""aä": {"b":[ 1e400, null ]}"#), "{json}");
        }
        assert!(!str::from_utf8(&rest).unwrap().contains("api_key"));
    }

    #[test]
    fn every_character_of_a_key_comes_back() {
        let all = "!#$%&'()*+-./0123456789:<=>?@ABC[]^_`abc{|}~";
        assert_eq!(key(written(None, all).as_bytes()).unwrap().unwrap().as_str(), all);
    }

    #[test]
    fn what_is_no_object_or_holds_no_text_is_malformed() {
        for wrong in
            ["", " ", "null", "[]", "\"sk_live_1\"", "sk_live_1", "{", "{}{}", "{'api_key':1}"]
        {
            let wrong = wrong.as_bytes();
            assert_eq!(key(wrong), Err(Malformed));
            assert!(without_key(wrong).is_err());
            assert!(with_key(Some(wrong), &"sk_live_1".parse().unwrap()).is_err());
        }
        for wrong in ["null", "1", "[\"sk_live_1\"]", "{}"] {
            let file = format!("{{\"api_key\": {wrong}}}");
            assert_eq!(key(file.as_bytes()), Err(Malformed));
            assert!(matches!(without_key(file.as_bytes()), Ok(WithoutKey::Empty)));
        }
        assert_eq!(key(b"{\"api_key\": \"\xff\"}"), Err(Malformed));
    }
}
