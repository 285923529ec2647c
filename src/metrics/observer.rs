//! The observer and audit sink: requests, streams and changes of keys.

use super::Metrics;
use crate::observe::{Detail, EndedStream, Finished, Observe};
use crate::store::{AuditEvent, AuditSink};

impl Observe for Metrics {
    fn detail(&self) -> Detail {
        if self.0.counts().is_sampled(self.0.sample) { Detail::Times } else { Detail::Outcome }
    }

    fn finished(&self, request: &Finished<'_>) {
        let counts = self.0.counts();
        counts.count(request);
        // Another observer may have had the times of others measured, too, which cost nothing more.
        if self.0.sample > 0 && request.duration().is_some() {
            counts.keep(request);
        }
    }

    fn stream_ended(&self, stream: &EndedStream<'_>) {
        self.0.ends.add(stream.reason() as usize);
    }
}

impl AuditSink for Metrics {
    fn record(&self, event: &AuditEvent) {
        self.0.changes.add(event.action as usize);
    }
}
