//! `api-keys revoke --ids-stdin`: revokes many keys, one after the other.

use std::io;
use std::time::Duration;

use serde::Serialize;
use tower_api_key::manage::RevokedKey;
use tower_api_key::store::Propagation;
use tower_api_key::{KeyId, ManageError};

use crate::exit::{Exit, Failure};
use crate::input::InputError;
use crate::output::json_line;
use crate::say::say;
use crate::secrecy::looks_like_secret;
use crate::session::Session;
use crate::text::printable;
use crate::{id, input};

/// How often a revocation is tried if the database fails. It can be repeated.
const ATTEMPTS: u32 = 3;

const PAUSE: Duration = Duration::from_millis(300);

/// Revokes the keys whose ids are on standard input, even if others fail, and prints the outcome of each line.
pub(crate) async fn run(session: &Session, with_successors: bool) -> Result<Exit, Failure> {
    let mut report = Report { session, count: Count::default(), propagation: None, failed: None };
    for (text, line) in input::lines().zip(1..) {
        let text = match text {
            Ok(text) => text,
            // The rest cannot be read. The lines before it are done.
            Err(error) => {
                report.failed.get_or_insert(error.into());
                break;
            }
        };
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let Some(id) = id::of_line(text) else {
            report.wrong(line);
            continue;
        };
        match revoke(session, &id, with_successors).await {
            Ok(revoked) => report.revoked(line, &revoked),
            Err(error) => report.not_revoked(line, &id, &error),
        }
    }
    report.end()
}

async fn revoke(
    session: &Session,
    id: &KeyId,
    with_successors: bool,
) -> Result<RevokedKey, ManageError> {
    let mut attempt = 1;
    loop {
        let revoked = match with_successors {
            true => session.keys.revoke_with_successors(id).await,
            false => session.keys.revoke(id).await,
        };
        match revoked {
            Err(ManageError::Store(_) | ManageError::Conflict | ManageError::Deadline(_))
                if attempt < ATTEMPTS =>
            {
                tokio::time::sleep(PAUSE).await;
                attempt += 1;
            }
            revoked => return revoked,
        }
    }
}

/// The output for each line, and the summary.
struct Report<'a> {
    session: &'a Session,
    count: Count,
    propagation: Option<Propagation>,
    /// The first error of reading or writing. The other keys are revoked all the same.
    failed: Option<Failure>,
}

/// The number of lines of each outcome.
#[derive(Default)]
struct Count {
    revoked: usize,
    unknown: usize,
    wrong: usize,
    failed: usize,
}

/// The outcome of one line, as JSON.
#[derive(Serialize)]
struct Outcome<'a> {
    line: usize,
    /// The id; `None` if the line has none, or an unknown one that may be a secret.
    id: Option<&'a KeyId>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    revoked_successors: &'a [KeyId],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    working_successors: &'a [KeyId],
}

impl Report<'_> {
    fn revoked(&mut self, line: usize, revoked: &RevokedKey) {
        self.count.revoked += 1;
        self.propagation = Some(revoked.propagation);
        let mut outcome = Outcome::of(line, Some(revoked.record.id()), "revoked");
        outcome.revoked_successors = &revoked.revoked_successors;
        outcome.working_successors = &revoked.working_successors;
        self.tell(&outcome);
    }

    fn not_revoked(&mut self, line: usize, id: &KeyId, error: &ManageError) {
        // The line may be a secret by mistake.
        let shown = Some(id).filter(|id| !looks_like_secret(id.as_str()));
        if let ManageError::NotFound = error {
            self.count.unknown += 1;
            return self.tell(&Outcome::of(line, shown, "unknown"));
        }
        self.count.failed += 1;
        let error = Some(error.to_string());
        self.tell(&Outcome { error, ..Outcome::of(line, shown, "failed") });
    }

    fn wrong(&mut self, line: usize) {
        self.count.wrong += 1;
        self.tell(&Outcome::of(line, None, "not an id"));
    }

    fn tell(&mut self, outcome: &Outcome<'_>) {
        let output = self.session.output;
        let written = if output.json {
            json_line(outcome).and_then(|line| output.write(line.as_bytes()))
        } else {
            output.write(outcome.in_words())
        };
        match written {
            // The reader of the output has closed it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => drop(self.failed.get_or_insert(error.into())),
            Ok(()) => {}
        }
    }

    fn end(self) -> Result<Exit, Failure> {
        let Count { revoked, unknown, wrong, failed } = self.count;
        if revoked + unknown + wrong + failed == 0 && self.failed.is_none() {
            return Err(InputError::Wrong("no ids: pass one id a line").into());
        }
        say(format_args!(
            "{revoked} revoked, {unknown} unknown, {wrong} not an id, {failed} failed."
        ));
        if let Some(propagation) = self.propagation {
            say(format_args!("{}", self.session.database.when_seen(propagation)));
        }
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.count.exit()),
        }
    }
}

impl Count {
    /// Returns the worst outcome of the lines.
    fn exit(&self) -> Exit {
        match self {
            Self { failed: 1.., .. } => Exit::Failed,
            Self { wrong: 1.., .. } => Exit::Usage,
            Self { unknown: 1.., .. } => Exit::NotFound,
            Self { .. } => Exit::Done,
        }
    }
}

impl<'a> Outcome<'a> {
    fn of(line: usize, id: Option<&'a KeyId>, outcome: &'static str) -> Self {
        let (revoked_successors, working_successors) = (&[], &[]);
        Self { line, id, outcome, error: None, revoked_successors, working_successors }
    }

    fn in_words(&self) -> String {
        let whose = self.id.map_or_else(|| format!("line {}", self.line), ToString::to_string);
        let mut text = format!("{:9}  {whose}", self.outcome);
        if let Some(error) = &self.error {
            text.push_str(&format!("  {}", printable(error)));
        }
        for id in self.revoked_successors {
            text.push_str(&format!("  with {id}"));
        }
        for id in self.working_successors {
            text.push_str(&format!("  but its successor {id} still works"));
        }
        text + "\n"
    }
}
