//! [`Alphabet`]: the characters of a key's random part.

use zeroize::Zeroize as _;

/// The most digits of a number of 64 bits.
pub(crate) const MAX_DIGITS: usize = 16;

/// The characters of the random part of a key.
///
/// Keys are case-sensitive in every alphabet, even if the alphabet has only one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Alphabet {
    /// `0-9a-f`, 4 bits a character.
    Hex,
    /// Crockford's base 32 in upper case: `0-9A-Z` without `I`, `L`, `O` and `U`, 5 bits a
    /// character.
    CrockfordBase32,
    /// Bitcoin's base 58: base 62 without `0`, `O`, `I` and `l`, 5.85 bits a character.
    Base58,
    /// `0-9A-Za-z`, 5.95 bits a character.
    Base62,
}

impl Alphabet {
    pub(crate) const fn characters(self) -> &'static [u8] {
        match self {
            Self::Hex => b"0123456789abcdef",
            Self::CrockfordBase32 => b"0123456789ABCDEFGHJKMNPQRSTVWXYZ",
            Self::Base58 => b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
            Self::Base62 => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        }
    }

    /// Returns the characters as a class of a regular expression.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Hex => "[0-9a-f]",
            Self::CrockfordBase32 => "[0-9A-HJKMNP-TV-Z]",
            Self::Base58 => "[1-9A-HJ-NP-Za-km-z]",
            Self::Base62 => "[0-9A-Za-z]",
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hex => "hexadecimal",
            Self::CrockfordBase32 => "Crockford base-32",
            Self::Base58 => "base-58",
            Self::Base62 => "base-62",
        }
    }

    pub(crate) fn contains(self, byte: u8) -> bool {
        match self {
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::Base62 => byte.is_ascii_alphanumeric(),
            Self::Base58 => {
                byte.is_ascii_alphanumeric() && !matches!(byte, b'0' | b'O' | b'I' | b'l')
            }
            Self::CrockfordBase32 => {
                matches!(byte, b'0'..=b'9' | b'A'..=b'Z')
                    && !matches!(byte, b'I' | b'L' | b'O' | b'U')
            }
        }
    }

    /// Returns the bits of entropy in `length` random characters, rounded down.
    pub(crate) fn entropy_bits(self, length: usize) -> usize {
        let characters = self.characters().len();
        // Exact to a thousandth of a bit, which suffices for every format.
        length * (1000.0 * (characters as f64).log2()) as usize / 1000
    }

    /// Returns `value` in `digits` digits, most significant first, padded with zeros at the end.
    pub(crate) fn number(self, mut value: u64, digits: usize) -> [u8; MAX_DIGITS] {
        let characters = self.characters();
        let base = characters.len() as u64;
        let mut text = [0; MAX_DIGITS];
        for digit in text[..digits].iter_mut().rev() {
            *digit = characters[(value % base) as usize];
            value /= base;
        }
        text
    }

    /// Returns how many digits hold any number of `bits` bits.
    pub(crate) const fn digits_for(self, bits: u32) -> usize {
        let base = self.characters().len() as u128;
        let (mut digits, mut reach) = (0, 1u128);
        while reach < 1u128 << bits {
            reach *= base;
            digits += 1;
        }
        digits
    }
}

/// Appends `length` random characters from the operating system's generator.
///
/// Bytes are cut to the next power of two, and discarded if they are out of range, so that every
/// character is equally likely (no modulo bias).
pub(crate) fn random_text(
    alphabet: Alphabet,
    length: usize,
    text: &mut String,
) -> Result<(), getrandom::Error> {
    let characters = alphabet.characters();
    let mask = characters.len().next_power_of_two() - 1;
    let mut random = [0u8; 64];
    let end = text.len() + length;
    while text.len() < end {
        getrandom::fill(&mut random)?;
        let drawn = random.iter().filter_map(|byte| characters.get(usize::from(*byte) & mask));
        let missing = end - text.len();
        text.extend(drawn.take(missing).map(|character| char::from(*character)));
    }
    random.zeroize();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Alphabet; 4] =
        [Alphabet::Hex, Alphabet::CrockfordBase32, Alphabet::Base58, Alphabet::Base62];

    #[test]
    fn the_test_of_a_character_agrees_with_the_list() {
        for alphabet in ALL {
            for byte in 0..=255u8 {
                let listed = alphabet.characters().contains(&byte);
                assert_eq!(alphabet.contains(byte), listed, "{alphabet:?} {byte}");
            }
        }
    }

    #[test]
    fn checksums_of_32_and_64_bits_fit_their_digits() {
        let digits = ALL.map(|alphabet| (alphabet.digits_for(32), alphabet.digits_for(64)));
        assert_eq!(digits, [(8, 16), (7, 13), (6, 11), (6, 11)]);
    }

    #[test]
    fn every_character_is_equally_likely() {
        // 62 000 draws, 1 000 expected of each: ± 200 is more than six standard deviations,
        // while modulo bias would give the first eight characters 250 more.
        let mut text = String::new();
        random_text(Alphabet::Base62, 62_000, &mut text).unwrap();
        assert_eq!(text.len(), 62_000);
        for character in Alphabet::Base62.characters() {
            let count = text.bytes().filter(|byte| byte == character).count();
            assert!((800..1200).contains(&count), "{count} of {}", char::from(*character));
        }
    }

    #[test]
    fn entropy_is_counted_in_whole_bits() {
        assert_eq!(Alphabet::Hex.entropy_bits(40), 160);
        assert_eq!(Alphabet::CrockfordBase32.entropy_bits(32), 160);
        assert_eq!(Alphabet::Base62.entropy_bits(40), 238);
    }
}
