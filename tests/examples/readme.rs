//! The README: its program is whole, says what it needs, and answers as the README says; its links lead
//! somewhere; it is short. Pages of the guide, which are checked as documentation tests, have the rest.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;

const README: &str = include_str!("../../README.md");
const GUIDE: &str = include_str!("../../src/guide/mod.rs");
const MANIFEST: &str = include_str!("../../Cargo.toml");

/// Where the program listens.
const ADDRESS: &str = "127.0.0.1:3000";

/// A block of Rust, and the lines of `cargo add` in the block before it.
struct Program {
    code: String,
    adds: Vec<Add>,
}

/// A crate that `cargo add` adds.
struct Add {
    name: String,
    default_features: bool,
    features: Vec<String>,
}

fn programs() -> Vec<Program> {
    let (mut programs, mut adds) = (Vec::new(), Vec::new());
    for (language, body) in blocks() {
        if language.starts_with("rust") {
            programs.push(Program { code: body.join("\n"), adds: std::mem::take(&mut adds) });
        } else {
            adds = body
                .into_iter()
                .filter_map(|line| line.strip_prefix("cargo add "))
                .map(added)
                .collect();
        }
    }
    assert!(!programs.is_empty());
    programs
}

/// Returns the language and the lines of each block of code.
fn blocks() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        blocks.push((language, lines.by_ref().take_while(|line| *line != "```").collect()));
    }
    blocks
}

fn added(line: &str) -> Add {
    let mut words = line.split(' ');
    let mut add = Add {
        name: words.next().unwrap().to_owned(),
        default_features: true,
        features: Vec::new(),
    };
    while let Some(word) = words.next() {
        match word {
            "--no-default-features" => add.default_features = false,
            "--features" => {
                add.features = words.next().unwrap().split(',').map(str::to_owned).collect();
            }
            other => panic!("what is {other:?} in {line:?}?"),
        }
    }
    add
}

#[test]
fn the_readme_has_at_most_nine_kilobytes() {
    assert!(README.len() <= 9000, "it has {} bytes: move text to the guide", README.len());
}

#[test]
fn what_the_readme_links_to_exists() {
    let root = root();
    let link = Regex::new(r"\]\(([^)]+)\)").unwrap();
    let documentation = "https://docs.rs/tower-api-key/latest/tower_api_key/";
    let mut pages = 0;
    for link in link.captures_iter(README).map(|found| found[1].to_owned()) {
        if let Some(page) = link.strip_prefix(&format!("{documentation}guide/")) {
            let page = page.strip_suffix("index.html").unwrap().trim_end_matches('/');
            assert!(page.is_empty() || is_page(page), "there is no {link}");
            pages += 1;
        } else if !link.starts_with("https://") {
            assert!(root.join(&link).exists(), "there is no {link}");
        }
    }
    assert!(pages >= 10, "the README links to {pages} pages of the guide");
}

#[test]
fn the_contents_of_the_guide_list_each_page() {
    let module = Regex::new(r"(?m)^pub mod (\w+);$").unwrap();
    for page in module.captures_iter(GUIDE).map(|found| found[1].to_owned()) {
        let is_listed = [format!("]({page})"), format!("[{page}]")];
        let is_listed = is_listed.iter().any(|link| GUIDE.contains(link));
        assert!(is_listed, "the contents of the guide lack {page}");
    }
}

/// Returns the folder of the README.
fn root() -> &'static Path {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.find(|folder| folder.join("README.md").exists()).unwrap()
}

fn is_page(name: &str) -> bool {
    GUIDE.contains(&format!("\npub mod {name};"))
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

/// A running program. It is stopped when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs curl: run tests/all"]
fn the_program_answers_in_a_new_project_as_the_readme_says() {
    let project = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let program = programs().swap_remove(0);
    assert_eq!(program.code.matches(ADDRESS).count(), 1);
    let code = program.code.replace(ADDRESS, &address.to_string());
    let executable = build(project.path(), &Program { code, ..program });
    let said = Regex::new(r"builds (\d+) crates").unwrap().captures(README).unwrap();
    let crates = count_crates(project.path());
    assert!(crates <= said[1].parse().unwrap(), "the program needs {crates} crates");

    drop(listener);
    let running = Command::new(executable).stdout(Stdio::piped()).spawn().unwrap();
    let mut running = Running(running);
    let mut printed = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut printed).unwrap();
    let key = printed.trim_end().strip_prefix("shown once: ").unwrap();
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not listen at {address}");
        std::thread::sleep(Duration::from_millis(10));
    }

    let (_, console) = blocks().into_iter().find(|(language, _)| *language == "console").unwrap();
    let mut calls = 0;
    for lines in console.chunks(2) {
        let [command, answer] = lines else { panic!("{lines:?} lacks an answer") };
        let command = command.strip_prefix("$ ").unwrap();
        let command = command.replace(ADDRESS, &address.to_string()).replace("ak_…", key);
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", &command]).env("NO_PROXY", "*").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.trim_end(), *answer, "{command}");
        calls += 1;
    }
    assert_eq!(calls, 2);
}

/// Builds a program in a project of its own without warnings, and returns the file to run.
fn build(project: &Path, program: &Program) -> std::path::PathBuf {
    let root = root();
    let mut manifest = String::from(
        "[package]\nname = \"from-the-readme\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n",
    );
    for Add { name, default_features, features } in &program.adds {
        // The lock says which version.
        let source = match name.as_str() {
            "tower-api-key" => format!("path = {root:?}"),
            _ => "version = \"*\"".to_owned(),
        };
        manifest += &format!(
            "{name} = {{ {source}, default-features = {default_features}, features = {features:?} }}\n"
        );
    }
    // Dependencies that are built like those of the tests need not be built again.
    manifest += &MANIFEST
        [MANIFEST.find("\n[profile.dev]").unwrap()..MANIFEST.find("\n# As a service").unwrap()];

    std::fs::create_dir(project.join("src")).unwrap();
    std::fs::write(project.join("src/main.rs"), &program.code).unwrap();
    std::fs::write(project.join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(root.join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let output = cargo(project, &["build", "--offline", "--quiet"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");
    target().join("debug/from-the-readme")
}

/// Returns how many crates are built for a project, beside its own.
fn count_crates(project: &Path) -> usize {
    let tree = ["tree", "--offline", "--edges", "normal,build", "--prefix", "none", "--no-dedupe"];
    let output = cargo(project, &tree);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crates = String::from_utf8(output.stdout).unwrap();
    crates.lines().collect::<BTreeSet<_>>().len() - 1
}

fn cargo(project: &Path, arguments: &[&str]) -> Output {
    Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(arguments)
        .current_dir(project)
        .env("CARGO_TARGET_DIR", target())
        .env("RUSTFLAGS", "")
        .output()
        .unwrap()
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}
