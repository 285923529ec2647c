//! Items of headers that are lists, one of which may be a key: `Cookie` and `Sec-WebSocket-Protocol`.

use http::header::{COOKIE, Entry, HeaderName, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue};

/// A header that is a list, possibly over several lines.
pub(super) struct List {
    pub(super) name: HeaderName,
    separator: u8,
    /// How the rest of a line is written.
    joint: &'static [u8],
}

/// RFC 6265, section 5.4. HTTP/2 may split it into lines (RFC 9113, section 8.2.3).
pub(super) static COOKIES: List = List { name: COOKIE, separator: b';', joint: b"; " };

/// RFC 6455, section 11.3.4, which allows several lines.
pub(super) static SUBPROTOCOLS: List =
    List { name: SEC_WEBSOCKET_PROTOCOL, separator: b',', joint: b", " };

/// More than one item matches.
pub(super) struct Several;

/// The rest of a line is not a header value.
pub(super) struct Unwritable;

impl List {
    /// Applies `of_ours` to each item, and returns the only result.
    pub(super) fn only<'a>(
        &self,
        headers: &'a HeaderMap,
        of_ours: impl Fn(&'a [u8]) -> Option<&'a [u8]>,
    ) -> Result<Option<&'a [u8]>, Several> {
        let lines = headers.get_all(&self.name).into_iter();
        let mut ours = lines.flat_map(|line| self.items(line)).filter_map(of_ours);
        match (ours.next(), ours.next()) {
            (found, None) => Ok(found),
            (_, Some(_)) => Err(Several),
        }
    }

    /// Removes the items that are `ours`, and no other. If that fails, it removes the header.
    pub(super) fn remove(
        &self,
        headers: &mut HeaderMap,
        ours: impl Fn(&[u8]) -> bool,
    ) -> Result<(), Unwritable> {
        let Entry::Occupied(entry) = headers.entry(&self.name) else { return Ok(()) };
        let lines: Vec<_> = entry.remove_entry_mult().1.collect();
        let left: Vec<_> =
            lines.into_iter().map(|line| self.without(line, &ours)).collect::<Result<_, _>>()?;
        for line in left.into_iter().flatten() {
            headers.append(self.name.clone(), line);
        }
        Ok(())
    }

    /// Returns the rest of a line, if anything is left.
    fn without(
        &self,
        line: HeaderValue,
        ours: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<HeaderValue>, Unwritable> {
        if !self.items(&line).any(&ours) {
            return Ok(Some(line));
        }
        let kept = self.items(&line).filter(|item| !item.is_empty() && !ours(item));
        let kept = kept.collect::<Vec<_>>().join(self.joint);
        if kept.is_empty() {
            return Ok(None);
        }
        let mut left = HeaderValue::from_bytes(&kept).map_err(|_| Unwritable)?;
        left.set_sensitive(line.is_sensitive());
        Ok(Some(left))
    }

    fn items<'a>(&self, line: &'a HeaderValue) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let separator = self.separator;
        line.as_bytes().split(move |byte| *byte == separator).map(<[u8]>::trim_ascii)
    }
}

/// Returns the value of a cookie if it has this name.
///
/// Parsers do not agree on space around the name, so a cookie with such a space has the name, too.
pub(super) fn cookie_value<'a>(item: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let end = item.iter().position(|byte| *byte == b'=')?;
    let (found, value) = (&item[..end], &item[end + 1..]);
    (found.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
}

/// Returns what follows the prefix of a subprotocol if it has this one.
pub(super) fn after_prefix<'a>(item: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    item.strip_prefix(prefix.as_bytes())
}

/// Tells whether a byte may be in a token, such as a subprotocol and the name of a cookie (RFC 9110,
/// section 5.6.2).
pub(super) const fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Tells whether a text is a token.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(list: &List, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(list.name.clone(), line.parse().unwrap());
        }
        headers
    }

    fn left(list: &List, lines: &[&str], ours: impl Fn(&[u8]) -> bool) -> Vec<String> {
        let mut headers = headers(list, lines);
        assert!(list.remove(&mut headers, ours).is_ok());
        let left = headers.get_all(&list.name).into_iter();
        left.map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn one_item_goes_and_the_others_stay_where_they_were() {
        let cookies =
            |lines: &[&str]| left(&COOKIES, lines, |item: &[u8]| cookie_value(item, "k").is_some());
        assert_eq!(cookies(&["k=K"]), Vec::<String>::new());
        assert_eq!(cookies(&["a=1; k=K; b=2"]), ["a=1; b=2"]);
        assert_eq!(cookies(&["a=1", "k=K", "b=2; c"]), ["a=1", "b=2; c"]);
        assert_eq!(cookies(&["a=1;;k=K;  b=\"2 3\" ;"]), ["a=1; b=\"2 3\""]);
        assert_eq!(cookies(&["a=k=K;kk=1;K=2;k", "k = K"]), ["a=k=K;kk=1;K=2;k"]);
        let subprotocols = |lines: &[&str]| {
            left(&SUBPROTOCOLS, lines, |item: &[u8]| after_prefix(item, "key.").is_some())
        };
        assert_eq!(subprotocols(&["realtime, key.K"]), ["realtime"]);
        assert_eq!(subprotocols(&["a,key.K,b", "c"]), ["a, b", "c"]);
        assert_eq!(subprotocols(&["key.K", "realtime"]), ["realtime"]);
        assert_eq!(subprotocols(&["KEY.K,key,keys.K"]), ["KEY.K,key,keys.K"]);
    }

    #[test]
    fn a_line_that_is_left_is_as_sensitive_as_it_was() {
        let mut headers = HeaderMap::new();
        let mut line = HeaderValue::from_static("a=1; k=K");
        line.set_sensitive(true);
        headers.append(COOKIE, line);
        let _ = COOKIES.remove(&mut headers, |item| cookie_value(item, "k").is_some());
        assert!(headers[COOKIE].is_sensitive());
        assert_eq!(headers[COOKIE], "a=1");
    }

    proptest! {
        #[test]
        fn what_is_left_holds_no_item_of_ours_and_all_others(
            lines in prop::collection::vec("[a=k;, \t\"\u{e9}.]{0,12}", 0..4),
        ) {
            for list in [&COOKIES, &SUBPROTOCOLS] {
                let ours = |item: &[u8]| match list.separator {
                    b';' => cookie_value(item, "k").is_some(),
                    _ => after_prefix(item, "k").is_some(),
                };
                let all = |headers: &HeaderMap| -> Vec<Vec<u8>> {
                    let lines = headers.get_all(&list.name).into_iter();
                    let items = lines.flat_map(|line| list.items(line)).map(<[u8]>::to_vec);
                    items.filter(|item| !item.is_empty()).collect()
                };
                let mut headers = HeaderMap::new();
                for line in &lines {
                    let line = HeaderValue::from_bytes(line.as_bytes());
                    headers.append(list.name.clone(), line.unwrap());
                }
                let mut expected = all(&headers);
                expected.retain(|item| !ours(item));
                prop_assert!(list.remove(&mut headers, ours).is_ok());
                prop_assert_eq!(all(&headers), expected);
            }
        }
    }
}
