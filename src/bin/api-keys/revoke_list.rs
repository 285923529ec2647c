//! `api-keys revoke --ids-stdin`: many keys, one after the other.

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
use crate::session::Session;
use crate::text::printable;
use crate::{id, input};

/// How often a key is tried whose database fails. A revocation may be made twice.
const ATTEMPTS: u32 = 3;

const PAUSE: Duration = Duration::from_millis(300);

/// Revokes the keys whose ids are on standard input, each whatever became of the others, and says of
/// each line what became of it.
pub(crate) async fn run(session: &Session, with_successors: bool) -> Result<Exit, Failure> {
    let mut report = Report { session, count: Count::default(), heeded: None, failed: None };
    for (text, line) in input::lines().zip(1..) {
        let text = match text {
            Ok(text) => text,
            // What is behind it is not known, and what was read has been done.
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

/// What is said, line by line and in the end.
struct Report<'a> {
    session: &'a Session,
    count: Count,
    heeded: Option<Propagation>,
    /// Why something could not be read or said. It stops nobody from being revoked.
    failed: Option<Failure>,
}

/// How many lines came to what.
#[derive(Default)]
struct Count {
    revoked: usize,
    unknown: usize,
    wrong: usize,
    failed: usize,
}

/// What became of one line, as programs see it.
#[derive(Serialize)]
struct Outcome<'a> {
    line: usize,
    /// None if the line has none, or one that is not there and may be a secret.
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
        self.heeded = Some(revoked.propagation);
        let mut outcome = Outcome::of(line, Some(revoked.record.id()), "revoked");
        outcome.revoked_successors = &revoked.revoked_successors;
        outcome.working_successors = &revoked.working_successors;
        self.tell(&outcome);
    }

    fn not_revoked(&mut self, line: usize, id: &KeyId, error: &ManageError) {
        // Somebody may have mistaken a secret for an id.
        let shown = Some(id).filter(|id| !id::looks_like_secret(id.as_str()));
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
            return Err(InputError::Wrong("it has no ids").into());
        }
        say(format_args!(
            "{revoked} revoked, {unknown} unknown, {wrong} not an id, {failed} failed."
        ));
        if let Some(propagation) = self.heeded {
            say(format_args!("{}", self.session.database.heeded(propagation)));
        }
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.count.exit()),
        }
    }
}

impl Count {
    /// The worst of what became of the lines.
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
