//! [`DatabaseUrl`]: the URL of a database.

use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::surplus::Surplus;

/// The URL of a database. It is not `Debug`, because it may have a password.
pub(crate) enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres(String),
    Redis(String),
}

/// The error of a URL, which does not repeat it.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum UrlError {
    #[error("no database: set DATABASE_URL or use --database")]
    None,
    #[error("DATABASE_URL is not text")]
    NotText,
    #[error("{0} {1}")]
    Surplus(&'static str, Surplus),
    #[error("the URL of the database has a control character, such as a line break: remove it")]
    Control,
    #[error("unknown URL of a database: begin it with `sqlite:`, `postgres://` or `redis://`")]
    Scheme,
    #[error("the URL of the SQLite database has no path: add it, as in `sqlite:keys.db`")]
    NoFile,
    #[error("a database in memory is lost when the command ends: use a file")]
    InMemory,
    #[error(
        "a URL with a password is refused, because others on this machine can see the arguments of a \
         command: set DATABASE_URL instead, and change the password"
    )]
    Password,
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        // Parsers of URLs leave out some of them, and go on.
        if url.contains(char::is_control) {
            return Err(UrlError::Control);
        }
        let (scheme, rest) = url.split_once(':').ok_or(UrlError::Scheme)?;
        match &*scheme.to_ascii_lowercase() {
            "sqlite" => sqlite_file(rest).map(Self::Sqlite),
            "postgres" | "postgresql" => Ok(Self::Postgres(url.to_owned())),
            "redis" | "rediss" | "redis+unix" | "redis+sentinel" | "rediss+sentinel" | "valkey"
            | "valkeys" | "valkey+unix" | "valkey+sentinel" | "valkeys+sentinel" => {
                Ok(Self::Redis(url.to_owned()))
            }
            _ => Err(UrlError::Scheme),
        }
    }
}

/// Reads the path as `sqlx` does, from what follows the scheme.
fn sqlite_file(rest: &str) -> Result<PathBuf, UrlError> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let path = percent_decode_str(path).decode_utf8().map_err(|_| UrlError::NoFile)?;
    if path == ":memory:" || parameters.split('&').any(|parameter| parameter == "mode=memory") {
        return Err(UrlError::InMemory);
    }
    if path.is_empty() {
        return Err(UrlError::NoFile);
    }
    Ok(PathBuf::from(path.into_owned()))
}

/// Returns whether a text may be a URL with a password, even if it does not parse.
pub(crate) fn has_password(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    if scheme.eq_ignore_ascii_case("sqlite") {
        return false;
    }
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    // Up to the last `@`: a password that is not encoded may have one, and slashes.
    let of_user = rest.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    of_user.is_some_and(|(_, password)| !password.is_empty())
        || form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
            matches!(&*name.to_ascii_lowercase(), "password" | "pass") && !value.is_empty()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_file_is_read_as_sqlx_does() {
        for (url, path) in [
            ("sqlite:keys.db", "keys.db"),
            ("sqlite://keys.db", "keys.db"),
            ("sqlite:///var/keys.db", "/var/keys.db"),
            ("SQLite:keys.db?mode=rwc", "keys.db"),
            ("sqlite:my%20keys%3F.db", "my keys?.db"),
        ] {
            let parsed = url.parse();
            assert!(matches!(parsed, Ok(DatabaseUrl::Sqlite(found)) if found == *path), "{url}");
        }
        for (url, error) in [
            ("sqlite:", UrlError::NoFile),
            ("sqlite:///%ff", UrlError::NoFile),
            ("sqlite::memory:", UrlError::InMemory),
            ("sqlite://?mode=memory", UrlError::InMemory),
            ("keys.db", UrlError::Scheme),
            ("mysql://hush@localhost", UrlError::Scheme),
            ("postgres://app@ho\nst/app", UrlError::Control),
            ("sqlite:a\tb.db", UrlError::Control),
            ("", UrlError::Scheme),
        ] {
            assert_eq!(url.parse::<DatabaseUrl>().err(), Some(error), "{url}");
        }
    }

    #[test]
    fn a_password_is_found_wherever_it_stands() {
        for url in [
            "postgres://app:hush@db/app",
            "postgres://:hush@db",
            "redis://:hush@127.0.0.1",
            "redis+sentinel://:hush@a,b/main",
            "rediss://u:a/b@c@host:6379/0",
            "postgres://db/app?sslmode=require&password=hush",
            "postgres://db/app?pass%77ord=hush",
            "redis+unix:///run/redis.sock?pass=hush",
            "typo://app:hush@db",
            "postgres:app:hush@db/app",
            "postgres:/app:hush@db/app",
        ] {
            assert!(has_password(url), "{url}");
        }
        for url in [
            "postgres://app@db:5432/app?sslmode=require",
            "postgres://app:@db/app",
            "redis://127.0.0.1:6379",
            "postgres:///app?host=/run/postgresql",
            "sqlite:///home/me@work/a:b.db",
            "sqlite:/home/me@work/a:b@c.db",
            "key_1",
        ] {
            assert!(!has_password(url), "{url}");
        }
    }
}
