//! Ids of keys on the command line, where people paste secrets.

use clap::Args;
use tower_api_key::key::AbilityError;
use tower_api_key::{Ability, KeyId};

use crate::exit::Failure;
use crate::secrecy::looks_like_secret;

/// The id of a key
#[derive(Args)]
pub(crate) struct IdArg {
    /// The id of the key
    ///
    /// Text that looks like a secret is refused. If it is an id, write `id:` before it.
    id: String,
}

impl IdArg {
    pub(crate) fn parse(&self) -> Result<KeyId, Failure> {
        parse(&self.id)
    }
}

/// Reads an id. Text that may be a secret is refused, unless it begins with `id:`. It is not repeated in errors.
pub(crate) fn parse(text: &str) -> Result<KeyId, Failure> {
    let (text, is_certain) = match text.strip_prefix("id:") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    if !is_certain && looks_like_secret(text) {
        return Err(Failure::usage(
            "this may be a secret: pass secrets on standard input, because others on this machine can \
             see the arguments of a command, so revoke it if it is one. If it is an id, write `id:` \
             before it",
        ));
    }
    text.parse().map_err(|_| Failure::usage("invalid id: `api-keys list` shows the ids of keys"))
}

/// Reads an id from standard input, where it may look like a secret.
pub(crate) fn of_line(text: &str) -> Option<KeyId> {
    text.strip_prefix("id:").unwrap_or(text).parse().ok()
}

/// Reads an ability. A single word that may be a secret is refused, because everybody who sees the key would see
/// it. It is not repeated in errors.
pub(crate) fn parse_ability(text: &str) -> Result<Ability, String> {
    if !text.contains(':') && looks_like_secret(text) {
        return Err("this looks like a secret or a hash: an ability is a name such as `bots:read`"
            .to_owned());
    }
    text.parse().map_err(|error: AbilityError| error.to_string())
}

#[cfg(test)]
mod tests {
    use tower_api_key::{Alphabet, Checksum, KeyFormat};

    use super::*;

    #[test]
    fn secrets_of_every_format_are_told_from_ids() {
        for (alphabet, least) in [
            (Alphabet::Hex, 32),
            (Alphabet::CrockfordBase32, 26),
            (Alphabet::Base58, 22),
            (Alphabet::Base62, 22),
        ] {
            for prefix in ["ak_", "sk_live_", "hania_", "key_", "a-"] {
                let format = KeyFormat::new(prefix).body(alphabet, least);
                let secret = format.generate().unwrap();
                assert!(looks_like_secret(secret.reveal()));
                assert!(parse(secret.reveal()).is_err());
            }
        }
        let keyed = KeyFormat::new("").checksum(Checksum::keyed(&[7; 32]));
        assert!(looks_like_secret(keyed.generate().unwrap().reveal()));
        for _ in 0..100 {
            let id = KeyId::generate().unwrap();
            assert_eq!(parse(id.as_str()).unwrap(), id);
        }
        for id in ["key_1", "01J9Z3NDEKTSV4RRFFQ69G5FAV", "a1b2c3d4-a1b2-a1b2-a1b2-a1b2c3d4e5f6"] {
            assert_eq!(parse(id).unwrap(), *id);
        }
    }

    #[test]
    fn an_id_that_looks_like_a_secret_can_be_named() {
        let id = "apikey_01h455vb4pex5vsknk084sn02q";
        assert!(parse(id).is_err());
        assert_eq!(parse(&format!("id:{id}")).unwrap(), *id);
    }

    #[test]
    fn what_is_wrong_is_not_repeated() {
        for wrong in ["", "hush hush", "hush/", "id:", "hush_0123456789abcdefghijklmnopq"] {
            assert!(!parse(wrong).unwrap_err().to_string().contains("hush"), "{wrong}");
        }
    }
}
