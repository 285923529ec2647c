//! Events of the feature `tracing`; without it, nothing.
//!
//! Faults of the server are at `ERROR`, successes at `TRACE`. A cache that loses its notifications is
//! at `WARN`, and one that has them again at `INFO`. A record that is served because the store cannot
//! be reached is at `WARN`. Refusals have their events in `reject`. No event contains a key, a header's
//! value or a query, nor a path that may have a key.

#[cfg(feature = "tracing")]
mod repeats;

/// The target of all events, for filters.
#[cfg(feature = "tracing")]
pub(crate) const TARGET: &str = "tower_api_key";

#[cfg(feature = "tracing")]
mod events {
    use std::error::Error;
    use std::time::Duration;

    use http::Method;
    use tracing::Level;

    use super::TARGET;
    use super::repeats::{Event, Of, Repeats};

    pub(crate) fn verified<'a>(id: impl Fn() -> &'a str) {
        tracing::trace!(target: TARGET, key = id(), "API key verified");
    }

    /// Logs that a stream ended. If a key has many streams, all end at once.
    pub(crate) fn stream_ended(
        repeats: &Repeats,
        reason: &'static str,
        key: Option<&str>,
        open: Duration,
    ) {
        let message = "stream ended with its API key";
        let of = || Of { key: key.map(Into::into), ..Of::default() };
        if tracing::enabled!(target: TARGET, Level::INFO)
            && repeats.is_first(Event { level: Level::INFO, message, kind: Some(reason), of: of() })
        {
            let open_seconds = open.as_secs_f64();
            tracing::info!(target: TARGET, reason, key, open_seconds, "{message}");
        }
    }

    pub(crate) fn would_reject(
        repeats: &Repeats,
        (kind, reason): (&'static str, Option<&str>),
        key: Option<&str>,
        method: &Method,
        path: Option<&str>,
        rule: Option<&str>,
    ) {
        let message = "request would be refused: report only";
        let of = || Of {
            key: key.map(Into::into),
            // Each rule is logged, and without a rule each path.
            rule: rule.or(path).map(|rule| format!("{method} {rule}").into()),
            ..Of::default()
        };
        if tracing::enabled!(target: TARGET, Level::WARN)
            && repeats.is_first(Event { level: Level::WARN, message, kind: Some(kind), of: of() })
        {
            let method = method.as_str();
            tracing::warn!(target: TARGET, kind, reason, key, method, path, rule, "{message}");
        }
    }

    pub(crate) fn no_client_address() {
        tracing::warn!(
            target: TARGET,
            "the client's address is not known: serve with connect info or put a PeerAddress into \
             the extensions of requests; behind proxies, see TrustedProxies"
        );
    }

    #[cfg(feature = "axum")]
    pub(crate) fn no_original_uri() {
        tracing::warn!(
            target: TARGET,
            "the original URI of a request is not known, so decisions by the path refuse: \
             call routers with the extensions of no other request, and change paths around the \
             outermost router only"
        );
    }

    /// Tells whether a fault of the server is to be logged.
    fn is_first_fault(
        repeats: &Repeats,
        level: Level,
        message: &'static str,
        error: &dyn Error,
    ) -> bool {
        let of = Of { error: Some(error.to_string().into()), ..Of::default() };
        repeats.is_first(Event { level, message, kind: None, of })
    }

    pub(crate) fn panicked(who: &'static str, error: &(dyn Error + 'static)) {
        if is_first_fault(Repeats::of_process(), Level::ERROR, who, error) {
            tracing::error!(target: TARGET, error, "{who} panicked: read its message, and fix it");
        }
    }

    pub(crate) fn unlimited(repeats: &Repeats, id: &str, error: &(dyn Error + 'static)) {
        let message = "requests pass uncounted, because the limiter fails: check that it can be reached, and read the error";
        if is_first_fault(repeats, Level::ERROR, message, error) {
            tracing::error!(target: TARGET, key = id, error, "{message}");
        }
    }

    pub(crate) fn not_refunded(repeats: &Repeats, id: &str, error: &(dyn Error + 'static)) {
        let message = "refused requests stay counted, because the limiter fails: check that it can be reached, and read the error";
        if is_first_fault(repeats, Level::ERROR, message, error) {
            tracing::error!(target: TARGET, key = id, error, "{message}");
        }
    }

    #[cfg(feature = "manage")]
    pub(crate) fn not_managed(error: &(dyn Error + 'static)) {
        let message = "API keys cannot be managed, so callers get 503: check that the key store can be \
                       reached, and read the error";
        if is_first_fault(Repeats::of_process(), Level::ERROR, message, error) {
            tracing::error!(target: TARGET, error, "{message}");
        }
    }

    #[cfg(feature = "pages")]
    pub(crate) fn no_usage(error: &(dyn Error + 'static)) {
        let message = "keys are shown without their usage, because the store fails: check that it can be reached, and read the error";
        if is_first_fault(Repeats::of_process(), Level::WARN, message, error) {
            tracing::warn!(target: TARGET, error, "{message}");
        }
    }

    #[cfg(feature = "usage")]
    pub(crate) fn uses_not_written(error: &(dyn Error + 'static)) {
        tracing::error!(target: TARGET, error, "usage of keys cannot be written: it is kept in memory and written later");
    }

    #[cfg(feature = "usage")]
    pub(crate) fn usage_not_pruned(error: &(dyn Error + 'static)) {
        tracing::warn!(
            target: TARGET,
            error,
            "old usage cannot be deleted: let the role of this node delete, or build the recorder \
             `without_pruning` and run `api-keys prune`"
        );
    }

    #[cfg(feature = "usage")]
    pub(crate) fn uses_not_noted() {
        tracing::error!(target: TARGET, "more keys are used than `UsageRecorder` keeps: requests of some are not counted. Raise `max_keys`");
    }

    pub(crate) fn foreign_record(id: &str, what: &'static str) {
        let message = "the key store answered with a record that is not the presented key's";
        let of = Of { key: Some(id.into()), ..Of::default() };
        let event = Event { level: Level::ERROR, message, kind: Some(what), of };
        if Repeats::of_process().is_first(event) {
            tracing::error!(target: TARGET, record = id, "{message}: {what}");
        }
    }

    #[cfg(feature = "serde")]
    pub(crate) fn audit_not_written(error: &(dyn Error + 'static)) {
        let message = "an audit event cannot be written: it is written with the next one";
        if is_first_fault(Repeats::of_process(), Level::ERROR, message, error) {
            tracing::error!(target: TARGET, error, "{message}");
        }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn redis_unchecked(error: &(dyn Error + 'static)) {
        tracing::warn!(
            target: TARGET,
            error,
            "whether the Redis server is a primary, evicts, or is part of a cluster cannot be \
             checked: let the user run INFO"
        );
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn connections_live_long(longest: Option<Duration>) {
        tracing::warn!(
            target: TARGET,
            ?longest,
            "after a failover, connections of this pool may lead to the former primary for as long as \
             they live: set its `max_lifetime` to some 30 seconds"
        );
    }

    #[cfg(feature = "cache")]
    pub(crate) fn served_while_unreachable(
        repeats: &Repeats,
        id: &str,
        error: &(dyn Error + 'static),
    ) {
        let message = "the key store cannot be reached: records in memory are served meanwhile";
        if is_first_fault(repeats, Level::WARN, message, error) {
            tracing::warn!(target: TARGET, key = id, error, "{message}");
        }
    }

    #[cfg(feature = "cache")]
    pub(crate) fn moved() {
        tracing::warn!(
            target: TARGET,
            "new connections get notifications from another server than the old ones: every key is \
             looked up again"
        );
    }

    #[cfg(feature = "cache")]
    pub(crate) fn subscribed() {
        tracing::info!(target: TARGET, "cache invalidation works: keys are served from memory");
    }

    #[cfg(feature = "cache")]
    pub(crate) fn unsubscribed(error: &(dyn Error + 'static)) {
        tracing::warn!(target: TARGET, error, "cache invalidation lost: every lookup goes to the store");
    }
}

#[cfg(not(feature = "tracing"))]
mod events {
    use std::error::Error;
    use std::time::Duration;

    use http::Method;

    /// What would count events.
    #[derive(Clone, Default)]
    pub(crate) struct Repeats(());

    pub(crate) fn verified<'a>(_: impl Fn() -> &'a str) {}
    pub(crate) fn stream_ended(_: &Repeats, _: &'static str, _: Option<&str>, _: Duration) {}
    pub(crate) fn would_reject(
        _: &Repeats,
        _: (&'static str, Option<&str>),
        _: Option<&str>,
        _: &Method,
        _: Option<&str>,
        _: Option<&str>,
    ) {
    }
    pub(crate) fn no_client_address() {}
    #[cfg(feature = "axum")]
    pub(crate) fn no_original_uri() {}
    pub(crate) fn panicked(_: &'static str, _: &(dyn Error + 'static)) {}
    pub(crate) fn unlimited(_: &Repeats, _: &str, _: &(dyn Error + 'static)) {}
    pub(crate) fn not_refunded(_: &Repeats, _: &str, _: &(dyn Error + 'static)) {}
    #[cfg(feature = "manage")]
    pub(crate) fn not_managed(_: &(dyn Error + 'static)) {}
    #[cfg(feature = "pages")]
    pub(crate) fn no_usage(_: &(dyn Error + 'static)) {}
    #[cfg(feature = "usage")]
    pub(crate) fn uses_not_written(_: &(dyn Error + 'static)) {}
    #[cfg(feature = "usage")]
    pub(crate) fn usage_not_pruned(_: &(dyn Error + 'static)) {}
    #[cfg(feature = "usage")]
    pub(crate) fn uses_not_noted() {}
    pub(crate) fn foreign_record(_: &str, _: &'static str) {}
    #[cfg(feature = "postgres")]
    pub(crate) fn connections_live_long(_: Option<Duration>) {}
    #[cfg(feature = "cache")]
    pub(crate) fn served_while_unreachable(_: &Repeats, _: &str, _: &(dyn Error + 'static)) {}
    #[cfg(feature = "cache")]
    pub(crate) fn moved() {}
    #[cfg(feature = "serde")]
    pub(crate) fn audit_not_written(_: &(dyn Error + 'static)) {}
    #[cfg(feature = "redis")]
    pub(crate) fn redis_unchecked(_: &(dyn Error + 'static)) {}
    #[cfg(feature = "cache")]
    pub(crate) fn subscribed() {}
    #[cfg(feature = "cache")]
    pub(crate) fn unsubscribed(_: &(dyn Error + 'static)) {}
}

#[cfg(feature = "serde")]
pub(crate) use events::audit_not_written;
#[cfg(feature = "postgres")]
pub(crate) use events::connections_live_long;
#[cfg(feature = "axum")]
pub(crate) use events::no_original_uri;
#[cfg(feature = "pages")]
pub(crate) use events::no_usage;
#[cfg(feature = "manage")]
pub(crate) use events::not_managed;
#[cfg(feature = "redis")]
pub(crate) use events::redis_unchecked;
pub(crate) use events::{
    foreign_record, no_client_address, not_refunded, panicked, stream_ended, unlimited, verified,
    would_reject,
};
#[cfg(feature = "cache")]
pub(crate) use events::{moved, served_while_unreachable, subscribed, unsubscribed};
#[cfg(feature = "usage")]
pub(crate) use events::{usage_not_pruned, uses_not_noted, uses_not_written};

#[cfg(not(feature = "tracing"))]
pub(crate) use events::Repeats;
#[cfg(feature = "tracing")]
pub(crate) use repeats::{Event, Of, Repeats};
