//! Values as other systems write them.

use std::time::{Duration, SystemTime};

use crate::time::parse_time;

/// Reads a time: as operators or SQL write it, or in seconds, milliseconds or microseconds since 1970, depending
/// on its size.
pub(super) fn time(text: &str) -> Result<SystemTime, &'static str> {
    const WRONG: &str = "invalid time: write it like `2027-01-31T12:00:00Z`, `2027-01-31 12:00:00`, or as seconds since 1970";
    if let Ok(number) = text.parse::<u64>() {
        // Seconds until the year 5138, and milliseconds from 1973 on.
        let since = match number {
            0..100_000_000_000 => Duration::from_secs(number),
            100_000_000_000..100_000_000_000_000 => Duration::from_millis(number),
            _ => Duration::from_micros(number),
        };
        return SystemTime::UNIX_EPOCH.checked_add(since).ok_or(WRONG);
    }
    // SQL writes a space, and leaves UTC out.
    let text = text.replacen(' ', "T", 1);
    parse_time(&text).or_else(|_| parse_time(&format!("{text}Z"))).map_err(|_| WRONG)
}

/// Reads a boolean.
pub(super) fn flag(text: &str) -> Result<bool, &'static str> {
    match &*text.to_ascii_lowercase() {
        "1" | "true" | "t" | "yes" | "y" => Ok(true),
        "0" | "false" | "f" | "no" | "n" => Ok(false),
        _ => Err("not a boolean: write `true` or `false`, `1` or `0`, `yes` or `no`"),
    }
}

/// Reads a list of words: in JSON, as an array of PostgreSQL, or separated by commas or spaces.
pub(super) fn words(text: &str) -> Result<Vec<String>, &'static str> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|_| "not a JSON list of strings");
    }
    let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let words = text.split(|character: char| character == ',' || character.is_whitespace());
    let words = words.map(|word| word.trim_matches('"')).filter(|word| !word.is_empty());
    Ok(words.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_systems_write_them() {
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-14 22:13:20",
            "2023-11-14T22:13:20",
            "1700000000",
            "1700000000000",
            "1700000000000000",
        ] {
            assert_eq!(time(text), Ok(expected), "{text}");
        }
        assert_eq!(time("0"), Ok(SystemTime::UNIX_EPOCH));
        for wrong in ["yesterday", "", "-1", "14.11.2023", "18446744073709551616"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_are_read_as_systems_write_them() {
        for text in
            [r#"["read","bots:write"]"#, "read bots:write", "read, bots:write", "{read,bots:write}"]
        {
            assert_eq!(words(text).unwrap(), ["read", "bots:write"], "{text}");
        }
        assert_eq!(words("[]").unwrap(), Vec::<String>::new());
        assert!(words("[1]").is_err() && words("[").is_err());
    }
}
