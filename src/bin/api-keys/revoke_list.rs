//! `api-keys revoke --ids-stdin`: many keys, one after the other.

use serde::Serialize;
use tower_api_key::manage::RevokedKey;
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

/// What became of one line, as programs see it.
#[derive(Serialize)]
struct Outcome<'a> {
    line: usize,
    /// None if the line has none; it is not repeated then, since it may be a secret.
    id: Option<&'a str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    revoked_successors: &'a [KeyId],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    working_successors: &'a [KeyId],
}

/// How many lines came to what.
#[derive(Default)]
struct Count {
    revoked: usize,
    unknown: usize,
    wrong: usize,
    failed: usize,
}

/// Revokes the keys whose ids are on standard input, each whatever became of the others, and says of
/// each line what became of it.
pub(crate) async fn run(session: &Session, with_successors: bool) -> Result<Exit, Failure> {
    let (mut count, mut heeded, mut unread) = (Count::default(), None, None);
    for (line, number) in input::lines().zip(1..) {
        let text = match line {
            Ok(line) => line,
            // What is behind it is not known, and what was read has been done.
            Err(error) => {
                unread = Some(error);
                break;
            }
        };
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let Some(id) = id::of_line(text) else {
            count.wrong += 1;
            tell(session, number, None, "not an id", None, None)?;
            continue;
        };
        match revoke(session, &id, with_successors).await {
            Ok(revoked) => {
                count.revoked += 1;
                heeded = Some(revoked.propagation);
                tell(session, number, Some(&id), "revoked", None, Some(&revoked))?;
            }
            Err(ManageError::NotFound) => {
                count.unknown += 1;
                tell(session, number, shown(&id), "unknown", None, None)?;
            }
            Err(error) => {
                count.failed += 1;
                tell(session, number, shown(&id), "failed", Some(error.to_string()), None)?;
            }
        }
    }
    if count.is_nothing() && unread.is_none() {
        return Err(InputError::Wrong("it has no ids").into());
    }
    let Count { revoked, unknown, wrong, failed } = count;
    say(format_args!("{revoked} revoked, {unknown} unknown, {wrong} not an id, {failed} failed."));
    if let Some(propagation) = heeded {
        say(format_args!("{}", session.database.heeded(propagation)));
    }
    match unread {
        Some(error) => Err(error.into()),
        None => Ok(count.exit()),
    }
}

/// Returns an id that may be repeated: somebody may have mistaken a secret for one.
fn shown(id: &KeyId) -> Option<&KeyId> {
    Some(id).filter(|id| !id::looks_like_secret(id.as_str()))
}

impl Count {
    fn is_nothing(&self) -> bool {
        self.revoked + self.unknown + self.wrong + self.failed == 0
    }

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
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                attempt += 1;
            }
            revoked => return revoked,
        }
    }
}

fn tell(
    session: &Session,
    line: usize,
    id: Option<&KeyId>,
    outcome: &'static str,
    error: Option<String>,
    revoked: Option<&RevokedKey>,
) -> Result<(), Failure> {
    let (revoked_successors, working_successors) = revoked.map_or((&[][..], &[][..]), |revoked| {
        (&*revoked.revoked_successors, &*revoked.working_successors)
    });
    let id = id.map(KeyId::as_str);
    // Standard output that is closed stops nobody from being revoked.
    let written = if session.output.json {
        let outcome = Outcome { line, id, outcome, error, revoked_successors, working_successors };
        session.output.write(json_line(&outcome)?.as_bytes())
    } else {
        let mut text =
            format!("{outcome:9}  {}", id.map_or_else(|| format!("line {line}"), str::to_owned));
        if let Some(error) = error {
            text.push_str(&format!("  {}", printable(&error)));
        }
        for id in revoked_successors {
            text.push_str(&format!("  with {id}"));
        }
        for id in working_successors {
            text.push_str(&format!("  but its successor {id} still works"));
        }
        session.output.write(text + "\n")
    };
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
