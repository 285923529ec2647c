//! Stored credentials on a real file system.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Barrier, mpsc};
use std::time::Duration;

use crate::common::canary::assert_error_hidden;
use tempfile::TempDir;
use tower_api_key::KeyFormat;
use tower_api_key::client::{Credentials, CredentialsError, KeySource};
use tower_api_key::key::FormatError;

/// A home with the place of a file, which is removed with it.
struct Home {
    folder: TempDir,
    file: PathBuf,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".hapnd/config.json");
        Self { folder, file }
    }

    /// One in which there is a file already.
    fn with(content: impl AsRef<[u8]>) -> Self {
        let home = Self::with_folder();
        fs::write(&home.file, content).unwrap();
        set_mode(&home.file, 0o600);
        home
    }

    fn with_folder() -> Self {
        let home = Self::new();
        fs::create_dir(home.file.parent().unwrap()).unwrap();
        home
    }

    fn credentials(&self) -> Credentials {
        Credentials::at(&self.file).formats([format(), KeyFormat::new("sk_test_")])
    }

    fn load(&self) -> Result<Option<String>, CredentialsError> {
        let loaded = at_once(self.credentials(), |credentials| credentials.load())?;
        Ok(loaded.map(|loaded| loaded.key.reveal().to_owned()))
    }

    fn login(&self, key: &str) -> Result<(), CredentialsError> {
        let key = key.to_owned();
        at_once(self.credentials(), move |credentials| credentials.login(&key))
    }

    fn logout(&self) -> Result<bool, CredentialsError> {
        at_once(self.credentials(), |credentials| credentials.logout())
    }

    fn content(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    /// The names of all that is beside the file, and of the file.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.file.parent().unwrap()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Checks that neither loading nor a login nor a logout accepts what is there.
    fn assert_refused(&self, refuses: impl Fn(&CredentialsError) -> bool) {
        let key = key();
        let errors = [
            self.load().map(drop).unwrap_err(),
            self.login(&key).unwrap_err(),
            self.logout().map(drop).unwrap_err(),
        ];
        for error in errors {
            assert!(refuses(&error), "{error:?}");
            assert_error_hidden(&error, &[&key]);
            assert!(error.to_string().contains("config.json"), "{error}");
        }
        assert_eq!(self.names(), ["config.json"]);
    }
}

fn format() -> KeyFormat {
    KeyFormat::new("sk_live_")
}

fn key() -> String {
    format().generate().unwrap().reveal().to_owned()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// Fails if it hangs, as on a pipe that nobody writes to.
fn at_once<T: Send + 'static>(
    credentials: Credentials,
    call: impl FnOnce(&Credentials) -> T + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(call(&credentials)));
    receiver.recv_timeout(Duration::from_secs(20)).expect("it hangs")
}

fn is_not_a_file(error: &CredentialsError) -> bool {
    matches!(error, CredentialsError::NotAFile { .. })
}

#[test]
fn a_key_is_stored_for_its_owner_only_and_found_again() {
    let home = Home::new();
    assert_eq!(home.load().unwrap(), None);
    for key in [key(), key()] {
        home.login(&key).unwrap();
        assert_eq!(home.load().unwrap().unwrap(), key);
        assert_eq!(home.content(), format!("{{\n  \"api_key\": \"{key}\"\n}}\n"));
        assert_eq!(mode(&home.file), 0o600);
        assert_eq!(mode(home.file.parent().unwrap()), 0o700);
        assert_eq!(home.names(), ["config.json"]);
    }
    let source = home.credentials().load().unwrap().unwrap().source;
    assert_eq!(source, KeySource::File(home.file.clone()));
}

#[test]
fn a_wrong_key_is_never_stored() {
    let home = Home::new();
    let right = key();
    for wrong in [
        "".to_owned(),
        right.replace("live", "prod"),
        right[..47].to_owned(),
        format!("{right}\n"),
        format!("{right}\", \"admin\": \"yes"),
    ] {
        let error = home.login(&wrong).unwrap_err();
        assert!(matches!(error, CredentialsError::WrongKey { .. }), "{error:?}");
        assert_error_hidden(&error, &[&right]);
        let message = error.to_string();
        assert!(message.contains("`sk_live_` followed by 40 base-62 characters, or `sk_test_`"));
        assert!(!home.folder.path().join(".hapnd").exists());
    }
    home.login(&right).unwrap();
    home.login("sk_live_1234").unwrap_err();
    assert_eq!(home.load().unwrap().unwrap(), right);
}

#[test]
fn a_logout_removes_the_file_and_may_be_repeated() {
    let home = Home::new();
    assert!(!home.logout().unwrap());
    home.login(&key()).unwrap();
    assert!(home.logout().unwrap());
    assert!(home.names().is_empty());
    assert!(!home.logout().unwrap());
    assert_eq!(home.load().unwrap(), None);
}

#[test]
fn what_other_tools_wrote_is_kept() {
    let home = Home::with(r#"{"url": "https://eu.example", "api_key": "old", "size": 1.50}"#);
    let key = key();
    home.login(&key).unwrap();
    assert_eq!(home.load().unwrap().unwrap(), key);
    assert!(home.logout().unwrap());
    let rest = "{\n  \"size\": 1.50,\n  \"url\": \"https://eu.example\"\n}\n";
    assert_eq!(home.content(), rest);
    assert_eq!(mode(&home.file), 0o600);
    assert_eq!(home.load().unwrap(), None);
    assert!(!home.logout().unwrap());
    assert_eq!(home.content(), rest);
}

#[test]
fn a_folder_that_is_there_is_left_as_it_is() {
    for folder_mode in [0o755, 0o2770] {
        let home = Home::with_folder();
        let folder = home.file.parent().unwrap();
        set_mode(folder, folder_mode);
        home.login(&key()).unwrap();
        assert_eq!((mode(folder), mode(&home.file)), (folder_mode, 0o600));
    }
}

#[test]
fn folders_that_are_missing_are_private() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a/b/c/config.json");
    Credentials::at(&file).login("any-key").unwrap();
    for folder in file.ancestors().skip(1).take(3) {
        assert_eq!(mode(folder), 0o700, "{folder:?}");
    }
}

#[test]
fn a_file_that_others_may_read_or_change_is_refused_with_the_cure() {
    for exposed in [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o666, 0o777] {
        let key = key();
        let home = Home::with(format!("{{\"api_key\":\"{key}\"}}"));
        let before = home.content();
        set_mode(&home.file, exposed);
        for error in [home.load().map(drop).unwrap_err(), home.login(&key).unwrap_err()] {
            assert!(matches!(error, CredentialsError::Exposed { .. }), "{error:?}");
            assert_error_hidden(&error, &[&key]);
            let message = error.to_string();
            let (_, cure) = message.split_once(": run `").unwrap();
            assert!(cure.starts_with("chmod 600 \""), "{message}");
            let cure = cure.trim_end_matches('`');
            assert_eq!((home.content(), mode(&home.file)), (before.clone(), exposed));
            assert!(Command::new("sh").args(["-c", cure]).status().unwrap().success());
            assert_eq!(home.load().unwrap().as_ref(), Some(&key));
            set_mode(&home.file, exposed);
        }
        // One has to be able to get rid of it.
        assert!(home.logout().unwrap());
        assert!(home.names().is_empty());
    }
}

#[test]
fn a_logout_makes_private_what_is_left_of_a_file_that_others_could_read() {
    let home = Home::with(r#"{"url": "https://eu.example", "api_key": "old"}"#);
    set_mode(&home.file, 0o644);
    assert!(home.logout().unwrap());
    assert_eq!(mode(&home.file), 0o600);
    assert!(!home.content().contains("old"));
}

#[test]
fn a_link_in_place_of_the_file_is_not_followed() {
    let key = key();
    let home = Home::with_folder();
    let target = home.folder.path().join("target.json");
    let content = format!("{{\"api_key\":\"{key}\"}}");
    fs::write(&target, &content).unwrap();
    set_mode(&target, 0o600);
    for to in [target.as_path(), home.folder.path(), Path::new("/nowhere/at/all"), &home.file] {
        symlink(to, &home.file).unwrap();
        home.assert_refused(is_not_a_file);
        assert_eq!(fs::read_link(&home.file).unwrap(), to);
        fs::remove_file(&home.file).unwrap();
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), content);
    assert!(!Path::new("/nowhere").exists());
}

#[test]
fn a_folder_a_pipe_and_a_socket_in_place_of_the_file_are_refused_at_once() {
    let home = Home::with_folder();
    fs::create_dir(&home.file).unwrap();
    home.assert_refused(is_not_a_file);
    fs::remove_dir(&home.file).unwrap();

    assert!(Command::new("mkfifo").arg(&home.file).status().unwrap().success());
    home.assert_refused(is_not_a_file);
    fs::remove_file(&home.file).unwrap();

    let _listener = UnixListener::bind(&home.file).unwrap();
    home.assert_refused(is_not_a_file);
}

#[test]
fn a_file_of_another_user_is_refused() {
    let is_foreign = |error: &CredentialsError| matches!(error, CredentialsError::Foreign { .. });
    let home = Home::with(format!("{{\"api_key\":\"{}\"}}", key()));
    if fs::metadata(&home.file).unwrap().uid() == 0 {
        chown(&home.file, Some(1), None).unwrap();
        home.assert_refused(is_foreign);
    } else {
        // Only root can give files away, and has some that all may read.
        let error = Credentials::at("/etc/passwd").load().unwrap_err();
        assert!(is_foreign(&error), "{error:?}");
    }
}

#[test]
fn another_name_of_the_file_keeps_the_old_one() {
    let (old, new) = (key(), key());
    let home = Home::with(format!("{{\"api_key\":\"{old}\"}}"));
    let other = home.folder.path().join("other.json");
    fs::hard_link(&home.file, &other).unwrap();
    home.login(&new).unwrap();
    assert_eq!(home.load().unwrap().unwrap(), new);
    assert!(fs::read_to_string(&other).unwrap().contains(&old));
}

#[test]
fn a_file_that_cannot_be_kept_is_not_overwritten() {
    let secret = key();
    for content in [
        String::new(),
        secret.clone(),
        format!("\"{secret}\""),
        format!("{{\"api_key\": \"{secret}\""),
        format!("api_key = \"{secret}\""),
        format!("[\"{secret}\"]"),
    ] {
        let home = Home::with(&content);
        home.assert_refused(|error| {
            assert_error_hidden(error, &[&secret]);
            matches!(error, CredentialsError::Malformed { .. })
        });
        assert_eq!(home.content(), content);
    }
    let huge = format!("{{\"note\": \"{}\"}}", "x".repeat(64 * 1024));
    let home = Home::with(&huge);
    home.assert_refused(|error| matches!(error, CredentialsError::TooBig { .. }));
    assert_eq!(home.content(), huge);
}

#[test]
fn a_file_in_place_of_the_folder_is_an_error() {
    let home = Home::new();
    fs::write(home.folder.path().join(".hapnd"), "").unwrap();
    let is_read = |error: CredentialsError| matches!(error, CredentialsError::Read { .. });
    assert!(is_read(home.load().map(drop).unwrap_err()));
    assert!(is_read(home.login(&key()).unwrap_err()));
    assert!(is_read(home.logout().map(drop).unwrap_err()));
}

#[test]
fn a_file_with_a_wrong_key_is_refused_and_says_where() {
    let right = key();
    for (wrong, expected) in [
        (right.replace("live", "prod"), FormatError::Prefix),
        (right[..40].to_owned(), FormatError::Length),
        (format!("{right} "), FormatError::Character),
        (String::new(), FormatError::Length),
    ] {
        let home = Home::with(format!("{{\"api_key\": \"{wrong}\"}}"));
        let error = home.load().unwrap_err();
        assert_error_hidden(&error, &[&right]);
        assert!(error.to_string().contains("config.json"), "{error}");
        let CredentialsError::WrongKeyIn { found_in, reason, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!((found_in, reason), (KeySource::File(home.file.clone()), expected));
        // It is replaced by a right one.
        home.login(&right).unwrap();
        assert_eq!(home.load().unwrap().as_ref(), Some(&right));
    }
}

#[test]
fn logins_at_once_leave_one_whole_file() {
    let home = Home::with(r#"{"url": "https://eu.example"}"#);
    let keys: Vec<_> = (0..8).map(|_| key()).collect();
    std::thread::scope(|scope| {
        for key in &keys {
            scope.spawn(|| (0..20).for_each(|_| home.credentials().login(key).unwrap()));
        }
        scope.spawn(|| {
            for _ in 0..200 {
                let loaded = home.credentials().load().unwrap();
                assert!(
                    loaded.is_none_or(|found| keys.iter().any(|key| found.key.reveal() == key))
                );
            }
        });
    });
    assert!(keys.contains(&home.load().unwrap().unwrap()));
    assert!(home.content().contains("https://eu.example"));
    assert_eq!(home.names(), ["config.json"]);
}

#[test]
fn of_logouts_at_once_one_removes_the_key_and_none_fails() {
    let home = Home::new();
    for _ in 0..30 {
        home.login(&key()).unwrap();
        let start = Barrier::new(8);
        let logout = || {
            start.wait();
            home.credentials().logout().unwrap()
        };
        let removed = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(logout)).collect();
            all.into_iter().map(|one| one.join().unwrap()).filter(|is| *is).count()
        });
        assert_eq!(removed, 1);
        assert!(home.names().is_empty());
    }
}

#[test]
fn the_file_is_in_the_home_of_the_user_or_in_the_platforms_folder() {
    let home = std::env::home_dir().unwrap();
    assert_eq!(Credentials::new("hapnd").path().unwrap(), home.join(".hapnd/config.json"));
    let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.filter(|path| path.is_absolute()).unwrap_or(home.join(".config"));
    let credentials = Credentials::in_config_folder("hapnd");
    assert_eq!(credentials.path().unwrap(), folder.join("hapnd/config.json"));
}
