use proptest::prelude::*;

use super::*;

fn formats() -> Vec<KeyFormat> {
    let secret = b"a secret of a checksum, 32 bytes";
    let mut all = Vec::new();
    for (alphabet, length) in [
        (Alphabet::Hex, 40),
        (Alphabet::CrockfordBase32, 32),
        (Alphabet::Base58, 30),
        (Alphabet::Base62, 40),
    ] {
        for checksum in [Checksum::none(), Checksum::crc32(), Checksum::keyed(secret)] {
            all.push(KeyFormat::new("acme_sk_").body(alphabet, length).checksum(checksum));
        }
    }
    all
}

#[test]
fn a_default_key_is_one_block_long_and_cannot_be_guessed() {
    let format = KeyFormat::default();
    assert!(format.len() <= 55);
    assert!(format.alphabet.entropy_bits(format.body) >= 160);
    let secret = format.generate().unwrap();
    assert_eq!(secret.reveal().len(), format.len());
    assert!(secret.reveal().starts_with("ak_"));
}

#[test]
fn a_generated_key_always_parses() {
    for format in formats() {
        for _ in 0..100 {
            let secret = format.generate().unwrap();
            let parsed = format.parse(secret.reveal());
            assert_eq!(parsed.unwrap().reveal(), secret.reveal(), "{format:?}");
        }
    }
}

#[test]
fn generated_keys_differ() {
    let format = KeyFormat::default();
    let keys: std::collections::HashSet<_> =
        (0..1000).map(|_| format.generate().unwrap().reveal().to_owned()).collect();
    assert_eq!(keys.len(), 1000);
}

#[test]
fn the_error_says_what_is_wrong() {
    let format = KeyFormat::new("sk_live_").body(Alphabet::Hex, 40).checksum(Checksum::crc32());
    let good = format.generate().unwrap();
    let good = good.reveal();
    let error = |text: &str| format.parse(text).unwrap_err();
    assert_eq!(error(""), FormatError::Prefix);
    assert_eq!(error(&good.replacen("live", "test", 1)), FormatError::Prefix);
    assert_eq!(error(&good.to_uppercase()), FormatError::Prefix);
    assert_eq!(error(&good[..20]), FormatError::Length);
    assert_eq!(error(&format!("{good}0")), FormatError::Length);
    assert_eq!(error(&format!(" {good}")), FormatError::Prefix);
    assert_eq!(error(&format!("{}G", &good[..55])), FormatError::Character);
    let flipped = if good.ends_with('0') { '1' } else { '0' };
    assert_eq!(error(&format!("{}{flipped}", &good[..55])), FormatError::Checksum);
}

#[test]
fn a_client_checks_all_but_the_keyed_checksum() {
    let server = KeyFormat::new("ak_").checksum(Checksum::keyed(&[7; 32]));
    let client = KeyFormat::new("ak_").checksum(Checksum::keyed_unchecked());
    let secret = server.generate().unwrap();
    assert!(client.parse(secret.reveal()).is_ok());
    assert!(client.parse(&secret.reveal()[1..]).is_err());
    let error = client.generate().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the format lacks the secret of its keyed checksum: set it by `Checksum::keyed`"
    );
}

#[test]
fn a_format_describes_a_right_key_to_people() {
    let format = KeyFormat::new("sk_live_").body(Alphabet::Hex, 40);
    assert_eq!(format.to_string(), "`sk_live_` followed by 40 hexadecimal characters");
}

#[test]
#[should_panic(expected = "at least 128 bits")]
fn a_body_that_can_be_guessed_is_refused() {
    let _ = KeyFormat::new("ak_").body(Alphabet::Hex, 31);
}

#[test]
#[should_panic(expected = "the prefix of a key format")]
fn a_prefix_with_a_space_is_refused() {
    let _ = KeyFormat::new("ak ");
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "\\PC*") {
        for format in formats() {
            let _ = format.parse(&text);
        }
    }

    #[test]
    fn a_text_of_the_right_shape_without_its_checksum_is_refused(body in "[0-9A-Za-z]{46}") {
        let format = KeyFormat::default();
        let text = format!("ak_{body}");
        // One in 2³² has the right one by chance; it would have to be computed to be known.
        let valid = format!("ak_{}", {
            let mut checked = format!("ak_{}", &body[..40]);
            Checksum::crc32().push(&mut checked, 3, Alphabet::Base62);
            checked.split_off(3)
        });
        prop_assert_eq!(format.parse(&text).is_ok(), text == valid);
    }
}
