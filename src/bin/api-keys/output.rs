//! [`Output`]: results on standard output.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use zeroize::Zeroizing;

/// Writes results to standard output.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn is_terminal(self) -> bool {
        io::stdout().is_terminal()
    }

    /// Writes bytes as they are.
    pub(crate) fn write(self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes.as_ref())?;
        stdout.flush()
    }

    /// Writes a value as one line of JSON, with `--json`.
    pub(crate) fn json(self, value: &impl Serialize) -> io::Result<()> {
        match self.json {
            true => self.write(json_line(value)?.as_bytes()),
            false => Ok(()),
        }
    }
}

/// Returns a line of JSON whose memory is cleared, as it may have a secret.
pub(crate) fn json_line(value: &impl Serialize) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(serde_json::to_string(value)?);
    line.push('\n');
    Ok(line)
}
