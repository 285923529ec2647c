//! The last events of [`MemoryStore`].

use std::collections::VecDeque;
use std::sync::{MutexGuard, PoisonError};
use std::time::SystemTime;

use super::MemoryStore;
use crate::clock::{microseconds, to_microsecond};
use crate::store::{AuditEntry, AuditEvent, AuditPage, AuditQuery, StoreError};

/// How many events are kept, so that memory is bounded.
const MOST: usize = 10_000;

/// The last events, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Events {
    kept: VecDeque<(i64, AuditEvent)>,
    last: i64,
}

impl Events {
    pub(super) fn keep(&mut self, events: &[AuditEvent]) {
        for event in events {
            self.last += 1;
            let mut event = event.clone();
            event.at = to_microsecond(event.at);
            self.kept.push_back((self.last, event));
        }
        let surplus = self.kept.len().saturating_sub(MOST);
        self.kept.drain(..surplus);
    }

    fn page(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let place = |(number, event): &&(i64, AuditEvent)| (microseconds(event.at), *number);
        let after = query.after.map(|after| (microseconds(after.at()), after.number()));
        let follows = |kept: &&(i64, AuditEvent)| match after {
            Some(after) if query.newest_first => place(kept) < after,
            Some(after) => place(kept) > after,
            None => true,
        };
        let asked = self.kept.iter().filter(|(_, event)| is_asked(query, event));
        let mut found: Vec<_> = asked.filter(follows).collect();
        found.sort_by_key(place);
        if query.newest_first {
            found.reverse();
        }
        found.truncate(query.page_size() + 1);
        let entries = found.into_iter().map(|(number, event)| entry(*number, event));
        Ok(query.page(entries.collect::<Result<_, _>>()?))
    }
}

impl MemoryStore {
    pub(super) fn events(&self) -> MutexGuard<'_, Events> {
        self.shared.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn event_page(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        self.events().page(query)
    }

    pub(super) fn remove_events(&self, before: SystemTime, at_most: usize) -> usize {
        let mut events = self.events();
        let mut old: Vec<_> = events.kept.iter().filter(|(_, event)| event.at < before).collect();
        old.sort_by_key(|(number, event)| (event.at, *number));
        let old: Vec<i64> = old.into_iter().take(at_most).map(|(number, _)| *number).collect();
        let removed: std::collections::HashSet<_> = old.into_iter().collect();
        events.kept.retain(|(number, _)| !removed.contains(number));
        removed.len()
    }
}

fn is_asked(query: &AuditQuery, event: &AuditEvent) -> bool {
    query.tenant.matches(event.tenant())
        && query.key_id.as_ref().is_none_or(|id| event.key_id() == Some(id))
        && query.actor.as_ref().is_none_or(|actor| event.actor == *actor)
        && query.since.is_none_or(|since| event.at >= since)
        && query.until.is_none_or(|until| event.at < until)
}

fn entry(number: i64, event: &AuditEvent) -> Result<AuditEntry, StoreError> {
    #[cfg(feature = "serde")]
    let [before, after] = {
        let json = |record: &Option<std::sync::Arc<crate::store::KeyRecord>>| {
            let json = record.as_deref().map(crate::store::audit::without_digest);
            json.transpose().map_err(StoreError::new)
        };
        [json(&event.before)?, json(&event.after)?]
    };
    // Records have no other form.
    #[cfg(not(feature = "serde"))]
    let [before, after] = [None, None];
    Ok(AuditEntry {
        number,
        at: event.at,
        actor: event.actor.to_string(),
        action: event.action.as_str().to_owned(),
        key_id: event.key_id().map(ToString::to_string),
        tenant: event.tenant().map(ToString::to_string),
        before,
        after,
    })
}
