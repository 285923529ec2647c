//! [`Seen`]: what is known about a request at its end. [`More`]: the details that are recorded until then.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;

use super::{Lookup, Observe};
use crate::head::RequestHead;
use crate::verify::VerifiedKey;

/// What a request waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Lookup,
    Limiter,
}

/// What is known about a request at its end.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) key: Option<&'a VerifiedKey>,
    pub(super) is_admitted: bool,
    pub(super) lookup: Option<Lookup>,
    pub(super) more: Option<&'a More>,
}

impl<'a> Seen<'a> {
    pub(super) fn times(&self) -> Option<&'a Times> {
        self.more?.times.as_ref()
    }

    pub(super) fn place(&self) -> Option<&'a Place> {
        self.more?.request.as_deref()
    }
}

/// The details of a request, for observers that want more than its outcome. Boxed, so that the futures of other
/// requests are small.
#[derive(Default)]
pub(super) struct More {
    /// Set for a request without a key that gives access to them. None if nothing is left to report.
    pub(super) observers: Option<Arc<OfThread>>,
    pub(super) times: Option<Times>,
    pub(super) request: Option<Box<Place>>,
}

/// All observers of a layer, for the requests of one thread. Aligned to have its own cache lines.
#[repr(align(128))]
pub(super) struct OfThread(pub(super) Box<[Arc<dyn Observe>]>);

/// The most boxes that a thread keeps for later requests.
const SPARE: usize = 32;

thread_local! {
    /// The boxes of requests that have ended, so that later requests allocate nothing.
    #[allow(clippy::vec_box, reason = "it is the boxes that are used again")]
    static SPARES: RefCell<Vec<Box<More>>> = const { RefCell::new(Vec::new()) };
}

impl More {
    pub(super) fn take_spare() -> Box<Self> {
        // The access fails in a thread that is ending.
        SPARES.try_with(|spares| spares.borrow_mut().pop()).ok().flatten().unwrap_or_default()
    }

    pub(super) fn keep_spare(mut self: Box<Self>) {
        *self = Self::default();
        let _ = SPARES.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() < SPARE {
                spares.push(self);
            }
        });
    }

    /// Records when the layer decided. For a refused request, that is its end.
    pub(super) fn decided(&mut self) {
        if let Some(times) = &mut self.times {
            times.decision.get_or_insert_with(|| times.started.elapsed());
        }
    }

    /// Records that the request starts to wait.
    pub(super) fn waits(&mut self) {
        if let Some(times) = &mut self.times {
            times.waiting_since = Some(Instant::now());
        }
    }

    /// Records what the request has waited for.
    pub(super) fn waited(&mut self, step: Step) {
        let Some(times) = &mut self.times else { return };
        let now = Instant::now();
        let time = times.waiting_since.replace(now).map(|since| now - since);
        match step {
            Step::Lookup => times.lookup = time,
            Step::Limiter => times.limiter = time,
        }
    }
}

/// When the steps of a request happened.
pub(super) struct Times {
    pub(super) started: Instant,
    pub(super) waiting_since: Option<Instant>,
    pub(super) lookup: Option<Duration>,
    pub(super) limiter: Option<Duration>,
    pub(super) decision: Option<Duration>,
}

impl Times {
    pub(super) fn start() -> Self {
        let started = Instant::now();
        Self { started, waiting_since: None, lookup: None, limiter: None, decision: None }
    }
}

/// The client, the method and the path of a request.
pub(super) struct Place {
    pub(super) method: Method,
    pub(super) path: Option<Box<str>>,
    #[cfg(feature = "matched-path")]
    pub(super) matched_path: Option<axum::extract::MatchedPath>,
    pub(super) address: Option<IpAddr>,
}

impl Place {
    pub(super) fn of(
        head: &RequestHead<'_>,
        (path, address): (Option<&str>, Option<IpAddr>),
    ) -> Box<Self> {
        Box::new(Self {
            method: head.method().clone(),
            path: path.map(Into::into),
            #[cfg(feature = "matched-path")]
            matched_path: head.extensions().get().cloned(),
            address,
        })
    }

    pub(super) fn matched_path(&self) -> Option<&str> {
        #[cfg(feature = "matched-path")]
        return self.matched_path.as_ref().map(axum::extract::MatchedPath::as_str);
        #[cfg(not(feature = "matched-path"))]
        None
    }
}
