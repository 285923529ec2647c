//! [`JsonLinesAudit`]: an audit file outside of the database.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;

use super::audit::without_digest;
use super::{AuditEvent, AuditSink};
use crate::rfc3339::format_nearest;

/// The most bytes of lines that are kept while they cannot be written.
const MOST_UNWRITTEN: usize = 16 << 20;

/// Writes audit events to a file, one line of JSON each.
///
/// A restore of the database, or a failover that loses changes, does not affect this file. So it shows
/// which keys have to be revoked again:
///
/// ```text
/// jq -r 'select(.action == "revoked" and .at >= "2027-01-31T12:00") | .key_id' audit.jsonl |
///     api-keys revoke --ids-stdin
/// ```
///
/// Keep it on another disk than the database's, and back it up separately. The file is opened for each
/// event, so it may be moved away at any time. The line is on the disk before the change returns; its
/// thread waits for that. Several processes may write to one file. Lines that cannot be written, such
/// as on a full disk, are written with a later event, and the failure is an `ERROR` event. They are
/// lost with the process, unless [`flush`](Self::flush) writes them before it ends.
///
/// Only its owner can read a new file. It has no secrets and digests, but names, tenants and metadata
/// of keys. Like every [sink](AuditSink), it misses changes if the node does not know whether they were
/// made, and changes without the [`KeyManager`](crate::KeyManager).
///
/// # Examples
///
/// ```
/// use tower_api_key::store::JsonLinesAudit;
/// use tower_api_key::{KeyManager, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("audit.jsonl");
/// let keys = KeyManager::new(MemoryStore::new()).audit(JsonLinesAudit::open(&file)?);
/// keys.issue(NewKey::named("reports")).await?;
/// let line = std::fs::read_to_string(&file)?;
/// assert!(line.contains(r#""action":"issued""#) && line.ends_with("}\n"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct JsonLinesAudit {
    path: PathBuf,
    unwritten: Mutex<Unwritten>,
}

#[derive(Debug, Default)]
struct Unwritten {
    lines: Vec<u8>,
    /// The number of events that were lost because too many waited.
    lost: usize,
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    actor: String,
    action: &'static str,
    key_id: Option<&'a str>,
    tenant: Option<&'a str>,
    before: Option<Value>,
    after: Option<Value>,
}

impl JsonLinesAudit {
    /// Appends to the file at `path`.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be opened or created.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let sink = Self { path: path.as_ref().to_owned(), unwritten: Mutex::default() };
        sink.file().map_err(|error| sink.name_file(&error))?;
        Ok(sink)
    }

    /// Writes the events that could not be written earlier.
    ///
    /// Call it before a process ends, to check that the file is complete.
    ///
    /// # Errors
    ///
    /// Returns an error if they still cannot be written, or if some were lost because too many waited.
    pub fn flush(&self) -> io::Result<()> {
        let mut unwritten = self.unwritten();
        if !unwritten.lines.is_empty() {
            self.append(&mut unwritten)?;
        }
        match unwritten.lost {
            0 => Ok(()),
            lost => Err(io::Error::other(format!(
                "{lost} audit events are lost: read them from the audit log of the database"
            ))),
        }
    }

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the file to an error, which operators read without knowing which sink it is from.
    fn name_file(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("the audit file {:?}: {error}", self.path))
    }

    fn file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        let mut unwritten = self.unwritten();
        if unwritten.lines.len() + line.len() > MOST_UNWRITTEN {
            unwritten.lost += 1;
            return Err(io::Error::other(
                "too many audit events wait to be written: this one is lost, make space for the file",
            ));
        }
        unwritten.lines.extend(line);
        self.append(&mut unwritten)
    }

    fn append(&self, unwritten: &mut Unwritten) -> io::Result<()> {
        self.append_lines(unwritten).map_err(|error| self.name_file(&error))
    }

    fn append_lines(&self, unwritten: &mut Unwritten) -> io::Result<()> {
        let mut file = self.file()?;
        if self.is_torn() {
            // A partial line stays a line of its own, which is not JSON.
            file.write_all(b"\n")?;
        }
        // If only a part is written, all of it is written again later.
        file.write_all(&unwritten.lines)?;
        file.sync_data()?;
        unwritten.lines = Vec::new();
        Ok(())
    }

    /// Tells whether the file ends with a partial line, for example of another process whose disk was
    /// full. It is not known for a path that is not a file or cannot be read.
    fn is_torn(&self) -> bool {
        let last = || -> io::Result<u8> {
            if !self.path.metadata()?.is_file() {
                return Ok(b'\n');
            }
            let (mut file, mut last) = (File::open(&self.path)?, [0]);
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            Ok(last[0])
        };
        last().is_ok_and(|last| last != b'\n')
    }
}

impl AuditSink for JsonLinesAudit {
    fn record(&self, event: &AuditEvent) {
        let written = line(event).map_err(io::Error::from).and_then(|line| self.write(&line));
        if let Err(error) = written {
            crate::trace::audit_not_written(&error);
        }
    }
}

fn line(event: &AuditEvent) -> serde_json::Result<Vec<u8>> {
    let line = Line {
        at: format_nearest(event.at, 6),
        actor: event.actor.to_string(),
        action: event.action.as_str(),
        key_id: event.key_id().map(|id| id.as_str()),
        tenant: event.tenant().map(|tenant| tenant.as_str()),
        before: event.before.as_deref().map(without_digest).transpose()?,
        after: event.after.as_deref().map(without_digest).transpose()?,
    };
    let mut line = serde_json::to_vec(&line)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::key::KeyScheme;
    use crate::store::{Actor, AuditAction, NewKey};

    fn event(action: AuditAction) -> AuditEvent {
        let key = NewKey::named("reports").tenant("acme").generate(&KeyScheme::default()).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        AuditEvent::new(at, Actor::System, action, None, Some(key.record))
    }

    fn lines(path: &Path) -> Vec<serde_json::Result<Value>> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(serde_json::from_str).collect()
    }

    #[test]
    fn each_event_is_a_line_without_the_digest_behind_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let event = event(AuditAction::Revoked);
        for _ in 0..2 {
            JsonLinesAudit::open(&path).unwrap().record(&event);
        }
        let lines = lines(&path);
        assert_eq!(lines.len(), 2);
        let line = lines[0].as_ref().unwrap();
        let record = event.after.as_deref().unwrap();
        assert_eq!(line["at"], "2023-11-14T22:13:20.123456Z");
        assert_eq!((&line["action"], &line["tenant"]), (&"revoked".into(), &"acme".into()));
        assert_eq!(line["key_id"], record.id.as_str());
        assert_eq!((&line["before"], &line["after"]["name"]), (&Value::Null, &"reports".into()));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("digest") && !text.contains(&record.digest.to_string()));
    }

    #[test]
    fn a_file_that_is_moved_away_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("a"), directory.path().join("b"));
        let sink = JsonLinesAudit::open(&path).unwrap();
        sink.record(&event(AuditAction::Issued));
        std::fs::rename(&path, &moved).unwrap();
        sink.record(&event(AuditAction::Removed));
        assert_eq!((lines(&path).len(), lines(&moved).len()), (1, 1));
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        JsonLinesAudit::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let error = JsonLinesAudit::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("{:?}", directory.path())), "{error}");
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("audit.jsonl");
        let sink = JsonLinesAudit::open(&path).unwrap();
        let away = directory.path().join("away");
        std::fs::rename(&folder, &away).unwrap();
        sink.record(&event(AuditAction::Issued));
        sink.record(&event(AuditAction::Revoked));
        std::fs::rename(&away, &folder).unwrap();
        assert_eq!(lines(&path).len(), 0);
        sink.record(&event(AuditAction::Removed));
        let actions = lines(&path).into_iter().map(|line| line.unwrap()["action"].clone());
        assert_eq!(actions.collect::<Vec<_>>(), ["issued", "revoked", "removed"]);
    }

    #[test]
    fn a_line_that_was_cut_off_is_written_again_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let sink = JsonLinesAudit::open(&path).unwrap();
        let line = line(&event(AuditAction::Revoked)).unwrap();
        std::fs::write(&path, &line[..40]).unwrap();
        *sink.unwritten.lock().unwrap() = Unwritten { lines: line, lost: 0 };
        sink.record(&event(AuditAction::Removed));
        let lines = lines(&path);
        assert!(lines.len() == 3 && lines[0].is_err(), "{lines:?}");
        assert_eq!(lines[1].as_ref().unwrap()["action"], "revoked");
        assert_eq!(lines[2].as_ref().unwrap()["action"], "removed");
    }
    #[test]
    fn a_line_that_another_process_left_unfinished_takes_no_other_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        std::fs::write(&path, br#"{"at":"2026"#).unwrap();
        JsonLinesAudit::open(&path).unwrap().record(&event(AuditAction::Revoked));
        JsonLinesAudit::open(&path).unwrap().record(&event(AuditAction::Removed));
        let lines = lines(&path);
        assert!(lines.len() == 3 && lines[0].is_err(), "{lines:?}");
        assert_eq!(lines[1].as_ref().unwrap()["action"], "revoked");
        assert_eq!(lines[2].as_ref().unwrap()["action"], "removed");
    }

    #[test]
    fn who_asks_is_told_what_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("audit.jsonl");
        let sink = JsonLinesAudit::open(&path).unwrap();
        sink.flush().unwrap();
        let away = directory.path().join("away");
        std::fs::rename(&folder, &away).unwrap();
        sink.record(&event(AuditAction::Issued));
        sink.flush().unwrap_err();
        std::fs::rename(&away, &folder).unwrap();
        sink.flush().unwrap();
        sink.flush().unwrap();
        assert_eq!(lines(&path).len(), 1);
        sink.unwritten.lock().unwrap().lost = 1;
        assert!(sink.flush().unwrap_err().to_string().contains("1 audit events are lost"));
    }
}
