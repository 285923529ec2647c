//! Events of the feature `tracing`; without it, nothing.
//!
//! One event for each rejection, with its kind and, when known, the key's public id; the
//! server's own faults at `ERROR`, those of clients at `INFO`; successes at `TRACE`. One when a
//! cache hears of changes no more, at `WARN`, and one when it does again, at `INFO`; one when a record
//! is served because the store cannot be reached, at `WARN`. No event holds a key, a header's value or a query, or a path where a key may be in it.

#[cfg(feature = "tracing")]
mod events {
    use std::error::Error;
    #[cfg(feature = "postgres")]
    use std::time::Duration;

    use http::Method;

    use crate::head::RequestHead;
    use crate::key::KeyId;
    use crate::reject::{Rejection, RejectionKind};

    pub(crate) fn rejected<'a>(
        rejection: &Rejection,
        head: &RequestHead<'_>,
        path: impl Fn() -> Option<&'a str>,
    ) {
        // The macro evaluates its fields only if somebody listens.
        macro_rules! event {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    kind = rejection.kind().as_str(),
                    key = rejection.key_id().map(KeyId::as_str),
                    error = rejection.source(),
                    method = head.method().as_str(),
                    path = path(),
                    $message
                )
            };
        }
        match rejection.kind() {
            RejectionKind::MissingLayer => event!(
                error,
                "a guard saw no verified key: mount ApiKeyLayer outside of the guard, so that \
                 requests pass the layer first"
            ),
            RejectionKind::Unavailable => event!(error, "API keys cannot be verified"),
            _ => event!(info, "request refused"),
        }
    }

    pub(crate) fn verified(id: &KeyId) {
        tracing::trace!(key = id.as_str(), "API key verified");
    }

    pub(crate) fn would_reject(
        rejection: &Rejection,
        method: &Method,
        path: Option<&str>,
        rule: Option<&str>,
    ) {
        tracing::warn!(
            kind = rejection.kind().as_str(),
            key = rejection.key_id().map(KeyId::as_str),
            method = method.as_str(),
            path,
            rule,
            "request would be refused: report only"
        );
    }

    pub(crate) fn no_client_address() {
        tracing::warn!(
            "the client's address is not known: serve with connect info or put a PeerAddress into \
             the extensions of requests; behind proxies, see TrustedProxies"
        );
    }

    #[cfg(feature = "axum")]
    pub(crate) fn no_original_uri() {
        tracing::warn!(
            "the original URI of a request is not known, so what is decided by the path is refused: \
             call routers with the extensions of no other request, and change paths around the \
             outermost router only"
        );
    }

    pub(crate) fn panicked(what: &'static str) {
        tracing::error!("{what} panicked");
    }

    pub(crate) fn unlimited(id: &KeyId, error: &(dyn Error + 'static)) {
        tracing::error!(key = id.as_str(), error, "request passes uncounted");
    }

    pub(crate) fn not_refunded(id: &KeyId, error: &(dyn Error + 'static)) {
        tracing::error!(key = id.as_str(), error, "a refused request is counted");
    }

    #[cfg(feature = "manage")]
    pub(crate) fn not_managed(error: &(dyn Error + 'static)) {
        tracing::error!(error, "API keys cannot be managed");
    }

    #[cfg(feature = "last-used")]
    pub(crate) fn uses_not_written(error: &(dyn Error + 'static)) {
        tracing::error!(error, "when keys were last used cannot be written: it is tried again");
    }

    #[cfg(feature = "last-used")]
    pub(crate) fn uses_not_noted() {
        tracing::error!("more keys are used than `LastUsed` keeps: some uses are not noted");
    }

    pub(crate) fn foreign_record(id: &KeyId, what: &'static str) {
        tracing::error!(
            record = id.as_str(),
            "the key store answered with a record that is not the presented key's: {what}"
        );
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn connections_live_long(longest: Option<Duration>) {
        tracing::warn!(
            ?longest,
            "after a failover, connections of this pool may lead to yesterday's primary for as long as \
             they live: set its `max_lifetime` to some 30 seconds"
        );
    }

    #[cfg(feature = "cache")]
    pub(crate) fn served_while_unreachable(id: &KeyId, error: &(dyn Error + 'static)) {
        tracing::warn!(
            key = id.as_str(),
            error,
            "the key store cannot be reached: a record in memory is served meanwhile"
        );
    }

    #[cfg(feature = "cache")]
    pub(crate) fn moved() {
        tracing::warn!(
            "new connections hear of changes from another server than the old ones: everything is \
             looked up again"
        );
    }

    #[cfg(feature = "cache")]
    pub(crate) fn subscribed() {
        tracing::info!("changed keys are heard of: keys are served from memory");
    }

    #[cfg(feature = "cache")]
    pub(crate) fn unsubscribed(error: &(dyn Error + 'static)) {
        tracing::warn!(error, "changed keys are not heard of: every key is looked up in the store");
    }
}

#[cfg(not(feature = "tracing"))]
mod events {
    use std::error::Error;
    #[cfg(feature = "postgres")]
    use std::time::Duration;

    use http::Method;

    use crate::head::RequestHead;
    use crate::key::KeyId;
    use crate::reject::Rejection;

    pub(crate) fn rejected<'a>(
        _: &Rejection,
        _: &RequestHead<'_>,
        _: impl Fn() -> Option<&'a str>,
    ) {
    }
    pub(crate) fn verified(_: &KeyId) {}
    pub(crate) fn would_reject(_: &Rejection, _: &Method, _: Option<&str>, _: Option<&str>) {}
    pub(crate) fn no_client_address() {}
    #[cfg(feature = "axum")]
    pub(crate) fn no_original_uri() {}
    pub(crate) fn panicked(_: &'static str) {}
    pub(crate) fn unlimited(_: &KeyId, _: &(dyn Error + 'static)) {}
    pub(crate) fn not_refunded(_: &KeyId, _: &(dyn Error + 'static)) {}
    #[cfg(feature = "manage")]
    pub(crate) fn not_managed(_: &(dyn Error + 'static)) {}
    #[cfg(feature = "last-used")]
    pub(crate) fn uses_not_written(_: &(dyn Error + 'static)) {}
    #[cfg(feature = "last-used")]
    pub(crate) fn uses_not_noted() {}
    pub(crate) fn foreign_record(_: &KeyId, _: &'static str) {}
    #[cfg(feature = "postgres")]
    pub(crate) fn connections_live_long(_: Option<Duration>) {}
    #[cfg(feature = "cache")]
    pub(crate) fn served_while_unreachable(_: &KeyId, _: &(dyn Error + 'static)) {}
    #[cfg(feature = "cache")]
    pub(crate) fn moved() {}
    #[cfg(feature = "cache")]
    pub(crate) fn subscribed() {}
    #[cfg(feature = "cache")]
    pub(crate) fn unsubscribed(_: &(dyn Error + 'static)) {}
}

#[cfg(feature = "postgres")]
pub(crate) use events::connections_live_long;
#[cfg(feature = "axum")]
pub(crate) use events::no_original_uri;
#[cfg(feature = "manage")]
pub(crate) use events::not_managed;
pub(crate) use events::{
    foreign_record, no_client_address, not_refunded, panicked, rejected, unlimited, verified,
    would_reject,
};
#[cfg(feature = "cache")]
pub(crate) use events::{moved, served_while_unreachable, subscribed, unsubscribed};
#[cfg(feature = "last-used")]
pub(crate) use events::{uses_not_noted, uses_not_written};
