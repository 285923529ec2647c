//! The picture of the rooms in `src/lib.rs`.

use std::collections::HashMap;
use std::path::Path;

use regex::Regex;

const LIB: &str = include_str!("../../src/lib.rs");

/// The groups of rooms, by the comments between the modules.
fn groups() -> HashMap<&'static str, usize> {
    let heading = Regex::new(r"^// \d\. .*\.$").unwrap();
    let module = Regex::new(r"^(?:pub )?mod (\w+);").unwrap();
    let (mut group, mut groups) = (0, HashMap::new());
    for line in LIB[LIB.find("\n// 1. Around the layer.\n").unwrap()..].lines() {
        if heading.is_match(line) {
            group += 1;
        } else if let Some(found) = module.captures(line) {
            groups.insert(found.get(1).unwrap().as_str(), group);
        }
    }
    assert_eq!(group, 6);
    groups
}

/// Calls `see` with each file in `folder` that is no file of tests.
fn each_file(folder: &Path, see: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_file(&path, see);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests.rs")
        {
            see(&path);
        }
    }
}

#[test]
fn a_room_imports_only_from_its_group_and_from_groups_below() {
    let groups = groups();
    let import = Regex::new(r"\bcrate::([a-z]\w*)").unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let (mut rooms, mut imports) = (0, 0);
    let mut see = |path: &Path| {
        let room = path.strip_prefix(&source).unwrap().iter().next().unwrap().to_str().unwrap();
        let room = room.trim_end_matches(".rs");
        if room == "bin" || room == "lib" {
            return;
        }
        rooms += 1;
        let group = *groups.get(room).unwrap_or_else(|| panic!("{room} is in no group"));
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            assert!(!line.contains("crate::{"), "imports of several rooms in {}", path.display());
            for found in import.captures_iter(line) {
                imports += 1;
                let below = groups[&found[1]];
                assert!(below >= group, "{} imports upwards: {line}", path.display());
            }
        }
    };
    each_file(&source, &mut see);
    assert!(rooms > 100 && imports > 200, "{rooms} files, {imports} imports");
}
