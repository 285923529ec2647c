//! [`Location`]: the path of the file.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;

use super::CredentialsError;

const FILE: &str = "config.json";

/// The path of the file. The home directory is looked up when the file is needed, so that a program
/// with a key in the environment needs none.
#[derive(Clone, Debug)]
pub(super) enum Location {
    /// In `~/.<application>`.
    Home(String),
    /// In the application's directory in the platform's configuration folder.
    ConfigFolder(String),
    Path(PathBuf),
}

impl Location {
    pub(super) fn path(&self) -> Result<PathBuf, CredentialsError> {
        let folder = match self {
            Self::Home(application) => home()?.join(format!(".{application}")),
            Self::ConfigFolder(application) => config_folder()?.join(application),
            Self::Path(path) => return Ok(path.clone()),
        };
        Ok(folder.join(FILE))
    }
}

fn home() -> Result<PathBuf, CredentialsError> {
    absolute(etcetera::home_dir().ok())
}

fn config_folder() -> Result<PathBuf, CredentialsError> {
    let strategy = etcetera::choose_base_strategy().ok();
    absolute(strategy.map(|strategy| strategy.config_dir()))
}

/// Refuses a relative path, which `HOME` may be: the key would be stored in, and read from, the current
/// directory.
fn absolute(path: Option<PathBuf>) -> Result<PathBuf, CredentialsError> {
    path.filter(|path| path.is_absolute()).ok_or(CredentialsError::NoHome)
}

pub(super) fn assert_plain(application: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let starts_well = application.starts_with(|first: char| first.is_ascii_alphabetic());
    assert!(
        application.len() <= 64 && application.bytes().all(plain) && starts_well,
        "the name of an application has at most 64 characters of A-Z, a-z, 0-9, `_` and `-`, the \
         first of them a letter; this one is {application:?}"
    );
}

/// Returns the name of the environment variable for an application.
pub(super) fn variable_of(application: &str) -> String {
    format!("{}_API_KEY", application.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_has_the_name_of_the_application() {
        assert_eq!(variable_of("hapnd"), "HAPND_API_KEY");
        assert_eq!(variable_of("my-App_2"), "MY_APP_2_API_KEY");
    }

    #[test]
    fn a_name_that_is_no_plain_file_name_panics() {
        let long = "a".repeat(65);
        for wrong in ["", ".", "..", "../x", "a/b", "a\\b", "2a", "-a", "a b", "a\0", "ä", &long] {
            assert!(std::panic::catch_unwind(|| assert_plain(wrong)).is_err(), "{wrong:?}");
        }
        for right in ["hapnd", "my-app", "A_2"] {
            assert_plain(right);
        }
    }

    #[test]
    fn a_home_that_is_not_absolute_is_none() {
        for wrong in [None, Some(""), Some("."), Some("home/ann")] {
            assert!(absolute(wrong.map(PathBuf::from)).is_err(), "{wrong:?}");
        }
    }
}
