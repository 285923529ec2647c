//! [`index`]: finds the rule of a request by its path, and rules that match the same requests.

use percent_encoding::percent_decode_str;

use super::rules::Methods;
use super::{PolicyProblem, Rule};
use crate::key::{METHODS, PathPattern, Segment};

/// Puts the rules into a router of paths.
pub(super) fn index(rules: &[Rule], problems: &mut Vec<PolicyProblem>) -> matchit::Router<Methods> {
    let mut paths: Vec<(String, Methods)> = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let shape = shape(rule.endpoint.path());
        let place = paths.iter().position(|(known, _)| *known == shape).unwrap_or_else(|| {
            paths.push((shape, Methods::default()));
            paths.len() - 1
        });
        let methods = &mut paths[place].1;
        let taken = match rule.endpoint.method() {
            None => methods.any.replace(number),
            Some(method) => {
                let taken = methods.each.iter().find(|(known, _)| known == method);
                let taken = taken.map(|(_, other)| *other);
                if taken.is_none() {
                    methods.each.push((method.clone(), number));
                }
                taken
            }
        };
        if let Some(other) = taken {
            problems.push(conflict(rule, &rules[other]));
        }
    }
    let mut router = matchit::Router::new();
    for (place, (shape, methods)) in paths.iter().enumerate() {
        let first = methods.first();
        if let Some(any) = methods.any
            && methods.each.len() >= METHODS.len()
        {
            problems.push(PolicyProblem::Unreachable { entry: rules[any].text.to_string() });
        }
        if let Err(error) = router.insert(shape.clone(), methods.clone()) {
            let with = match &error {
                matchit::InsertError::Conflict { with } => with.as_str(),
                _ => "",
            };
            let other = paths[..place].iter().find(|(known, _)| known == with);
            let other = other.map_or(first, |(_, methods)| methods.first());
            problems.push(conflict(&rules[first], &rules[other]));
        }
    }
    router
}

impl Methods {
    fn first(&self) -> usize {
        let each = self.each.iter().map(|(_, number)| *number);
        each.chain(self.any).min().unwrap_or_default()
    }
}

fn conflict(rule: &Rule, other: &Rule) -> PolicyProblem {
    PolicyProblem::Conflict { entry: rule.text.to_string(), other: other.text.to_string() }
}

/// Writes a path for the router, with anonymous parameters.
fn shape(path: &PathPattern) -> String {
    let segment = |(index, segment): (usize, &Segment)| match segment {
        Segment::Literal(text) => {
            // Decoded, as paths are looked up; braces have a meaning for the router.
            let text = percent_decode_str(text).decode_utf8_lossy();
            format!("/{}", text.replace('{', "{{").replace('}', "}}"))
        }
        Segment::Parameter(_) => format!("/{{{index}}}"),
        Segment::Rest => "/{*rest}".to_owned(),
    };
    path.segments().iter().enumerate().map(segment).collect()
}
