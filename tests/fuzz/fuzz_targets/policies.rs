//! Policies: tables of rules, and which one is for a request.
//!
//! The input is endpoints, an empty line, and requests like `GET /v1/users/7`.

#![no_main]

use http::Method;
use libfuzzer_sys::fuzz_target;
use tower_api_key::policy::{AccessPolicy, PolicyDecision, Requirement};
use tower_api_key_fuzz::lines;
use tower_api_key_fuzz::policies::find;

fuzz_target!(|input: &[u8]| {
    let Some(lines) = lines(input) else { return };
    let Some(end) = lines.iter().position(|line| line.is_empty()) else { return };
    let (endpoints, requests) = (&lines[..end], &lines[end + 1..]);
    let builder =
        endpoints.iter().enumerate().fold(AccessPolicy::builder(), |builder, (number, own)| {
            match number % 3 {
                0 => builder.allow(own, Requirement::key()),
                1 => builder.allow(own, Requirement::ability(format!("a:{number}")).stage("prod")),
                _ => builder.public(own, "a test"),
            }
        });
    let policy = match builder.build() {
        Ok(policy) => policy,
        Err(error) => {
            assert!(!error.problems().is_empty() && !error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(policy.rules().len(), endpoints.len());
    assert_eq!(policy.to_string().lines().count(), endpoints.len() + 1);
    let json = policy.to_json();
    assert_eq!(json["rules"].as_array().unwrap().len(), endpoints.len());

    for request in requests {
        let Some((method, path)) = request.split_once(' ') else { continue };
        let Ok(method) = method.parse::<Method>() else { continue };
        let explanation = policy.explain(None, &method, path);
        let rule = explanation.rule().map(|rule| rule.endpoint().to_string());
        let expected = find(endpoints, &method, path);
        assert_eq!(rule, expected.map(|number| policy.rules()[number].endpoint().to_string()));
        let is_public = expected.is_some_and(|number| number % 3 == 2);
        assert_eq!(matches!(explanation.decision(), PolicyDecision::Allowed), is_public);
    }
});
