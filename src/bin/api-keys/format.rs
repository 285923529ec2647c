//! The format of keys in the arguments.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use tower_api_key::{Alphabet, Checksum, KeyFormat};

use crate::exit::Failure;
use crate::session::secret_variable;

/// The format of a key after its prefix
#[derive(Args)]
#[command(next_help_heading = "Format")]
pub(crate) struct BodyArgs {
    /// The alphabet and the number of the random characters: `hex`, `base32`, `base58` or `base62`;
    /// by default `base62:40`
    #[arg(long, value_name = "ALPHABET:LENGTH")]
    pub(crate) body: Option<Body>,
    /// The checksum at the end; by default `crc32` for the prefix `ak_`, and `none` for others
    #[arg(long)]
    pub(crate) checksum: Option<ChecksumSort>,
}

/// The format of a key
#[derive(Args)]
#[command(next_help_heading = "Format")]
pub(crate) struct FormatArgs {
    /// The prefix of the key, such as `sk_live_`; by default `ak_`, or the one of API_KEYS_FORMATS
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    #[command(flatten)]
    pub(crate) body: BodyArgs,
}

#[derive(Clone, Copy)]
pub(crate) struct Body(Alphabet, usize);

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ChecksumSort {
    None,
    /// A CRC-32, which finds typing errors
    Crc32,
    /// A checksum with the secret of the environment variable API_KEYS_CHECKSUM_SECRET
    Keyed,
}

impl FromStr for Body {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (alphabet, length) = text.split_once(':')?;
            let alphabet = match alphabet {
                "hex" => Alphabet::Hex,
                "base32" => Alphabet::CrockfordBase32,
                "base58" => Alphabet::Base58,
                "base62" => Alphabet::Base62,
                _ => return None,
            };
            Some(Self(alphabet, length.parse().ok()?))
        };
        parse().ok_or_else(|| "invalid body: write it like `hex:40` or `base62:43`".to_owned())
    }
}

impl FormatArgs {
    /// Returns whether any option was given.
    pub(crate) fn is_given(&self) -> bool {
        self.prefix.is_some() || self.body.is_given()
    }

    pub(crate) fn format(&self) -> Result<KeyFormat, Failure> {
        self.body.format(self.prefix.as_deref().unwrap_or(KeyFormat::default().prefix()))
    }
}

impl BodyArgs {
    /// Returns whether any option was given.
    pub(crate) fn is_given(&self) -> bool {
        self.body.is_some() || self.checksum.is_some()
    }

    /// Returns the format of keys with the prefix of an existing key.
    pub(crate) fn format_of_old(&self, prefix: &str) -> Result<KeyFormat, Failure> {
        if self.body.is_none() && prefix != KeyFormat::default().prefix() {
            return Err(Failure::usage(format!(
                "add --body, and --checksum if there is one, for what follows `{prefix}` in the \
                 keys of your servers: they refuse a new key of another form"
            )));
        }
        self.format(prefix)
    }

    pub(crate) fn format(&self, prefix: &str) -> Result<KeyFormat, Failure> {
        let wrong = |error: tower_api_key::key::KeyFormatError| Failure::usage(error.to_string());
        let mut format = KeyFormat::try_new(prefix).map_err(wrong)?;
        if let Some(Body(alphabet, length)) = self.body {
            format = format.try_body(alphabet, length).map_err(wrong)?;
        }
        let of_prefix = match prefix == KeyFormat::default().prefix() {
            true => ChecksumSort::Crc32,
            false => ChecksumSort::None,
        };
        Ok(format.checksum(match self.checksum.unwrap_or(of_prefix) {
            ChecksumSort::None => Checksum::none(),
            ChecksumSort::Crc32 => Checksum::crc32(),
            ChecksumSort::Keyed => keyed()?,
        }))
    }
}

fn keyed() -> Result<Checksum, Failure> {
    let secret = secret_variable("API_KEYS_CHECKSUM_SECRET")?;
    let secret = secret.ok_or_else(|| Failure::usage("API_KEYS_CHECKSUM_SECRET is not set"))?;
    Ok(Checksum::keyed(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_options_it_is_the_default_format() {
        let body = BodyArgs { body: None, checksum: None };
        let format = FormatArgs { prefix: None, body }.format().unwrap();
        let secret = KeyFormat::default().generate().unwrap();
        assert!(format.parse(secret.reveal()).is_ok());
        assert_eq!(format.regex(), KeyFormat::default().regex());
    }

    #[test]
    fn a_body_has_a_known_alphabet_and_a_length() {
        assert!(matches!("hex:40".parse(), Ok(Body(Alphabet::Hex, 40))));
        for wrong in
            ["", "hex", "hex:", "hex:-1", "HEX:40", "base64:40", "hex:99999999999999999999"]
        {
            assert!(wrong.parse::<Body>().is_err(), "{wrong}");
        }
    }
}
