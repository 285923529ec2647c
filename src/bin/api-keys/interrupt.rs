//! [`Interrupt`]: Ctrl-C, for long commands that can stop between batches.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Exit;
use crate::say::say;

/// Whether Ctrl-C was pressed. The first time, a command stops after its batch; the second time, the process ends.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn listen() -> Self {
        let asked = Arc::new(AtomicBool::new(false));
        let hears = Arc::clone(&asked);
        tokio::spawn(async move {
            // If the signal cannot be handled, it ends the process as usual.
            while tokio::signal::ctrl_c().await.is_ok() {
                if hears.swap(true, Ordering::SeqCst) {
                    std::process::exit(Exit::Interrupted as i32);
                }
                say(format_args!("Stopping after this batch. Press Ctrl-C again to stop at once."));
            }
        });
        Self(asked)
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Returns whether to go on.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
