//! [`Credentials`]: the stored key of a program's user.

mod content;
mod error;
mod file;
mod loaded;
mod location;
#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

use std::ffi::OsString;
use std::path::PathBuf;

use zeroize::Zeroizing;

pub use self::error::CredentialsError;
pub use self::loaded::{KeySource, LoadedKey};
use self::location::Location;
#[cfg(not(unix))]
use self::other as permissions;
#[cfg(unix)]
use self::unix as permissions;
use super::ApiKey;
use crate::key::{FormatError, KeyFormats};

/// Loads and stores the key of a program's user: an environment variable, or a file that
/// [`login`](Self::login) writes.
///
/// Only its owner can read the file, which holds the key as JSON: `{"api_key": "…"}`. Other members,
/// such as settings of other tools, are kept.
///
/// # Files that are refused
///
/// * A file that its group or others can read or write. The error has the command to repair it;
///   [`logout`](Self::logout) removes the key all the same.
/// * A file of another user, even if the program runs as root.
/// * A symbolic link, which is not followed, and any other file that is not regular.
/// * A file that is not a JSON object, because its content could not be kept.
///
/// # Folders
///
/// A missing folder is created for its owner only, and an existing one is left unchanged. Others who
/// may write to the folder can remove the file or restore an older one. They can neither read it nor
/// replace it by their own, which would be the file of another user. A process that is killed while it
/// writes can leave a copy of the key in the folder, for its owner only, which [`logout`](Self::logout)
/// does not remove.
///
/// # Windows
///
/// Files have no mode there, and neither mode nor owner is checked. Files in a user's profile can be
/// read by the user, by administrators and by the system, unless this was changed. A file
/// [elsewhere](Self::at) can be read by everyone who can read the files of its folder.
///
/// # Examples
///
/// ```
/// use tower_api_key::KeyFormat;
/// use tower_api_key::client::Credentials;
///
/// # let home = tempfile::tempdir()?;
/// # let file = home.path().join(".hapnd/config.json");
/// let format = KeyFormat::new("sk_live_");
/// # let text = format.generate()?;
/// # let text = text.reveal();
/// let credentials = Credentials::new("hapnd"); // ~/.hapnd/config.json, or HAPND_API_KEY
/// # let credentials = Credentials::at(&file);
/// let credentials = credentials.formats(format);
/// assert!(credentials.load()?.is_none());
///
/// let error = credentials.login("pk_live_1234").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the key has an unknown prefix; a key is `sk_live_` followed by 40 base-62 characters",
/// );
/// credentials.login(text)?;
/// assert_eq!(credentials.load()?.unwrap().key.reveal(), text);
/// assert!(credentials.logout()?);
/// # assert!(!file.exists());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Credentials {
    location: Location,
    variable: Option<String>,
    formats: KeyFormats,
}

impl Credentials {
    /// Stores the key in `~/.<application>/config.json`. The environment variable
    /// `<APPLICATION>_API_KEY` overrides the file.
    ///
    /// # Panics
    ///
    /// Panics if the name has more than 64 characters, one that is not in `A-Z`, `a-z`, `0-9`, `_`
    /// or `-`, or does not start with a letter.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::client::Credentials;
    ///
    /// let path = Credentials::new("hapnd").path()?;
    /// assert!(path.ends_with(".hapnd/config.json"));
    /// # Ok::<_, tower_api_key::client::CredentialsError>(())
    /// ```
    #[must_use]
    pub fn new(application: &str) -> Self {
        Self::of(application, Location::Home)
    }

    /// Like [`new`](Self::new), but in the platform's configuration folder:
    /// `$XDG_CONFIG_HOME/<application>` or `~/.config/<application>`, and on Windows
    /// `%APPDATA%\<application>`.
    ///
    /// # Panics
    ///
    /// Panics if [`new`](Self::new) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::client::Credentials;
    ///
    /// let path = Credentials::in_config_folder("hapnd").path()?;
    /// assert_eq!(path.parent().unwrap().file_name().unwrap(), "hapnd");
    /// # Ok::<_, tower_api_key::client::CredentialsError>(())
    /// ```
    #[must_use]
    pub fn in_config_folder(application: &str) -> Self {
        Self::of(application, Location::ConfigFolder)
    }

    fn of(application: &str, location: impl FnOnce(String) -> Location) -> Self {
        location::assert_plain(application);
        let variable = Some(location::variable_of(application));
        let location = location(application.to_owned());
        Self { location, variable, formats: KeyFormats::default() }
    }

    /// Stores the key in this file. No environment variable overrides it, unless it is
    /// [set](Self::environment_variable).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::client::Credentials;
    ///
    /// let credentials = Credentials::at("/etc/hapnd/key.json");
    /// assert_eq!(credentials.path()?, std::path::Path::new("/etc/hapnd/key.json"));
    /// # Ok::<_, tower_api_key::client::CredentialsError>(())
    /// ```
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let location = Location::Path(path.into());
        Self { location, variable: None, formats: KeyFormats::default() }
    }

    /// Sets the environment variable that overrides the file.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::client::Credentials;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let file = folder.path().join("key.json");
    /// // `CARGO` is set here, but its value is not a key of this format: the file is not read.
    /// let format = tower_api_key::KeyFormat::new("sk_live_");
    /// let credentials = Credentials::at(file).environment_variable("CARGO").formats(format);
    /// let error = credentials.load().unwrap_err().to_string();
    /// assert!(error.contains("the environment variable CARGO"), "{error}");
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn environment_variable(mut self, name: impl Into<String>) -> Self {
        self.variable = Some(name.into());
        self
    }

    /// Sets the formats of keys. A text of another format is refused, and never stored.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::client::Credentials;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let file = folder.path().join("key.json");
    /// let credentials = Credentials::at(file).formats(tower_api_key::KeyFormat::new("sk_live_"));
    /// assert!(credentials.login("pk_live_1234").is_err());
    /// assert!(credentials.load().unwrap().is_none());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn formats(mut self, formats: impl Into<KeyFormats>) -> Self {
        self.formats = formats.into();
        self
    }

    /// Returns the path of the file, whether the file exists or not.
    ///
    /// # Errors
    ///
    /// Returns an error if the user's home directory is not known.
    pub fn path(&self) -> Result<PathBuf, CredentialsError> {
        self.location.path()
    }

    /// Returns the key and its source, or `None` if the user is not logged in.
    ///
    /// An environment variable that is set takes precedence, even if its value is not a key. The file
    /// is not read then, because it may hold the key of another account.
    ///
    /// # Errors
    ///
    /// Returns an error if the value of the variable or the file is not a key, or if the file [is
    /// refused](Self#files-that-are-refused) or cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::client::{Credentials, KeySource};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let file = folder.path().join("key.json");
    /// let credentials = Credentials::at(&file);
    /// assert!(credentials.load()?.is_none());
    /// credentials.login("sk_live_abc123def456")?;
    /// let found = credentials.load()?.unwrap();
    /// assert_eq!(found.source, KeySource::File(file));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn load(&self) -> Result<Option<LoadedKey>, CredentialsError> {
        let variable = self.variable.as_ref();
        match variable.and_then(|name| Some((name, std::env::var_os(name)?))) {
            Some((name, value)) => self.key_of_variable(name, value).map(Some),
            None => self.load_file(),
        }
    }

    fn key_of_variable(&self, name: &str, value: OsString) -> Result<LoadedKey, CredentialsError> {
        if value.is_empty() {
            return Err(CredentialsError::EmptyVariable(name.to_owned()));
        }
        let key = match value.into_string().map(Zeroizing::new) {
            // Quotes belong to the syntax of the file that set it: a shell removes them, other programs
            // do not.
            Ok(text) if text.len() > 1 && text.starts_with('\'') && text.ends_with('\'') => {
                Err(FormatError::Character)
            }
            Ok(text) => ApiKey::parse(&text, &self.formats),
            Err(_) => Err(FormatError::Character),
        };
        self.loaded(key, KeySource::EnvironmentVariable(name.to_owned()))
    }

    fn load_file(&self) -> Result<Option<LoadedKey>, CredentialsError> {
        let path = self.path()?;
        let Some(bytes) = file::read(&path)? else { return Ok(None) };
        let text = content::key(&bytes).map_err(|error| error.of(&path))?;
        text.map(|text| self.loaded(ApiKey::parse(&text, &self.formats), KeySource::File(path)))
            .transpose()
    }

    fn loaded(
        &self,
        key: Result<ApiKey, FormatError>,
        source: KeySource,
    ) -> Result<LoadedKey, CredentialsError> {
        match key {
            Ok(key) => Ok(LoadedKey { key, source }),
            Err(reason) => {
                let expected = error::describe(&self.formats);
                Err(CredentialsError::WrongKeyIn { found_in: source, reason, expected })
            }
        }
    }

    /// Stores a key in place of the one that was there.
    ///
    /// The file is replaced as a whole: readers find the old or the new one, even if this fails. Of two
    /// concurrent logins, the last one wins. An environment variable that is set overrides the stored
    /// key.
    ///
    /// # Errors
    ///
    /// Returns an error that describes the format if the text is not a key. Returns an error if the
    /// existing file [is refused](Self#files-that-are-refused) or a new one cannot be written. The
    /// error never holds the text, and nothing is changed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::client::Credentials;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let file = folder.path().join("key.json");
    /// let credentials = Credentials::at(file);
    /// credentials.login("sk_live_abc123def456")?;
    /// credentials.login("sk_live_of_another_account")?;
    /// assert_eq!(credentials.load()?.unwrap().key.reveal(), "sk_live_of_another_account");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn login(&self, text: &str) -> Result<(), CredentialsError> {
        let key = ApiKey::parse(text, &self.formats).map_err(|reason| {
            CredentialsError::WrongKey { reason, expected: error::describe(&self.formats) }
        })?;
        let path = self.path()?;
        let old = file::read(&path)?;
        let new = content::with_key(old.as_ref().map(|bytes| bytes.as_slice()), &key);
        file::replace(&path, &new.map_err(|error| error.of(&path))?)
    }

    /// Removes the stored key, and returns whether there was one.
    ///
    /// The file is removed if it has nothing else. Others may be able to read it. An environment
    /// variable stays set.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or changed, or [is
    /// refused](Self#files-that-are-refused) for another reason than its mode.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::client::Credentials;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let file = folder.path().join("key.json");
    /// let credentials = Credentials::at(&file);
    /// credentials.login("sk_live_abc123def456")?;
    /// assert!(credentials.logout()? && !file.exists());
    /// assert!(!credentials.logout()?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn logout(&self) -> Result<bool, CredentialsError> {
        let path = self.path()?;
        let Some(bytes) = file::read_with_any_mode(&path)? else { return Ok(false) };
        match content::without_key(&bytes).map_err(|error| error.of(&path))? {
            content::WithoutKey::Unchanged => Ok(false),
            content::WithoutKey::Empty => file::remove(&path),
            content::WithoutKey::Changed(rest) => file::replace(&path, &rest).map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyFormat;

    fn credentials() -> Credentials {
        Credentials::at("/nowhere").formats(KeyFormat::new("sk_live_"))
    }

    fn key_of_variable(value: impl Into<OsString>) -> Result<LoadedKey, CredentialsError> {
        credentials().key_of_variable("HAPND_API_KEY", value.into())
    }

    #[test]
    fn a_variable_holds_a_key_and_nothing_else() {
        let secret = KeyFormat::new("sk_live_").generate().unwrap();
        let key = secret.reveal();
        assert_eq!(key_of_variable(key).unwrap().key.reveal(), key);
        for wrong in [
            format!("{key}\n"),
            format!(" {key}"),
            format!("\"{key}\""),
            format!("'{key}'"),
            format!("{key}x"),
            key.replace("live", "test"),
            " ".to_owned(),
        ] {
            let error = key_of_variable(&wrong).unwrap_err();
            assert!(error.to_string().contains("HAPND_API_KEY"), "{error}");
            assert!(!format!("{error} {error:?}").contains(&key[8..]), "{error}");
        }
        // Without a format, a quote could be a character of a key.
        let any = Credentials::at("/nowhere");
        assert!(any.key_of_variable("HAPND_API_KEY", format!("'{key}'").into()).is_err());
        assert!(any.key_of_variable("HAPND_API_KEY", key.into()).is_ok());
        let empty = key_of_variable("").unwrap_err();
        assert!(matches!(empty, CredentialsError::EmptyVariable(name) if name == "HAPND_API_KEY"));
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_unicode_holds_no_key() {
        use std::os::unix::ffi::OsStringExt as _;

        let error = key_of_variable(OsString::from_vec(b"sk_live_\xff".to_vec())).unwrap_err();
        assert!(matches!(
            error,
            CredentialsError::WrongKeyIn { reason: FormatError::Character, .. }
        ));
    }

    #[test]
    fn debug_shows_no_key() {
        let secret = KeyFormat::new("sk_live_").generate().unwrap();
        let loaded = key_of_variable(secret.reveal()).unwrap();
        let shown = format!("{loaded:?} {loaded:#?} {:?}", credentials());
        assert!(!shown.contains(&secret.reveal()[8..]), "{shown}");
    }
}
