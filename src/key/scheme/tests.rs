use super::*;
use crate::key::Alphabet;

fn scheme() -> KeyScheme {
    KeyScheme::new([
        KeyFormat::new("sk_live_").stage("live"),
        KeyFormat::new("sk_test_").stage("test"),
        KeyFormat::new("pk_").kind(KeyKind::Public),
    ])
}

fn prefixes(formats: &KeyFormats) -> Vec<&str> {
    formats.iter().map(KeyFormat::prefix).collect()
}

#[test]
fn a_format_is_chosen_by_what_is_said_of_the_key() {
    let (live, test) = ("live".parse().unwrap(), "test".parse().unwrap());
    let choose = |prefix, stage, kind| {
        scheme().choose(prefix, stage, kind).map(|format| format.prefix().to_owned())
    };
    let secret = Some(KeyKind::Secret);
    for (prefix, stage, kind, chosen) in [
        (Some("sk_live_"), None, None, "sk_live_"),
        (Some("sk_test_"), Some(&test), secret, "sk_test_"),
        (Some("pk_"), Some(&live), None, "pk_"),
        (None, Some(&live), secret, "sk_live_"),
    ] {
        assert_eq!(choose(prefix, stage, kind).unwrap(), chosen);
    }
    let error = choose(None, None, None).unwrap_err();
    assert!(matches!(&error, IssueError::Ambiguous(fit) if prefixes(fit).len() == 3));
    let error = choose(None, Some(&live), None).unwrap_err();
    assert!(matches!(&error, IssueError::Ambiguous(fit) if prefixes(fit) == ["sk_live_", "pk_"]));
    let error = choose(Some("sk_"), None, None).unwrap_err();
    assert!(matches!(&error, IssueError::Prefix(all) if prefixes(all).len() == 3));
    let error = choose(Some("sk_live_"), Some(&test), None).unwrap_err();
    assert!(matches!(&error, IssueError::Meaning(of) if prefixes(of) == ["sk_live_"]));
    let error = choose(Some("pk_"), None, secret).unwrap_err();
    assert!(matches!(&error, IssueError::Meaning(of) if prefixes(of) == ["pk_"]));
}

#[test]
fn without_formats_keys_have_the_default_one() {
    let scheme = KeyScheme::default();
    for prefix in [None, Some("ak_")] {
        assert_eq!(scheme.choose(prefix, None, None).unwrap().prefix(), "ak_");
    }
    let error = scheme.choose(Some("sk_"), None, None).unwrap_err();
    assert_eq!(error.to_string(), "no keys are issued with this prefix: choose `ak_`");
}

#[test]
fn of_formats_that_differ_in_their_bodies_the_first_is_chosen() {
    let (new, old) = (KeyFormat::default(), KeyFormat::new("ak_").body(Alphabet::Hex, 32));
    for (first, second) in [(&new, &old), (&old, &new)] {
        let scheme = KeyScheme::new([first.clone(), second.clone()]);
        assert_eq!(scheme.choose(None, None, None).unwrap().len(), first.len());
    }
    // Not where they mean different things.
    let scheme = KeyScheme::new([new, old.stage("test")]);
    assert!(matches!(scheme.choose(None, None, None), Err(IssueError::Ambiguous(_))));
}

#[test]
fn random_characters_never_complete_the_prefix_of_another_format() {
    // One body in sixteen begins with an `a`, and would be of a wrong length then.
    let short = KeyFormat::new("a").body(Alphabet::Hex, 40);
    let scheme = KeyScheme::new([short.clone(), KeyFormat::new("aa").body(Alphabet::Hex, 50)]);
    for _ in 0..500 {
        let secret = scheme.generate(&short, None, KeyKind::Secret).unwrap();
        assert!(scheme.formats().parse(secret.reveal()).is_ok());
    }
}

#[test]
fn a_format_that_the_others_hide_issues_nothing() {
    // Whatever begins with `ab` is judged by the longer prefix.
    let hidden = KeyFormat::new("ab").body(Alphabet::Hex, 40);
    let scheme = KeyScheme::new([KeyFormat::new("abc")]);
    for format in [hidden, KeyFormat::new("abc").body(Alphabet::Hex, 32), KeyFormat::default()] {
        let error = scheme.generate(&format, None, KeyKind::Secret).unwrap_err();
        assert!(matches!(error, IssueError::Refused(all) if prefixes(&all) == ["abc"]));
    }
}

#[test]
fn a_format_of_another_meaning_issues_nothing() {
    let (live, test) = ("live".parse().unwrap(), "test".parse().unwrap());
    // It does not say what the prefix stands for, or says it of another stage.
    let unaware = KeyFormat::new("sk_live_");
    let error = scheme().generate(&unaware, None, KeyKind::Secret).unwrap_err();
    assert!(matches!(error, IssueError::Refused(_)), "{error}");
    assert!(scheme().generate(&unaware, Some(&live), KeyKind::Secret).is_ok());
    let error = scheme().generate(&unaware, Some(&test), KeyKind::Secret).unwrap_err();
    assert!(matches!(error, IssueError::Refused(_)), "{error}");
    let error =
        scheme().generate(&unaware.stage("live"), Some(&test), KeyKind::Secret).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the prefix stands for another stage or kind: there is `sk_live_` (stage live)"
    );
}

#[test]
fn debug_shows_no_pepper() {
    let scheme = KeyScheme::new(
        KeyFormat::new("sk_")
            .checksum(crate::key::Checksum::keyed(b"a secret of a checksum, 32 bytes")),
    )
    .hasher(KeyHasher::hmac_sha256(b"a pepper of thirty-two bytes ..."));
    let shown = format!("{scheme:?}");
    assert!(shown.contains("HMAC-SHA-256") && !shown.contains("pepper"), "{shown}");
    for secret in [&b"a secret of a"[..], b"a pepper of"] {
        assert!(!shown.contains(&format!("{secret:?}")[1..20]), "{shown}");
    }
}
