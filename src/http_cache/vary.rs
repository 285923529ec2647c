//! `Vary` in one line.

use http::header::{Entry, OccupiedEntry, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The response depends on more than headers: no cache reuses it for another request.
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Joins the lines of `Vary` into one.
pub(super) fn join(headers: &mut HeaderMap) {
    if headers.contains_key(VARY) {
        let joined = join_lines(headers.get_all(VARY).iter().map(HeaderValue::as_bytes));
        headers.insert(VARY, joined);
    }
}

/// Adds names, separated by commas, to `Vary`.
pub(crate) fn add(headers: &mut HeaderMap, names: &HeaderValue) {
    match headers.entry(VARY) {
        Entry::Vacant(entry) => {
            entry.insert(names.clone());
        }
        Entry::Occupied(entry) => add_to(entry, names),
    }
}

/// Adds names to an existing `Vary`.
pub(super) fn add_to(mut entry: OccupiedEntry<'_, HeaderValue>, names: &HeaderValue) {
    let mut lines = entry.iter();
    // The refusal of a guard inside the layer has them already.
    if lines.next() != Some(names) || lines.next().is_some() {
        let joined = join_lines(entry.iter().chain([names]).map(HeaderValue::as_bytes));
        entry.insert(joined);
    }
}

/// Returns names as a `Vary`, if there are any.
pub(super) fn list(names: &[HeaderName]) -> Option<HeaderValue> {
    let names = names.iter().map(|name| name.as_str().as_bytes());
    Some(join_lines(names)).filter(|list| !list.is_empty())
}

fn join_lines<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderValue {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii) {
        if name == b"*" {
            return ANY;
        }
        if !name.is_empty() && !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name);
        }
    }
    // Values of several lines are valid in one, so this is always `Ok`.
    HeaderValue::from_bytes(&names.join(&b", "[..])).unwrap_or(ANY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let lines = lines.iter().map(|line| (VARY, HeaderValue::from_bytes(line).unwrap()));
        let mut headers = HeaderMap::new();
        headers.extend(lines);
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<&[u8]> {
        headers.get_all(VARY).iter().map(HeaderValue::as_bytes).collect()
    }

    #[test]
    fn names_are_added_once_and_to_one_line() {
        for (before, after) in [
            (&[][..], "x-api-key, authorization"),
            (&["accept"], "accept, x-api-key, authorization"),
            (&["accept", "origin"], "accept, origin, x-api-key, authorization"),
            (&["accept,X-API-Key"], "accept, X-API-Key, authorization"),
            (&["x-api-key, authorization"], "x-api-key, authorization"),
            (&["x-api-key, authorization", "accept"], "x-api-key, authorization, accept"),
            (&["x-api-key, authorization", "X-Api-Key"], "x-api-key, authorization"),
            (&["x-api-key-2"], "x-api-key-2, x-api-key, authorization"),
            (&["", " , ,accept\t,"], "accept, x-api-key, authorization"),
            (&["*"], "*"),
            (&["accept", "*"], "*"),
            (&["*", "accept"], "*"),
            (&["accept, *"], "*"),
            (&["*-x"], "*-x, x-api-key, authorization"),
            (&["caf\u{e9}"], "caf\u{e9}, x-api-key, authorization"),
        ] {
            let before: Vec<_> = before.iter().map(|line| line.as_bytes()).collect();
            let mut headers = headers(&before);
            add(&mut headers, &HeaderValue::from_static("x-api-key, authorization"));
            assert_eq!(lines(&headers), [after.as_bytes()], "{before:?}");
        }
    }

    #[test]
    fn nothing_is_joined_where_nothing_is() {
        let mut headers = HeaderMap::new();
        join(&mut headers);
        assert!(headers.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_was_there_is_in_the_one_line(
            before in prop::collection::vec(
                prop::collection::vec(prop_oneof![Just(b','), Just(b' '), any::<u8>()], 0..12),
                1..5,
            ),
        ) {
            let valid = |line: &&Vec<u8>| HeaderValue::from_bytes(line).is_ok();
            let before: Vec<_> = before.iter().filter(valid).map(|line| &**line).collect();
            let mut headers = headers(&before);
            join(&mut headers);
            prop_assert_eq!(lines(&headers).len(), usize::from(!before.is_empty()));
            let names = |line: &[u8]| -> Vec<Vec<u8>> {
                let names = line.split(|byte| *byte == b',').map(|name| name.trim_ascii());
                names.filter(|name| !name.is_empty()).map(<[u8]>::to_ascii_lowercase).collect()
            };
            let mut expected: Vec<_> = before.iter().flat_map(|line| names(line)).collect();
            if expected.contains(&b"*".to_vec()) {
                expected = vec![b"*".to_vec()];
            }
            expected.sort();
            expected.dedup();
            let mut joined: Vec<_> = lines(&headers).into_iter().flat_map(names).collect();
            joined.sort();
            prop_assert_eq!(joined, expected);
        }
    }
}
