//! The event of a refusal: with its kind and, where it is known, the key's public id.

use crate::head::RequestHead;
use crate::reject::Rejection;

/// Writes the server's own faults at `ERROR` and those of clients at `INFO`.
#[cfg(feature = "tracing")]
pub(super) fn rejected<'a>(
    rejection: &Rejection,
    head: &RequestHead<'_>,
    path: impl Fn() -> Option<&'a str>,
) {
    use std::error::Error as _;

    use crate::key::KeyId;
    use crate::reject::RejectionKind;

    // The macro evaluates its fields only if somebody listens.
    macro_rules! event {
        ($level:ident, $message:literal) => {
            tracing::$level!(
                target: "tower_api_key",
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

#[cfg(not(feature = "tracing"))]
pub(super) fn rejected<'a>(_: &Rejection, _: &RequestHead<'_>, _: impl Fn() -> Option<&'a str>) {}
