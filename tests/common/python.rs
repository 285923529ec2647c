//! The Python of tests that need programs of that language.

use std::process::Command;

use utoipa::openapi::OpenApi;

/// Returns a command that starts the Python that `tests/all` sets up.
pub fn python() -> Command {
    let python = std::env::var("TEST_PYTHON");
    Command::new(python.expect("TEST_PYTHON names a Python with what tests/requirements.txt lists"))
}

/// Asserts that a document keeps to the schema of OpenAPI.
#[track_caller]
pub fn assert_valid(document: &OpenApi) {
    let json = document.to_pretty_json().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, &json).unwrap();
    let output = python().args(["-m", "openapi_spec_validator"]).arg(file.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("OK"), "{said}\n{json}");
}
