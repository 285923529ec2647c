//! [`Progress`]: progress messages of long commands.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use clap::Args;

use crate::say::say;

/// The interval of messages.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct ProgressArgs {
    /// Print progress messages on standard error, even if it is not a terminal
    #[arg(long)]
    progress: bool,
}

/// Prints the progress of a command on standard error, every second.
pub(crate) struct Progress {
    is_shown: bool,
    /// Whether each step is said: programs that ask for it want to see that it goes on.
    is_asked: bool,
    said: Instant,
}

impl ProgressArgs {
    pub(crate) fn start(&self) -> Progress {
        let is_shown = self.progress || io::stderr().is_terminal();
        Progress { is_shown, is_asked: self.progress, said: Instant::now() }
    }
}

impl Progress {
    pub(crate) fn say(&mut self, message: fmt::Arguments<'_>) {
        if self.is_shown && (self.is_asked || self.said.elapsed() >= PERIOD) {
            say(message);
            self.said = Instant::now();
        }
    }
}
