//! The event of a refusal: its kind and reason and, if known, the key, the route and the client.

use std::borrow::Cow;

use crate::head::RequestHead;
use crate::reject::Rejection;
use crate::reject::log::Log;

/// Logs faults of the server at `ERROR` and those of clients at `INFO`.
#[cfg(feature = "tracing")]
pub(super) fn rejected<'a>(
    rejection: &Rejection,
    head: &RequestHead<'_>,
    log: &Log,
    path: impl Fn() -> Option<Cow<'a, str>>,
) {
    use std::error::Error as _;

    use tracing::Level;

    use crate::key::{KeyId, TenantId};
    use crate::reject::RejectionKind;
    use crate::trace::{Event, TARGET};

    let kind = rejection.kind();
    macro_rules! event {
        ($level:ident, $LEVEL:ident, $message:literal) => {
            if tracing::enabled!(target: TARGET, Level::$LEVEL) {
                let (client, route) = (log.client(head), head.matched_path());
                let key = rejection.key_id().map(KeyId::as_str);
                let reason = rejection.reason();
                let reason = reason.as_deref();
                let of = subject(rejection, head, client, reason);
                let (level, kind) = (Level::$LEVEL, Some(kind.as_str()));
                if log.repeats.is_first(Event { level, message: $message, kind, of }) {
                    let path = if route.is_none() { path() } else { None };
                    tracing::$level!(
                        target: TARGET,
                        kind,
                        reason,
                        key,
                        tenant = rejection.tenant().map(TenantId::as_str),
                        client = client.map(tracing::field::display),
                        error = rejection.source(),
                        method = head.method().as_str(),
                        route,
                        path = path.as_deref(),
                        $message
                    );
                }
            }
        };
    }
    match kind {
        RejectionKind::MissingLayer => event!(
            error,
            ERROR,
            "a guard or a handler saw no verified key, because no ApiKeyLayer is around it, so requests \
             get 500: add the layer outside, in axum with `.layer(ApiKeyLayer::new(store))` after the routes"
        ),
        RejectionKind::Unavailable => event!(
            error,
            ERROR,
            "API keys cannot be verified, so requests get 503: check that the key store and the \
             limiter can be reached, and read the error"
        ),
        _ => event!(info, INFO, "request refused"),
    }
}

/// Returns what makes two refusals of a kind equal. A fault of the server is one fault, whatever the request.
#[cfg(feature = "tracing")]
fn subject(
    rejection: &Rejection,
    head: &RequestHead<'_>,
    client: Option<std::net::IpAddr>,
    reason: Option<&str>,
) -> crate::trace::Of {
    use std::error::Error as _;

    use crate::neighbours::Neighbours;
    use crate::reject::RejectionKind;
    use crate::trace::Of;

    match rejection.kind() {
        RejectionKind::Unavailable => {
            let error = rejection.source().map(|error| error.to_string().into());
            Of { error, ..Of::default() }
        }
        RejectionKind::MissingLayer => {
            let route = head.matched_path();
            let rule = route.map(|route| format!("{} {route}", head.method()).into());
            Of { rule, ..Of::default() }
        }
        _ => {
            let key = rejection.key_id().map(|id| id.as_str().into());
            let (client, reason) = (client.map(Neighbours::of), reason.map(Into::into));
            Of { client, key, reason, ..Of::default() }
        }
    }
}

#[cfg(not(feature = "tracing"))]
pub(super) fn rejected<'a>(
    _: &Rejection,
    _: &RequestHead<'_>,
    _: &Log,
    _: impl Fn() -> Option<Cow<'a, str>>,
) {
}
