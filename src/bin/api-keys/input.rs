//! Reading a secret, or many lines, from standard input.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read};

use thiserror::Error;
use zeroize::Zeroizing;

/// The most bytes that are read. A key has at most 256.
const LIMIT: usize = 4096;

/// The replacement of a line that cannot be read.
const UNREADABLE: &str = "\u{fffd}";

/// The error of standard input.
#[derive(Debug, Error)]
pub(crate) enum InputError {
    #[error("standard input: {0}")]
    Wrong(&'static str),
    #[error("standard input: {0}")]
    Failed(#[from] io::Error),
}

/// Reads one secret: a line of standard input, or from a terminal without an echo. White space and line breaks
/// around it are removed.
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
        return Err(InputError::Wrong("too long for a key"));
    }
    let text = str::from_utf8(&bytes).map_err(|_| InputError::Wrong("it is not text"))?;
    let text = text.trim_matches(|character: char| character.is_ascii_whitespace());
    if text.is_empty() {
        return Err(InputError::Wrong("empty: pass a key"));
    }
    if text.contains(['\n', '\r']) {
        return Err(InputError::Wrong("more than one line: pass one key"));
    }
    if is_quoted(text) {
        return Err(InputError::Wrong("the key is in quotes: pass it without them"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Reads standard input line by line. A line that is not text, or too long, becomes [`UNREADABLE`].
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

/// Returns whether a text is in quotes, like in files of settings.
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
