//! [`Exit`] and [`Failure`]: the outcome of a command.

use std::io;
use std::process::ExitCode;

use thiserror::Error;
use tower_api_key::key::IssueError;
use tower_api_key::store::TablesError;
use tower_api_key::{KeyId, ManageError, StoreError};

use crate::input::InputError;
use crate::mistakes::Mistake;
use crate::say::say;
use crate::text::printable;
use crate::url::UrlError;

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Invalid = 5,
    NotAllowed = 6,
    Interrupted = 130,
}

/// The exit status in `--help`.
pub(crate) const HELP: &str = "\
Exit status:
  0  success; for `verify`, the key is valid and the request would be accepted
  1  the database or a stream failed, or the tables are missing
  2  the arguments, the environment or the standard input are wrong
  3  there is no such key
  4  refused by a rule: the name, the expiry, the state of the key or its tenant, the number of keys
  5  `verify`: the key is not valid
  6  `verify`: the key is valid, but the request would be refused
  130  stopped by Ctrl-C: changes that were made stay";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The error of a command.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{}", said_in_one_line(.0))]
    Mistakes(Vec<Mistake>),
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("there is no database {0}: create it with `api-keys init`")]
    NoDatabase(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Manage(#[from] ManageError),
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
    #[error("--audit-file: the events of these changes were not written: {0}")]
    Events(io::Error),
    /// The key exists, and its secret is lost.
    #[error(
        "{id} was issued, but its secret could not be written to standard output ({source}): \
         run `api-keys rotate {id} --grace 0s` for another one, or `api-keys revoke {id}`"
    )]
    SecretLost { id: KeyId, source: io::Error },
    /// Several keys exist, and their secrets are lost.
    #[error(
        "{} keys were issued, but their secrets could not be written to standard output ({source}), \
         and if it was closed, it is not known how much was read before; \
         revoke them with `api-keys revoke --ids-stdin`: {}", ids.len(), joined(ids)
    )]
    SecretsLost { ids: Vec<KeyId>, source: io::Error },
    /// A line of standard input is wrong, and the rest was not read.
    #[error("standard input, line {line}: {source}{}", not_known(uncertain))]
    Line { line: usize, uncertain: Vec<KeyId>, source: ManageError },
}

fn said_in_one_line(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn joined(ids: &[KeyId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn not_known(ids: &[KeyId]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let ids = joined(ids);
    format!(
        "; it is not known whether these were issued, all or none, whose secrets are lost: show one, \
         and revoke them if it is there: {ids}"
    )
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Returns whether the reader of standard output has closed it.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Url(_) | Self::Input(InputError::Wrong(_)) => Exit::Usage,
            // What is wrong in itself comes before what a rule refuses.
            Self::Mistakes(mistakes) if mistakes.iter().all(|one| one.exit() == Exit::Refused) => {
                Exit::Refused
            }
            Self::Mistakes(_) => Exit::Usage,
            Self::Manage(error) | Self::Line { source: error, .. } => Self::exit_of(error),
            _ if self.is_closed_pipe() => Exit::Done,
            _ => Exit::Failed,
        }
    }

    fn exit_of(error: &ManageError) -> Exit {
        match error {
            ManageError::NotFound => Exit::NotFound,
            ManageError::Issue(IssueError::Generate(_)) => Exit::Failed,
            ManageError::Issue(_) | ManageError::Invalid(_) | ManageError::UsageRange => {
                Exit::Usage
            }
            ManageError::TooManyKeys(_)
            | ManageError::Name
            | ManageError::UnknownAbility(_)
            | ManageError::Expiry
            | ManageError::State(_)
            | ManageError::Rotated(_)
            | ManageError::Suspended
            | ManageError::Format => Exit::Refused,
            _ => Exit::Failed,
        }
    }

    /// Returns the lines of the message.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Mistakes(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
            failure => vec![failure.to_string()],
        }
    }

    /// Returns what to do, if the message does not say it.
    fn advice(&self) -> Option<&'static str> {
        if let Self::Manage(ManageError::Issue(IssueError::Ambiguous(_))) = self {
            return Some("choose the format with --prefix, --stage and --kind");
        }
        if let Self::Manage(ManageError::UnknownAbility(_)) = self {
            return Some("add it to API_KEYS_ABILITIES, or correct its spelling");
        }
        let (Self::Store(error) | Self::Manage(ManageError::Store(error))) = self else {
            return None;
        };
        match std::error::Error::source(error)?.downcast_ref()? {
            TablesError::Older(..) => Some("run `api-keys init` to create or migrate the tables"),
            TablesError::Newer(..) => Some("update `api-keys`"),
            _ => None,
        }
    }
}

/// Prints the error, and returns the exit status.
pub(crate) fn report(outcome: Result<Exit, Failure>) -> ExitCode {
    let failure = match outcome {
        Ok(exit) => return exit.into(),
        Err(failure) => failure,
    };
    let exit = failure.exit();
    if exit != Exit::Done {
        for line in failure.lines() {
            say(format_args!("api-keys: {}", printable(&line)));
        }
        if let Some(advice) = failure.advice() {
            say(format_args!("api-keys: {advice}"));
        }
    }
    exit.into()
}
