//! [`Ending`]: how the body of a response ends when its key does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;

use crate::grpc::GrpcType;
use crate::watch::{Authority, KeyEnded};

/// Like that of `tower`, which is not a part of the public API.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How a body ends, in the way that its kind of client understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By an error, so that a truncated body is not treated as complete.
    Fail,
    /// By trailers with a status.
    Grpc,
    /// By a last frame with a status.
    GrpcWeb { text: bool },
    /// By its end, so that the reader of events reconnects and is refused. An event may be sent before
    /// it.
    Events { plain: bool },
}

impl Ending {
    /// Determines from the head of a response how its body ends.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(content_type) = headers.get(CONTENT_TYPE) else { return Self::Fail };
        match GrpcType::read(content_type) {
            Some(GrpcType::Native) => Self::Grpc,
            Some(GrpcType::Web) => Self::GrpcWeb { text: false },
            Some(GrpcType::WebText) => Self::GrpcWeb { text: true },
            None if is_event_stream(content_type) => {
                Self::Events { plain: !headers.contains_key(CONTENT_ENCODING) }
            }
            None => Self::Fail,
        }
    }

    /// Returns the last frame of a body. After one that is not an error, the body is complete.
    pub(crate) fn last_frame(
        self,
        ended: KeyEnded,
        authority: &dyn Authority,
    ) -> Option<Result<Frame<Bytes>, BoxError>> {
        match self {
            Self::Fail => Some(Err(ended.into())),
            Self::Grpc => {
                let trailers = authority.rejector().grpc_trailers(ended.rejection());
                Some(Ok(Frame::trailers(trailers)))
            }
            Self::GrpcWeb { text } => {
                let frame = grpc_web(&authority.rejector().grpc_trailers(ended.rejection()));
                let frame = if text { STANDARD.encode(frame).into() } else { frame };
                Some(Ok(Frame::data(frame)))
            }
            Self::Events { plain } => {
                let event = authority.settings().last_event.as_ref().filter(|_| plain)?;
                let mut last = None;
                crate::contain::notify("a callback for the last event", || last = event(&ended));
                Some(Ok(Frame::data(last?)))
            }
        }
    }
}

fn is_event_stream(content_type: &HeaderValue) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    let (essence, rest) =
        content_type.as_bytes().split_at_checked(EVENTS.len()).unwrap_or_default();
    essence.eq_ignore_ascii_case(EVENTS)
        && matches!(rest.trim_ascii_start().first(), None | Some(b';'))
}

/// Writes trailers as the last frame of a body of gRPC-Web.
fn grpc_web(trailers: &HeaderMap) -> Bytes {
    const TRAILERS: u8 = 0x80;
    let mut lines = BytesMut::new();
    for (name, value) in trailers {
        for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    let mut frame = BytesMut::with_capacity(5 + lines.len());
    frame.put_u8(TRAILERS);
    frame.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(&lines);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&'static str, &'static str)]) -> Ending {
        let field = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), HeaderValue::from_static(value))
        };
        Ending::of(&lines.iter().map(field).collect())
    }

    #[test]
    fn bodies_end_by_their_content_type() {
        const TYPE: &str = "content-type";
        assert_eq!(of(&[]), Ending::Fail);
        assert_eq!(of(&[(TYPE, "application/json")]), Ending::Fail);
        assert_eq!(of(&[(TYPE, "text/event-streams")]), Ending::Fail);
        assert_eq!(of(&[(TYPE, "application/grpc+proto")]), Ending::Grpc);
        assert_eq!(of(&[(TYPE, "application/grpc-web+proto")]), Ending::GrpcWeb { text: false });
        assert_eq!(of(&[(TYPE, "application/grpc-web-text")]), Ending::GrpcWeb { text: true });
        for events in ["text/event-stream", "Text/Event-Stream ; charset=utf-8"] {
            assert_eq!(of(&[(TYPE, events)]), Ending::Events { plain: true });
            let compressed = [(TYPE, events), ("content-encoding", "gzip")];
            assert_eq!(of(&compressed), Ending::Events { plain: false });
        }
    }

    #[test]
    fn trailers_of_grpc_web_are_a_frame_of_lines() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("16"));
        assert_eq!(grpc_web(&trailers), &b"\x80\0\0\0\x10grpc-status:16\r\n"[..]);
    }
}
