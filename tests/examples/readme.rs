//! The README's programs: each is whole, and says what it needs. That they compile is checked as
//! documentation tests.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use regex::Regex;

const README: &str = include_str!("../../README.md");
const MANIFEST: &str = include_str!("../../Cargo.toml");

/// A block of Rust, and the lines of `cargo add` in the block before it.
struct Program {
    code: String,
    adds: Vec<Add>,
}

/// A crate that `cargo add` adds.
struct Add {
    name: String,
    features: Vec<String>,
}

fn programs() -> Vec<Program> {
    let (mut programs, mut adds) = (Vec::new(), Vec::new());
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let body: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if language.starts_with("rust") {
            programs.push(Program { code: body.join("\n"), adds: std::mem::take(&mut adds) });
        } else {
            adds = body
                .into_iter()
                .filter_map(|line| line.strip_prefix("cargo add "))
                .flat_map(added)
                .collect();
        }
    }
    assert!(programs.len() > 5, "the README has {} programs", programs.len());
    programs
}

fn added(line: &str) -> Vec<Add> {
    let (names, features) = line.split_once(" --features ").unwrap_or((line, ""));
    let features = || features.split(',').filter(|feature| !feature.is_empty());
    let add = |name: &str| Add {
        name: name.to_owned(),
        features: features().map(str::to_owned).collect(),
    };
    names.split(' ').map(add).collect()
}

#[test]
fn no_program_has_lines_that_are_not_shown() {
    for program in programs() {
        for line in program.code.lines().map(str::trim_start) {
            let hidden = line == "#" || line.starts_with("# ") || line.starts_with("##");
            assert!(!hidden, "readers of the README miss, or see, {line:?} in\n{}", program.code);
        }
    }
}

#[test]
fn each_program_is_whole() {
    // Without a `main`, rustdoc puts the block into one.
    let main = Regex::new(r"(?m)^(async )?fn main\(\)").unwrap();
    for program in programs() {
        assert!(main.is_match(&program.code), "no function `main` in\n{}", program.code);
    }
}

#[test]
fn each_program_comes_with_the_crates_that_it_uses_and_no_others() {
    let root = Regex::new(r"(?:^|[^:.\w])([a-z]\w*)::").unwrap();
    for program in programs() {
        let code: String = program
            .code
            .lines()
            .filter_map(|line| line.split("//").next())
            .collect::<Vec<_>>()
            .join("\n");
        let used: BTreeSet<_> = root
            .captures_iter(&code)
            .map(|found| found[1].to_owned())
            .filter(|name| name != "std")
            .collect();
        let added: BTreeSet<_> =
            program.adds.iter().map(|add| add.name.replace('-', "_")).collect();
        assert_eq!(added, used, "`cargo add` above, and crates used in\n{}", program.code);
    }
}

#[test]
fn the_features_that_the_programs_need_exist() {
    for add in programs().iter().flat_map(|program| &program.adds) {
        if add.name == "tower-api-key" {
            for feature in &add.features {
                assert!(
                    MANIFEST.contains(&format!("\n{feature} = [")),
                    "there is no feature {feature}"
                );
            }
        }
    }
}

#[test]
fn the_first_program_compiles_in_a_new_project() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let program = programs().swap_remove(0);
    let mut manifest = String::from(
        "[package]\nname = \"from-the-readme\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n",
    );
    for Add { name, features } in &program.adds {
        // The lock says which version.
        let source = match name.as_str() {
            "tower-api-key" => format!("path = {root:?}"),
            _ => "version = \"*\"".to_owned(),
        };
        manifest += &format!("{name} = {{ {source}, features = {features:?} }}\n");
    }
    // Dependencies that are built like those of the tests need not be built again.
    manifest += &MANIFEST
        [MANIFEST.find("\n[profile.dev]").unwrap()..MANIFEST.find("\n# As a service").unwrap()];

    let project = tempfile::tempdir().unwrap();
    std::fs::create_dir(project.path().join("src")).unwrap();
    std::fs::write(project.path().join("src/main.rs"), program.code).unwrap();
    std::fs::write(project.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(root.join("Cargo.lock"), project.path().join("Cargo.lock")).unwrap();
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["check", "--offline", "--quiet"])
        .current_dir(project.path())
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap())
        .env("RUSTFLAGS", "")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");
}
