//! `api-keys issue --names-stdin`: issues many keys, whose names are on standard input.

use std::io;
use std::ops::ControlFlow;

use tower_api_key::manage::IssueAllError;
use tower_api_key::{IssuedKey, KeyId, NewKey};

use crate::checks::check_name;
use crate::exit::{Exit, Failure};
use crate::input;
use crate::interrupt::Interrupt;
use crate::issued::{Issued, warnings};
use crate::mistakes::Mistakes;
use crate::say::say;
use crate::session::Session;

/// Issues a key for each name, and prints a line of JSON for each as soon as its batch is issued. If one of the
/// names is wrong, no key is issued.
pub(crate) async fn run(
    session: &Session,
    key: impl Fn(String) -> Result<NewKey, Failure>,
) -> Result<Exit, Failure> {
    let (mut lines, mut keys, mut mistakes) = (Vec::new(), Vec::new(), Mistakes::default());
    for (text, line) in input::lines().zip(1..) {
        let text = text?;
        let name = text.trim();
        if !name.is_empty() {
            check_name(name, format!("standard input, line {line}"), &mut mistakes);
            lines.push(line);
            keys.push(key(name.to_owned())?);
        }
    }
    mistakes.check()?;
    if keys.is_empty() {
        return Err(Failure::usage("standard input is empty: pass one name a line"));
    }
    let (wanted, interrupt) = (keys.len(), Interrupt::listen());
    let mut printed = Printed { session, count: 0, warned: false, lost: Vec::new(), failed: None };
    let issued = session.keys.issue_all_with(keys, |batch| match printed.print(&batch) {
        ControlFlow::Continue(()) => interrupt.flow(),
        broken => broken,
    });
    let outcome = issued.await;
    let count = printed.count;
    say(format_args!(
        "Issued {count} of {wanted} keys. Their secrets are on standard output. They are not shown again."
    ));
    if let Some(source) = printed.failed {
        return Err(Failure::SecretsLost { ids: printed.lost, source });
    }
    match outcome {
        Ok(issued) if issued < wanted => Ok(Exit::Interrupted),
        Ok(_) => Ok(Exit::Done),
        Err(IssueAllError { index, uncertain, source, .. }) => {
            let uncertain = uncertain.iter().map(|key| key.record.id().clone()).collect();
            Err(Failure::Line { line: lines.get(index).copied().unwrap_or(0), uncertain, source })
        }
    }
}

/// The keys that were printed, and those that could not be.
struct Printed<'a> {
    session: &'a Session,
    count: usize,
    warned: bool,
    lost: Vec<KeyId>,
    failed: Option<io::Error>,
}

impl Printed<'_> {
    fn print(&mut self, batch: &[IssuedKey]) -> ControlFlow<()> {
        if let Some(first) = batch.first().filter(|_| !self.warned) {
            warnings(&first.record).for_each(|warning| say(format_args!("{warning}")));
            self.warned = true;
        }
        for (index, IssuedKey { record, secret, .. }) in batch.iter().enumerate() {
            let issued = Issued { record, secret, predecessor: None };
            let line = issued.json(self.session);
            // One by one, to know which were written.
            if let Err(error) = line.and_then(|line| self.session.output.write(line.as_bytes())) {
                self.lost = batch[index..].iter().map(|key| key.record.id().clone()).collect();
                self.failed = Some(error);
                return ControlFlow::Break(());
            }
            self.count += 1;
        }
        ControlFlow::Continue(())
    }
}
