//! Rules for gRPC methods, which are called by `POST` only.

use std::cmp::Ordering;

use http::Method;
use percent_encoding::percent_decode_str;

use super::{PolicyProblem, Rule};
use crate::key::{PathPattern, Segment};

/// Finds the rules that would let another method than `POST` reach gRPC methods.
pub(super) fn other_methods_of_grpc(rules: &[Rule], grpc: &[usize]) -> Vec<PolicyProblem> {
    let others = rules.iter().filter(|rule| rule.endpoint.method() != Some(&Method::POST));
    let of_grpc = || grpc.iter().map(|number| &rules[*number]);
    let found = others.filter_map(|rule| {
        let mut of_grpc = of_grpc();
        of_grpc.find(|grpc| takes_from(rule.endpoint.path(), grpc.endpoint.path())).map(|grpc| {
            PolicyProblem::NotPost { entry: rule.text.to_string(), other: grpc.text.to_string() }
        })
    });
    found.collect()
}

/// Tells whether some paths match both patterns, and `path` takes precedence for them.
fn takes_from(path: &PathPattern, other: &PathPattern) -> bool {
    let (own, other) = (path.segments(), other.segments());
    // For such paths, the first segment in which one is more specific decides.
    let rank = |segment: &Segment| match segment {
        Segment::Literal(_) => 0,
        Segment::Parameter(_) => 1,
        Segment::Rest => 2,
    };
    let mut decides = Ordering::Equal;
    for (own, other) in own.iter().zip(other) {
        if let (Segment::Literal(own), Segment::Literal(other)) = (own, other)
            && percent_decode_str(own).ne(percent_decode_str(other))
        {
            return false;
        }
        decides = decides.then(rank(own).cmp(&rank(other)));
        if matches!(own, Segment::Rest) || matches!(other, Segment::Rest) {
            return decides.is_le();
        }
    }
    own.len() == other.len() && decides.is_le()
}

#[cfg(test)]
mod tests {
    use crate::policy::{AccessPolicy, PolicyProblem, Requirement};

    /// Tells which of the rules are mistakes beside one for gRPC.
    fn mistakes(grpc: &str, rules: &[&str]) -> Vec<String> {
        let policy = AccessPolicy::builder().allow_grpc(grpc, Requirement::key());
        let policy = rules.iter().fold(policy, |policy, rule| match rule.strip_prefix("public ") {
            Some(rule) => policy.public(rule, "a test"),
            None => policy.allow(rule, Requirement::key()),
        });
        let Err(error) = policy.build() else { return Vec::new() };
        let entries = error.problems().iter().map(|problem| match problem {
            PolicyProblem::NotPost { entry, other } => {
                assert_eq!(*other, format!("POST /{grpc}"));
                entry.clone()
            }
            other => panic!("{other}"),
        });
        entries.collect()
    }

    #[test]
    fn a_rule_that_lets_another_method_call_a_grpc_method_is_a_mistake() {
        for (grpc, rule) in [
            ("acme.Bots/List", "GET /acme.Bots/List"),
            ("acme.Bots/List", "/acme.Bots/List"),
            ("acme.Bots/List", "public GET /acme.Bots/List"),
            ("acme.Bots/*", "GET /acme.Bots/List"),
            ("acme.Bots/*", "DELETE /acme.Bots/*"),
            ("{service}/List", "GET /acme.Bots/*"),
            ("{service}/List", "GET /{any}/List"),
        ] {
            let written = rule.trim_start_matches("public ");
            assert_eq!(mistakes(grpc, &[rule]), [written], "{grpc}");
        }
    }

    #[test]
    fn a_rule_that_is_less_specific_or_for_other_paths_stands_beside_one_for_grpc() {
        for (grpc, rules) in [
            ("acme.Bots/List", &["GET /*", "/v1/*", "GET /acme.Bots/Watch"][..]),
            ("acme.Bots/*", &["GET /*", "POST /acme.Bots/List"]),
            ("acme.Bots/List", &["GET /acme.Bots/{page}", "GET /acme.Bots/List/x"]),
            ("{service}/List", &["GET /{service}/{page}"]),
        ] {
            assert_eq!(mistakes(grpc, rules), [""; 0], "{grpc}");
        }
    }
}
