//! [`Repeats`]: repeated events, which are counted instead of written.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::dispatcher::{get_default, with_default};
use tracing::{Dispatch, Level};

use super::TARGET;
use crate::neighbours::Neighbours;

/// How often a count is written.
const PERIOD: Duration = Duration::from_secs(10);

/// How many events are distinguished. In a period, each is written at most twice: when it first occurs,
/// and as a count.
const MAX_KNOWN: usize = 200;

/// What makes two events equal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Event {
    pub(crate) level: Level,
    /// The message of the event.
    pub(crate) message: &'static str,
    pub(crate) kind: Option<&'static str>,
    pub(crate) of: Of,
}

/// The subject of the event.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Of {
    pub(crate) client: Option<Neighbours>,
    pub(crate) key: Option<Box<str>>,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) rule: Option<Box<str>>,
    pub(crate) error: Option<Box<str>>,
}

/// Counts the events of one place, such as a layer.
///
/// The first of equal events is written. Those after it are counted, and the count is written every ten
/// seconds until a period without any. If there are too many different ones, the later ones are
/// distinguished only by their message. Clones count together.
#[derive(Clone, Default)]
pub(crate) struct Repeats(Arc<Shared>);

#[derive(Default)]
struct Shared(Mutex<Known>);

#[derive(Default)]
struct Known {
    events: HashMap<Event, Counted>,
    timer: Timer,
}

struct Counted {
    since: Instant,
    more: u64,
}

/// The writer of the counts.
#[derive(Default, PartialEq)]
enum Timer {
    #[default]
    Off,
    On,
    /// There is none: the runtime has no timer.
    Missing,
}

/// A count to be written.
struct Summary {
    event: Event,
    more: u64,
    time: Duration,
}

impl Repeats {
    /// Returns the counter of events that belong to no layer.
    pub(crate) fn of_process() -> &'static Self {
        static OF_PROCESS: LazyLock<Repeats> = LazyLock::new(Repeats::default);
        &OF_PROCESS
    }

    /// Tells whether an event is the first, and counts it otherwise.
    pub(crate) fn is_first(&self, event: Event) -> bool {
        let now = Instant::now();
        let mut known = self.0.lock();
        let overdue = if known.timer == Timer::On { Vec::new() } else { known.sweep(now) };
        let is_first = known.note(event, now);
        if known.timer == Timer::Off && start_timer(&self.0) {
            known.timer = Timer::On;
        }
        drop(known);
        overdue.iter().for_each(Summary::write);
        is_first
    }
}

impl Known {
    fn note(&mut self, event: Event, now: Instant) -> bool {
        if let Some(counted) = self.events.get_mut(&event) {
            counted.more += 1;
            return false;
        }
        if self.events.len() >= MAX_KNOWN && event.of != Of::default() {
            return self.note(Event { of: Of::default(), ..event }, now);
        }
        self.events.insert(event, Counted { since: now, more: 0 });
        true
    }

    /// Takes the counts that are due, and removes events that did not recur.
    fn sweep(&mut self, now: Instant) -> Vec<Summary> {
        let mut due = Vec::new();
        self.events.retain(|event, counted| {
            let time = now.saturating_duration_since(counted.since);
            if time < PERIOD {
                return true;
            }
            let Counted { more, .. } = std::mem::replace(counted, Counted { since: now, more: 0 });
            if more > 0 {
                due.push(Summary { event: event.clone(), more, time });
            }
            more > 0
        });
        due
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    /// Writes the counts.
    fn drop(&mut self) {
        let known = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (event, Counted { since, more }) in known.events.drain() {
            if more > 0 {
                Summary { event, more, time: since.elapsed() }.write();
            }
        }
    }
}

/// Reports, when dropped, that the counts are no longer written.
struct Ticking {
    shared: Weak<Shared>,
    /// Whether that was reported already.
    is_over: bool,
}

impl Drop for Ticking {
    fn drop(&mut self) {
        if !self.is_over
            && let Some(shared) = self.shared.upgrade()
        {
            // `sleep` panics if the runtime has no timer.
            let has_none = std::thread::panicking();
            shared.lock().timer = if has_none { Timer::Missing } else { Timer::Off };
        }
    }
}

/// Starts to write the counts, as long as there are any. Without a runtime, they are written with the
/// next event.
fn start_timer(shared: &Arc<Shared>) -> bool {
    let Ok(runtime) = Handle::try_current() else { return false };
    let mut ticking = Ticking { shared: Arc::downgrade(shared), is_over: false };
    // The thread of the task may have another runtime.
    let dispatch = get_default(Dispatch::clone);
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(PERIOD / 10).await;
            let Some(shared) = ticking.shared.upgrade() else { return };
            let mut known = shared.lock();
            let due = known.sweep(Instant::now());
            if known.events.is_empty() {
                known.timer = Timer::Off;
                ticking.is_over = true;
            }
            drop(known);
            with_default(&dispatch, || {
                due.iter().for_each(Summary::write);
                // It may be the last owner, with counts to write.
                drop(shared);
            });
            if ticking.is_over {
                return;
            }
        }
    });
    true
}

impl Summary {
    fn write(&self) {
        let Self { event: Event { level, message, kind, of }, more, time } = self;
        let Of { client, key, reason, rule, error } = of;
        let (key, reason) = (key.as_deref(), reason.as_deref());
        let (rule, error) = (rule.as_deref(), error.as_deref());
        let seconds = time.as_secs();
        macro_rules! write {
            ($level:ident) => {
                tracing::$level!(
                    target: TARGET,
                    kind,
                    reason,
                    client = client.map(tracing::field::display),
                    key,
                    rule,
                    error,
                    more,
                    "{message}: {more} more in {seconds} s"
                )
            };
        }
        match *level {
            Level::ERROR => write!(error),
            Level::WARN => write!(warn),
            _ => write!(info),
        }
    }
}
