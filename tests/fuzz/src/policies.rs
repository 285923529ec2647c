//! Which rule of a policy is for a request, found one rule after the other.

use http::Method;

use crate::paths::{decoded, is_parameter, is_rest, means_method, segments};

/// Finds a rule as the documentation says.
pub fn find(endpoints: &[&str], method: &Method, path: &str) -> Option<usize> {
    let sent = segments(path)?;
    let rules: Vec<(Option<&str>, Vec<&str>)> = endpoints
        .iter()
        .map(|endpoint| match endpoint.split_once(' ') {
            Some((method, path)) => (Some(method), path[1..].split('/').collect()),
            None => (None, endpoint[1..].split('/').collect()),
        })
        .collect();
    // Of the paths that match, decoded, the one with literals before parameters …
    let matching = (0..rules.len()).filter(|number| matches(&rules[*number].1, &sent, true));
    let rank = |number: &usize| -> Vec<u8> {
        let path = rules[*number].1.iter();
        path.map(|own| u8::from(is_parameter(own)) + 2 * u8::from(is_rest(own))).collect()
    };
    let best = matching.clone().map(|number| rank(&number)).min()?;
    // … and of its rules the one for the method, or the one without; if the path was sent as it is
    // written there.
    let of_path = matching.filter(|number| rank(number) == best);
    let mut of_method = of_path.filter(|number| means_method(rules[*number].0, method));
    let first = of_method.next()?;
    let found = match (rules[first].0, of_method.next()) {
        (None, Some(second)) => second,
        _ => first,
    };
    matches(&rules[found].1, &sent, false).then_some(found)
}

fn matches(pattern: &[&str], sent: &[&str], is_decoded: bool) -> bool {
    let same = |own: &str, segment: &str| match is_decoded {
        true => decoded(own) == decoded(segment),
        false => own == segment,
    };
    let (pattern, sent) = match pattern.split_last() {
        Some((last, start)) if is_rest(last) => {
            // Looked up decoded, a wildcard stands for a slash at the end too.
            let is_there = sent.len() > start.len() && !sent[start.len()].is_empty();
            if !is_there || (!is_decoded && sent.last() == Some(&"")) {
                return false;
            }
            (start, &sent[..start.len()])
        }
        _ => (pattern, sent),
    };
    pattern.len() == sent.len()
        && pattern.iter().zip(sent).all(|(own, segment)| {
            if is_parameter(own) { !segment.is_empty() } else { same(own, segment) }
        })
}
