//! How a request is refused: the reasons, and the responses that they become.
//!
//! *Rich inside, poor outside*: a [`Rejection`] tells the operator everything; the client of
//! an unknown, revoked, expired or disabled key gets the same answer, byte for byte.
//!
//! | kind | status | gRPC | further headers |
//! |---|---|---|---|
//! | `Missing` | 401 | 16 | `WWW-Authenticate` without `error` |
//! | `Ambiguous` | 400 | 16 | `WWW-Authenticate` with `invalid_request` |
//! | `Malformed`, `Unknown`, `Disabled`, `Revoked`, `Expired` | 401 | 16 | `WWW-Authenticate` with `invalid_token` |
//! | `WrongStage`, `WrongTenant`, `NotAllowed` | 403 | 7 | |
//! | `MissingAbility` | 403 | 7 | `WWW-Authenticate` with `insufficient_scope` and `scope` |
//! | `RateLimited` | 429 | 8 | `Retry-After`, and those of the key's [limits](crate::limit) |
//! | `Unavailable` | 503 | 14 | `Retry-After` |
//! | `MissingLayer` | 500 | 13 | |
//!
//! Every one has `Cache-Control: no-store`, and the [`Rejection`] in the response's
//! extensions, for outer layers to log. gRPC requests (`content-type: application/grpc…`) get
//! HTTP 200 with `grpc-status` and `grpc-message` whatever the responder is.

mod challenge;
mod grpc;
mod kind;
mod rejection;
mod rejector;
mod respond;
mod responder;

pub use self::kind::RejectionKind;
pub use self::rejection::Rejection;
pub use self::respond::Respond;
pub use self::responder::Responder;

pub(crate) use self::challenge::Challenge;
pub(crate) use self::rejector::{PathIsSecret, Rejector};
