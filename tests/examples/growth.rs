//! What may grow can: public enums, and structs with public fields, are non-exhaustive, but for those that are
//! complete.

use std::fs;
use std::path::PathBuf;

use regex::Regex;

/// Why these are complete.
const COMPLETE: [(&str, &str); 2] = [
    (
        "Immediate",
        "an answer or none: a store that did not know a third could not be asked at once",
    ),
    ("PeerAddress", "a value that servers make, and one address"),
];

#[test]
fn public_enums_and_structs_may_grow() {
    let item = Regex::new(
        r"(?m)^((?:#\[[^\n]*\]\n)*)pub (enum|struct) (\w+)[^;{(]*(?:\{((?:[^}]|\}[^\n])*)\n\}|\(([^;]*)\);)",
    )
    .unwrap();
    let field = Regex::new(r"(?m)(?:^\s+|^|, )pub \w+").unwrap();
    let mut files = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../src")];
    let (mut seen, mut complete) = (0, Vec::new());
    while let Some(path) = files.pop() {
        if path.is_dir() && !path.ends_with("bin") {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            for found in item.captures_iter(&fs::read_to_string(&path).unwrap()) {
                let body = found.get(4).or(found.get(5)).map_or("", |body| body.as_str());
                if &found[2] == "struct" && !field.is_match(body) {
                    continue;
                }
                seen += 1;
                if !found[1].contains("#[non_exhaustive]") {
                    complete.push(found[3].to_owned());
                }
            }
        }
    }
    assert!(seen > 60, "only {seen} were found");
    complete.sort();
    assert_eq!(complete, COMPLETE.map(|(name, _)| name));
}
