//! The log of the whole process: what a key's text is not in.

use std::sync::Mutex;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct ToLog;

impl std::io::Write for ToLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::Write::write(&mut *LOG.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Logs everything, at every level, on every thread of this process from now on.
pub(crate) fn start_log() {
    static START: std::sync::Once = std::sync::Once::new();
    START.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(|| ToLog)
            .init();
    });
}

/// Returns the lines that were logged with `marker` in them, by whichever test.
pub(crate) fn logged(marker: &str) -> Vec<String> {
    let log = LOG.lock().unwrap();
    let lines = str::from_utf8(&log).unwrap().lines();
    lines.filter(|line| line.contains(marker)).map(str::to_owned).collect()
}
