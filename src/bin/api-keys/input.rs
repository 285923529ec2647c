//! Reading a secret, or many lines, from standard input.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read};

use thiserror::Error;
use zeroize::Zeroizing;

/// The most bytes that are read. A key has 256 at most; what is longer is not one.
const LIMIT: usize = 4096;

/// Stands for a line that cannot be read.
const UNREADABLE: &str = "\u{fffd}";

/// Why there is no secret, or no line.
#[derive(Debug, Error)]
pub(crate) enum InputError {
    #[error("standard input: {0}")]
    Wrong(&'static str),
    #[error("standard input: {0}")]
    Failed(#[from] io::Error),
}

/// Reads one secret: a line of standard input, or what is typed without being shown if that is a
/// terminal. White space around it is not a part of it, nor are line breaks.
pub(crate) fn secret() -> Result<Zeroizing<String>, InputError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return one_line(stdin.lock());
    }
    let typed = Zeroizing::new(rpassword::prompt_password("Key: ")?);
    one_line(typed.as_bytes())
}

fn one_line(input: impl Read) -> Result<Zeroizing<String>, InputError> {
    // At once, so that growing leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
    input.take(LIMIT as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LIMIT {
        return Err(InputError::Wrong("it is too long to be a key"));
    }
    let text = str::from_utf8(&bytes).map_err(|_| InputError::Wrong("it is not text"))?;
    let text = text.trim_matches(|character: char| character.is_ascii_whitespace());
    if text.is_empty() {
        return Err(InputError::Wrong("it is empty, where a key is read from it"));
    }
    if text.contains(['\n', '\r']) {
        return Err(InputError::Wrong("it has more than one line, where one key is read from it"));
    }
    if is_quoted(text) {
        return Err(InputError::Wrong("it is in quotes: give the key without them"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Reads standard input line by line. One that is no text, or so long that it is nothing that is asked
/// for, is what cannot be read as anything.
pub(crate) fn lines() -> impl Iterator<Item = Result<String, InputError>> {
    lines_of(io::stdin())
}

fn lines_of(input: impl Read) -> impl Iterator<Item = Result<String, InputError>> {
    let mut input = BufReader::new(input);
    std::iter::from_fn(move || line(&mut input).transpose())
}

fn line(input: &mut BufReader<impl Read>) -> Result<Option<String>, InputError> {
    let mut bytes = Vec::new();
    let read = input.take(LIMIT as u64 + 1).read_until(b'\n', &mut bytes)?;
    if read > LIMIT && !bytes.ends_with(b"\n") {
        input.skip_until(b'\n')?;
    }
    let text = String::from_utf8(bytes).ok().filter(|_| read <= LIMIT);
    Ok((read > 0).then(|| text.unwrap_or_else(|| UNREADABLE.to_owned())))
}

/// Tells whether a text is in quotes, as files of settings have it.
fn is_quoted(text: &str) -> bool {
    ['"', '\''].iter().any(|quote| text.starts_with(*quote) && text.ends_with(*quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read_without_what_is_around_it() {
        for input in ["ak_1", "ak_1\n", "ak_1\r\n", " \tak_1 \n\n"] {
            assert_eq!(*one_line(input.as_bytes()).unwrap(), "ak_1", "{input:?}");
        }
        assert_eq!(*one_line(&b"ak 1"[..]).unwrap(), "ak 1");
        assert_eq!(one_line(&[b'x'; LIMIT][..]).unwrap().len(), LIMIT);
    }

    #[test]
    fn every_line_is_read_whatever_is_in_those_before() {
        let long = "x".repeat(LIMIT + 1);
        let input = format!("a\n{long}\nb\r\n\nc").into_bytes();
        let lines: Vec<_> = lines_of(&*input).map(Result::unwrap).collect();
        assert_eq!(lines, ["a\n", UNREADABLE, "b\r\n", "\n", "c"]);
        let lines: Vec<_> = lines_of(&b"\xff\nb"[..]).map(Result::unwrap).collect();
        assert_eq!(lines, [UNREADABLE, "b"]);
        assert!("\u{fffd}".parse::<tower_api_key::KeyId>().is_err());
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        for input in [
            &b""[..],
            b" \r\n",
            b"hush\nhush",
            b"hush\rhush",
            b"hush\xff",
            b"\"hush\"\n",
            b"'hush'",
            &[b'x'; 4097],
        ] {
            let error = one_line(input).unwrap_err();
            assert!(matches!(error, InputError::Wrong(_)) && !error.to_string().contains("hush"));
        }
    }
}
