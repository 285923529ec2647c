//! The program `api-keys`, as an operator uses it.

#[test]
fn it_is_built() {
    assert!(std::path::Path::new(env!("CARGO_BIN_EXE_api-keys")).exists());
}
