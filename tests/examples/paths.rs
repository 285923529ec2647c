//! Each public name has one documented path: at the root, or in its module. Other ways to it are hidden.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use regex::Regex;

fn source(path: &str) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../src").join(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Returns each `pub use self::…` of a file: the attributes before it, the module, and the names.
fn exports(source: &str) -> Vec<(String, String, Vec<String>)> {
    let export = Regex::new(
        r"(?m)^((?:#\[[^\n]*\]\n)*)pub use self::(\w+)(?:::\w+)*?::(?:\{([^}]*)\}|(\w+));$",
    );
    let name = Regex::new(r"\w+").unwrap();
    let read = |found: regex::Captures<'_>| {
        let names = found.get(3).or(found.get(4)).map_or("", |names| names.as_str());
        let names = name.find_iter(names).map(|name| name.as_str().to_owned()).collect();
        (found[1].to_owned(), found[2].to_owned(), names)
    };
    export.unwrap().captures_iter(source).map(read).collect()
}

#[test]
fn each_name_is_documented_at_the_root_or_in_its_module() {
    let root = source("lib.rs");
    let modules = Regex::new(r"(?m)^pub mod (\w+);$").unwrap();
    let modules: Vec<_> = modules.captures_iter(&root).map(|found| found[1].to_owned()).collect();
    assert!(modules.len() > 10, "{modules:?}");
    let mut names = 0;
    for (attributes, module, exported) in exports(&root) {
        if !modules.contains(&module) {
            continue;
        }
        let text = source(&format!("{module}/mod.rs"));
        let mut shown = BTreeMap::new();
        for (attributes, _, names) in exports(&text) {
            for name in names {
                shown.insert(name, !attributes.contains("#[doc(hidden)]"));
            }
        }
        for name in exported {
            // What is not exported from a file is defined there, and documented.
            let in_module = shown.get(&name).copied().unwrap_or(true);
            let at_root = !attributes.contains("#[doc(hidden)]");
            assert!(
                in_module != at_root,
                "{name} is documented in `{module}` ({in_module}) and at the root ({at_root})"
            );
            names += 1;
        }
    }
    assert!(names > 40, "{names} names are at the root");
}

#[test]
fn programs_name_things_by_the_path_that_is_documented() {
    let hidden: Vec<_> = exports(&source("lib.rs"))
        .into_iter()
        .flat_map(|(attributes, module, names)| {
            let is_hidden = attributes.contains("#[doc(hidden)]");
            names.into_iter().map(move |name| match is_hidden {
                true => name,
                false => format!("{module}::{name}"),
            })
        })
        .collect();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut files = vec![folder];
    let mut programs = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for name in &hidden {
                let used = Regex::new(&format!(r"\btower_api_key::{name}\b")).unwrap();
                assert!(!used.is_match(&text), "{} names {name}", path.display());
            }
            programs += 1;
        }
    }
    assert!(programs > 15, "{programs} programs");
}
