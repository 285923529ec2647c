//! Programs of the other packages, built once by each program of the tests that runs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the path of the program `api-keys`.
pub fn api_keys() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| program(&build(&["--bin", "api-keys"]).join("api-keys")))
}

/// Returns the path of an example.
pub fn example(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    program(&DIRECTORY.get_or_init(|| build(&["--examples"]).join("examples")).join(name))
}

fn program(path: &Path) -> PathBuf {
    path.with_extension(std::env::consts::EXE_EXTENSION)
}

/// Builds in the profile of the tests, with the features of all packages, so that what the tests
/// are built of serves here, too. Returns the profile's directory.
fn build(what: &[&str]) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--workspace", "--all-features", "--target-dir"]);
    build.arg(profile.parent().unwrap()).args(what);
    // Cargo describes the package to its tests. Build scripts that read these variables, such as
    // ring's, would run anew, here and at the next build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&name);
        }
    }
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    profile.to_owned()
}
