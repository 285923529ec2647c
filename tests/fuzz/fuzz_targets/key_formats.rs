//! Formats of keys, their checksums, and the names that records have.
//!
//! Each line but the last is a format, such as `sk_live_ base62 40 crc32`; the last one is a text that
//! may be a key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_api_key::key::KeyFormats;
use tower_api_key::{Alphabet, Checksum, KeyDigest, KeyFormat, KeyId, Stage, TenantId};
use tower_api_key_fuzz::credentials::could_be_key;
use tower_api_key_fuzz::lines;

fuzz_target!(|input: &[u8]| {
    let Some(mut lines) = lines(input) else { return };
    let text = lines.pop().unwrap();
    names(text);

    let Some(formats) = lines.iter().take(4).map(|line| format(line)).collect::<Option<Vec<_>>>()
    else {
        return;
    };
    let set: KeyFormats = formats.iter().cloned().collect();
    // The longest prefix decides, and of formats that have the same, one of them.
    let prefixes = formats.iter().map(KeyFormat::prefix).filter(|own| text.starts_with(own));
    let longest = prefixes.max_by_key(|prefix| prefix.len());
    let mut of_prefix = formats.iter().filter(|format| Some(format.prefix()) == longest);
    let expected = match formats.is_empty() {
        true => could_be_key(text.as_bytes()),
        false => of_prefix.any(|format| format.parse(text).is_ok()),
    };
    let parsed = set.parse(text);
    assert_eq!(parsed.is_ok(), expected);
    if let Ok(key) = parsed {
        assert_eq!(key.reveal(), text);
        assert!(could_be_key(text.as_bytes()));
        assert!(key.format().is_none_or(|format| format.len() == text.len()));
    }

    for (format, line) in formats.iter().zip(&lines) {
        let has_checksum = line.ends_with("crc32") || line.ends_with("keyed");
        let Ok(secret) = format.generate() else {
            assert!(line.ends_with("unchecked"));
            continue;
        };
        let secret = secret.reveal();
        assert_eq!(secret.len(), format.len());
        assert!(format.parse(secret).is_ok() && secret.starts_with(format.prefix()));
        // A character of the text takes the place of one of the key: a checksum sees it.
        let (at, other) = (text.len() % secret.len(), text.chars().next().unwrap_or('x'));
        let mut typo = secret.to_owned();
        typo.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
        if typo != secret && (has_checksum || at < format.prefix().len()) {
            assert!(format.parse(&typo).is_err(), "{typo}");
        }
        assert!(format.parse(&secret[..at]).is_err());
        assert!(format.parse(&format!("{secret}{other}")).is_err());
    }
});

fn format(line: &str) -> Option<KeyFormat> {
    let [prefix, alphabet, length, checksum] = line.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let alphabet = match alphabet {
        "hex" => Alphabet::Hex,
        "base32" => Alphabet::CrockfordBase32,
        "base58" => Alphabet::Base58,
        "base62" => Alphabet::Base62,
        _ => return None,
    };
    let checksum = match checksum {
        "none" => Checksum::none(),
        "crc32" => Checksum::crc32(),
        "keyed" => Checksum::keyed(b"a secret of thirty-two bytes ..."),
        "unchecked" => Checksum::keyed_unchecked(),
        _ => return None,
    };
    let format = KeyFormat::try_new(prefix).ok()?.try_body(alphabet, length.parse().ok()?).ok()?;
    Some(format.checksum(checksum))
}

/// Reads a text as what records have besides keys.
fn names(text: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_name = (1..=128).contains(&text.len()) && text.chars().all(plain);
    assert_eq!(text.parse::<KeyId>().is_ok(), is_name);
    assert_eq!(text.parse::<Stage>().is_ok(), is_name);
    assert_eq!(text.parse::<TenantId>().is_ok(), is_name);
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert_eq!(text.parse::<KeyDigest>().is_ok(), is_digest);
    if let Ok(digest) = text.parse::<KeyDigest>() {
        assert_eq!(digest.to_string(), text.to_ascii_lowercase());
    }
}
