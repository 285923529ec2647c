//! The file in which a client keeps its key, beside what other programs keep there.
//!
//! The input is the file.

#![no_main]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use tower_api_key::client::Credentials;

/// A file in memory, where there is one.
fn path() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        folder.keep().join("config.json")
    })
}

fuzz_target!(|input: &[u8]| {
    let write = || {
        fs::write(path(), input).unwrap();
        fs::set_permissions(path(), Permissions::from_mode(0o600)).unwrap();
    };
    let credentials = Credentials::at(path());
    let read = || fs::read(path()).ok();
    let object = |bytes: &[u8]| serde_json::from_slice::<Map<String, Value>>(bytes).ok();
    let others = |object: Option<Map<String, Value>>| {
        let mut object = object.unwrap_or_default();
        object.remove("api_key");
        object
    };

    write();
    let before = object(input);
    let loaded = credentials.load();
    assert_eq!(read().as_deref(), Some(input));
    if let (Ok(Some(loaded)), Some(object)) = (&loaded, &before) {
        assert_eq!(object["api_key"], loaded.key.reveal());
    }
    if let Ok(None) = &loaded {
        assert!(before.as_ref().is_none_or(|object| !object.contains_key("api_key")));
    }

    let key = "sk_live_0123456789abcdef";
    match credentials.login(key) {
        Ok(()) => {
            assert_eq!(credentials.load().unwrap().unwrap().key.reveal(), key);
            if before.is_some() {
                assert_eq!(others(object(&read().unwrap())), others(before.clone()));
            }
            assert!(credentials.logout().unwrap());
            assert!(credentials.load().unwrap().is_none());
        }
        Err(error) => {
            assert_eq!(read().as_deref(), Some(input), "{error}");
            assert!(!format!("{error} {error:?}").contains("0123456789"));
        }
    }

    write();
    match credentials.logout() {
        Ok(true) => {
            let left = read();
            if before.is_some() {
                assert_eq!(others(left.as_deref().and_then(object)), others(before));
            }
            assert!(credentials.load().unwrap().is_none());
        }
        _ => assert_eq!(read().as_deref(), Some(input)),
    }
});
