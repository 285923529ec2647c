//! The names, kinds and descriptions of all metrics.

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(super) const REQUESTS: &str = "tower_api_key_requests_total";
pub(super) const LOOKUPS: &str = "tower_api_key_lookups_total";
pub(super) const DECISION: &str = "tower_api_key_decision_duration_seconds";
pub(super) const LOOKUP: &str = "tower_api_key_lookup_duration_seconds";
pub(super) const LIMITER: &str = "tower_api_key_limiter_duration_seconds";
pub(super) const STREAMS_ENDED: &str = "tower_api_key_streams_ended_total";
pub(super) const CHANGES: &str = "tower_api_key_management_changes_total";
pub(super) const STREAMS: &str = "tower_api_key_open_streams";
pub(super) const CACHE_ENTRIES: &str = "tower_api_key_cache_entries";
pub(super) const CACHE_SIZE: &str = "tower_api_key_cache_size_bytes";
pub(super) const CACHE_LOADS: &str = "tower_api_key_cache_loads";
pub(super) const CACHE_EVICTIONS: &str = "tower_api_key_cache_evictions_total";
pub(super) const LIVE: &str = "tower_api_key_subscription_live";
pub(super) const HEARTBEAT: &str = "tower_api_key_subscription_heartbeat_delay_seconds";
pub(super) const LIMITED: &str = "tower_api_key_limited_subjects";
pub(super) const THROTTLE: &str = "tower_api_key_throttle_addresses";
pub(super) const BACKLOG: &str = "tower_api_key_usage_backlog";
pub(super) const POOL: &str = "tower_api_key_pool_connections";
pub(super) const POOL_MAX: &str = "tower_api_key_pool_connections_max";
pub(super) const POOL_WAITING: &str = "tower_api_key_pool_waiting";

/// The kind of a metric.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

use Kind::{Counter, Gauge, Histogram};
use Unit::{Bytes, Count, Seconds};

const ALL: [(&str, Kind, Unit, &str); 20] = [
    (REQUESTS, Counter, Count, "Requests by outcome."),
    (LOOKUPS, Counter, Count, "Look-ups of keys by how they ended."),
    (DECISION, Histogram, Seconds, "Time from the arrival of a request to the decision (sampled)."),
    (LOOKUP, Histogram, Seconds, "Time that requests waited for the store (sampled)."),
    (LIMITER, Histogram, Seconds, "Time that requests waited for the limiter (sampled)."),
    (STREAMS_ENDED, Counter, Count, "Streams that ended with their key."),
    (CHANGES, Counter, Count, "Changes of keys."),
    (STREAMS, Gauge, Count, "Open streams."),
    (CACHE_ENTRIES, Gauge, Count, "Entries of the cache."),
    (CACHE_SIZE, Gauge, Bytes, "Estimated size of the records in the cache."),
    (CACHE_LOADS, Gauge, Count, "Loads of the cache in progress."),
    (CACHE_EVICTIONS, Counter, Count, "Evicted entries of the cache."),
    (LIVE, Gauge, Count, "1 if the cache receives invalidations, else 0."),
    (HEARTBEAT, Gauge, Seconds, "Delay of the last heartbeat of the cache."),
    (LIMITED, Gauge, Count, "Keys and tenants with counted requests."),
    (THROTTLE, Gauge, Count, "Addresses that presented wrong keys."),
    (BACKLOG, Gauge, Count, "Last uses and counts of keys whose write is overdue."),
    (POOL, Gauge, Count, "Connections to the database."),
    (POOL_MAX, Gauge, Count, "Largest number of connections to the database."),
    (POOL_WAITING, Gauge, Count, "Look-ups and changes that wait for a connection."),
];

/// Describes all metrics to the recorder.
pub(super) fn describe() {
    for (name, kind, unit, text) in ALL {
        match kind {
            Counter => describe_counter!(name, unit, text),
            Gauge => describe_gauge!(name, unit, text),
            Histogram => describe_histogram!(name, unit, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_each_name_and_its_kind() {
        let page = include_str!("mod.rs");
        for (name, kind, _, _) in ALL {
            let kind = match kind {
                Counter => "counter",
                Gauge => "gauge",
                Histogram => "histogram",
            };
            let line = format!("//! | `{name}` | {kind}: ");
            assert_eq!(page.matches(&line).count(), 1, "{line}");
        }
        assert_eq!(page.matches("//! | `tower_api_key_").count(), ALL.len());
    }

    #[test]
    fn names_end_as_conventions_ask() {
        for (name, kind, unit, _) in ALL {
            assert_eq!(name.ends_with("_total"), matches!(kind, Counter), "{name}");
            assert_eq!(name.ends_with("_seconds"), matches!(unit, Seconds), "{name}");
            assert_eq!(name.ends_with("_bytes"), matches!(unit, Bytes), "{name}");
            assert!(matches!(unit, Seconds | Bytes | Count));
        }
    }
}
