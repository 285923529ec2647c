//! Abilities, and what sets of them grant.
//!
//! The input is the abilities of a set, and in the last line the one that is asked for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_api_key::{Ability, AbilitySet};
use tower_api_key_fuzz::lines;

fuzz_target!(|input: &[u8]| {
    let Some(mut lines) = lines(input) else { return };
    let asked = lines.pop().unwrap();
    for text in lines.iter().chain([&asked]) {
        assert_eq!(text.parse::<Ability>().is_ok(), is_ability(text), "{text}");
    }
    lines.retain(|text| is_ability(text));
    let set: AbilitySet = lines.iter().map(|text| text.parse::<Ability>().unwrap()).collect();

    let granted = is_ability(asked) && lines.iter().any(|own| covers(own, asked));
    assert_eq!(set.can(asked), granted);
    if let Ok(asked) = asked.parse::<Ability>() {
        assert_eq!(asked.to_string().parse(), Ok(asked.clone()));
        assert_eq!(set.grants(&asked), granted);
        let only: AbilitySet = [asked].into_iter().collect();
        assert_eq!(set.covers(&only), granted);
        // Whoever covers a set may do all that the set may.
        if only.covers(&set) {
            assert!(set.iter().all(|ability| only.grants(ability)));
        }
    }
    assert!(set.covers(&set) && set.covers(&AbilitySet::default()));
    let json = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<AbilitySet>(&json).unwrap(), set);
});

fn is_ability(text: &str) -> bool {
    let segments: Vec<_> = text.split(':').collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_plain = |segment: &&str| !segment.is_empty() && segment.chars().all(plain);
    match &segments[..] {
        [resources @ .., last] if text.len() <= 128 => {
            resources.iter().all(|segment| is_plain(segment)) && (*last == "*" || is_plain(last))
        }
        _ => false,
    }
}

/// Compares abilities segment by segment; a `*` stands for one or more.
fn covers(own: &str, asked: &str) -> bool {
    let (own, asked): (Vec<_>, Vec<_>) = (own.split(':').collect(), asked.split(':').collect());
    match own.split_last() {
        Some((&"*", start)) => asked.len() > start.len() && asked.starts_with(start),
        _ => own == asked,
    }
}
