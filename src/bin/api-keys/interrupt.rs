//! [`Interrupt`]: Ctrl-C, for commands that take long and can stop in between.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Exit;
use crate::say::say;

/// Whether somebody has pressed Ctrl-C. The first time, a command stops when what it has begun is done;
/// the second time, the process ends.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn listen() -> Self {
        let asked = Arc::new(AtomicBool::new(false));
        let hears = Arc::clone(&asked);
        tokio::spawn(async move {
            // Where the signal cannot be had, it ends the process as always.
            while tokio::signal::ctrl_c().await.is_ok() {
                if hears.swap(true, Ordering::SeqCst) {
                    std::process::exit(Exit::Interrupted as i32);
                }
                say(format_args!("Stopping after this batch; Ctrl-C once more ends it at once."));
            }
        });
        Self(asked)
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Tells whether to go on.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
