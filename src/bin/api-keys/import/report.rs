//! The outcomes of the lines.

use std::io;

use serde::Serialize;
use tower_api_key::KeyId;
use tower_api_key::manage::ImportOutcome;

use crate::exit::{Exit, Failure};
use crate::output::json_line;
use crate::say::say;
use crate::session::Session;
use crate::text::printable;

/// The output for each line, and the summary.
pub(super) struct Report<'a> {
    session: &'a Session,
    is_dry: bool,
    imported: usize,
    unchanged: usize,
    refused: usize,
    wrong: usize,
}

/// The outcome of one line as JSON.
#[derive(Serialize)]
struct Outcome<'a> {
    line: u64,
    id: Option<&'a KeyId>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(session: &'a Session, is_dry: bool) -> Self {
        Self { session, is_dry, imported: 0, unchanged: 0, refused: 0, wrong: 0 }
    }

    /// Writes the outcomes of some lines: the next outcome for each line with a record.
    pub(super) fn tell(
        &mut self,
        lines: &[(u64, Result<KeyId, String>)],
        outcomes: Vec<ImportOutcome>,
    ) -> Result<(), Failure> {
        let mut outcomes = outcomes.into_iter();
        for (line, read) in lines {
            let line = *line;
            let outcome = match read {
                Err(error) => {
                    self.wrong += 1;
                    Outcome { line, id: None, outcome: "wrong", error: Some(error.clone()) }
                }
                Ok(id) => {
                    let id = Some(id);
                    match outcomes.next() {
                        Some(ImportOutcome::Imported) => {
                            self.imported += 1;
                            Outcome { line, id, outcome: "imported", error: None }
                        }
                        Some(ImportOutcome::Unchanged) => {
                            self.unchanged += 1;
                            Outcome { line, id, outcome: "unchanged", error: None }
                        }
                        Some(ImportOutcome::Refused(refusal)) => {
                            self.refused += 1;
                            let error = Some(refusal.to_string());
                            Outcome { line, id, outcome: "refused", error }
                        }
                        _ => {
                            self.refused += 1;
                            let error = Some("its outcome is not known".to_owned());
                            Outcome { line, id, outcome: "refused", error }
                        }
                    }
                }
            };
            match self.write(&outcome) {
                // The reader of the output has closed it, and has read enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                written => written?,
            }
        }
        Ok(())
    }

    /// Writes a line of JSON, or as text, only a line that failed.
    fn write(&self, outcome: &Outcome<'_>) -> io::Result<()> {
        let output = self.session.output;
        if output.json {
            return output.write(json_line(outcome)?.as_bytes());
        }
        let Some(error) = &outcome.error else { return Ok(()) };
        let Outcome { line, outcome, .. } = outcome;
        output.write(format!("{outcome:8}  line {line}  {}\n", printable(error)))
    }

    pub(super) fn summary(&self) -> String {
        let Self { imported, unchanged, refused, wrong, .. } = self;
        let done = if self.is_dry { "would be imported" } else { "imported" };
        format!("{imported} {done}, {unchanged} unchanged, {refused} refused, {wrong} wrong.")
    }

    pub(super) fn end(self, needs: &str) -> Result<Exit, Failure> {
        if self.imported + self.unchanged + self.refused + self.wrong == 0 {
            return Err(Failure::usage("the table has no lines: pass at least one key"));
        }
        say(format_args!("{}", self.summary()));
        match (self.imported, self.is_dry) {
            (0, false) => say(format_args!("Nothing was changed.")),
            (0, true) => {}
            (_, true) => {
                say(format_args!("Nothing was changed. Run it without --dry-run to import them."))
            }
            (_, false) => say(format_args!("{needs}")),
        }
        Ok(match (self.wrong, self.refused) {
            (1.., _) => Exit::Usage,
            (0, 1..) => Exit::Refused,
            (0, 0) => Exit::Done,
        })
    }
}
