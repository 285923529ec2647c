//! The formats of keys in the environment, for all commands.

use std::env;

use clap::ValueEnum as _;
use tower_api_key::key::KeyFormats;
use tower_api_key::{KeyFormat, KeyKind, Stage};

use crate::exit::Failure;
use crate::format::{BodyArgs, ChecksumSort};
use crate::surplus::Surplus;

const NAME: &str = "API_KEYS_FORMATS";

/// Returns the formats in the environment, if there are any.
pub(crate) fn formats() -> Result<KeyFormats, Failure> {
    let text = match env::var(NAME) {
        Ok(text) => text,
        Err(env::VarError::NotPresent) => return Ok(KeyFormats::default()),
        Err(env::VarError::NotUnicode(_)) => {
            return Err(Failure::usage(format!("{NAME} is not text")));
        }
    };
    Surplus::check(&text).map_err(|surplus| Failure::usage(format!("{NAME} {surplus}")))?;
    text.split_whitespace()
        .enumerate()
        .map(|(index, text)| {
            let wrong =
                |error: String| Failure::usage(format!("{NAME}, format {}: {error}", index + 1));
            let described = Described::parse(text).map_err(wrong)?;
            described.format().map_err(|failure| wrong(failure.to_string()))
        })
        .collect()
}

/// Refuses options that set the format again.
pub(crate) fn refuse_options(
    formats: &KeyFormats,
    options: &str,
    are_given: bool,
) -> Result<(), Failure> {
    match are_given && !formats.is_empty() {
        true => {
            Err(Failure::usage(format!("{NAME} sets the formats of keys: leave {options} out")))
        }
        false => Ok(()),
    }
}

/// A format, such as `sk_live_,body=hex:40,stage=live`.
struct Described<'a> {
    prefix: &'a str,
    body: BodyArgs,
    stage: Option<&'a str>,
    kind: Option<KeyKind>,
}

impl<'a> Described<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let mut words = text.split(',');
        let prefix = words.next().unwrap_or_default();
        let body = BodyArgs { body: None, checksum: None };
        let mut read = Self { prefix, body, stage: None, kind: None };
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let is_new = match name {
                "body" => read.body.body.replace(value.parse()?).is_none(),
                "checksum" => {
                    let checksum = ChecksumSort::from_str(value, false).map_err(|_| {
                        "unknown checksum: use `none`, `crc32` or `keyed`".to_owned()
                    })?;
                    read.body.checksum.replace(checksum).is_none()
                }
                "stage" => read.stage.replace(value).is_none(),
                "kind" => {
                    let kind = match value {
                        "secret" => KeyKind::Secret,
                        "public" => KeyKind::Public,
                        _ => return Err("unknown kind: use `secret` or `public`".to_owned()),
                    };
                    read.kind.replace(kind).is_none()
                }
                _ => false,
            };
            if !is_new {
                return Err(
                    "invalid format: write it like `sk_live_,stage=live`; it may have once \
                            each `body=base62:40`, `checksum=crc32`, `stage` and `kind=public`"
                        .to_owned(),
                );
            }
        }
        Ok(read)
    }

    fn format(&self) -> Result<KeyFormat, Failure> {
        let mut format = self.body.format(self.prefix)?;
        if let Some(stage) = self.stage {
            let stage = stage.parse::<Stage>();
            format = format.stage(stage.map_err(|error| Failure::usage(error.to_string()))?);
        }
        Ok(self.kind.into_iter().fold(format, KeyFormat::kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> Result<KeyFormat, String> {
        Described::parse(text)?.format().map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_format_is_its_prefix_and_what_is_not_as_usual() {
        let plain = format("ak_").unwrap();
        assert_eq!(plain.regex(), KeyFormat::default().regex());
        let full = format("sk_live_,kind=public,body=hex:40,stage=live,checksum=crc32").unwrap();
        assert_eq!(full.regex(), r"sk_live_[0-9a-f]{48}\b");
        assert_eq!(full.stage_of_prefix().unwrap(), "live");
        assert_eq!(full.kind_of_prefix(), Some(KeyKind::Public));
        assert_eq!(format(",body=hex:40").unwrap().prefix(), "");
    }

    #[test]
    fn what_is_no_format_is_refused() {
        for (wrong, said) in [
            ("sk_,body", "write it like `hex:40`"),
            ("sk_,stage=live,stage=live", "once each"),
            ("sk_,stages=live", "once each"),
            ("sk_,", "once each"),
            ("sk_,kind=secrets", "`secret` or `public`"),
            ("sk_,checksum=CRC32", "`none`, `crc32` or `keyed`"),
            ("sk_,stage=", "stage"),
            ("_sk", "letter or digit"),
            ("sk_,body=hex:8", "128 bits"),
        ] {
            let error = format(wrong).unwrap_err();
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
