//! [`ApiError`]: the error of a request, with the field that is wrong.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::key::{Ability, IssueError, KeyId};
use crate::manage::{Excess, ManageError};
use crate::trace;

/// The error of a request to the management API.
///
/// It contains no value of the request's body, which might be a secret in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    kind: Option<&'static ProblemType>,
    field: Option<String>,
    message: Cow<'static, str>,
    // Boxed, so that results are small.
    key_id: Option<Box<KeyId>>,
}

/// A kind of problem with a type of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProblemType {
    uri: &'static str,
    title: &'static str,
}

impl ApiError {
    /// The [type](Self::problem_type) of the error for a tenant that has as many keys as it
    /// [may have](crate::KeyManager::max_keys_per_tenant). Its status is 409.
    pub const TOO_MANY_KEYS: &'static str = "https://docs.rs/tower-api-key/latest/tower_api_key/enum.ManageError.html#variant.TooManyKeys";

    pub(in crate::manage) fn new(
        status: StatusCode,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, kind: None, field: None, message: message.into(), key_id: None }
    }

    /// Creates the error of a wrong field.
    pub(in crate::manage) fn field_is(
        status: StatusCode,
        field: impl Into<String>,
        message: impl fmt::Display,
    ) -> Self {
        Self { field: Some(field.into()), ..Self::new(status, sentence(&message.to_string())) }
    }

    /// Returns the status code.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the wrong field of the body, such as `restrictions.addresses[1]`, or the wrong query parameter.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Returns the type of the problem (RFC 9457, section 3.1.1), by which clients distinguish it from others with
    /// the same status: [`TOO_MANY_KEYS`](Self::TOO_MANY_KEYS), or none.
    #[must_use]
    pub fn problem_type(&self) -> Option<&'static str> {
        self.kind.map(|kind| kind.uri)
    }

    /// Names the key that was issued by the same request before.
    pub(super) fn of_key(self, id: KeyId) -> Self {
        Self { key_id: Some(Box::new(id)), ..self }
    }

    /// Returns the key that the same request has [issued before](crate::manage::api#once).
    #[must_use]
    pub const fn key_id(&self) -> Option<&KeyId> {
        match &self.key_id {
            Some(id) => Some(&**id),
            None => None,
        }
    }

    /// Returns the message for the client.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the answer as `application/problem+json` (RFC 9457).
    pub(super) fn to_problem(&self) -> Response<Bytes> {
        let blank = ProblemType {
            uri: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
        };
        let kind = self.kind.unwrap_or(&blank);
        let mut problem = json!({
            "type": kind.uri,
            "title": kind.title,
            "status": self.status.as_u16(),
            "detail": self.message,
        });
        if let Some(field) = &self.field {
            problem["field"] = field.as_str().into();
        }
        if let Some(id) = &self.key_id {
            problem["key_id"] = id.as_str().into();
        }
        let mut response = Response::new(problem.to_string().into());
        *response.status_mut() = self.status;
        let content_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ApiError {}

/// Begins a message with a capital letter, like those of the layer.
fn sentence(message: &str) -> String {
    let mut rest = message.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).collect()
}

impl From<ManageError> for ApiError {
    fn from(error: ManageError) -> Self {
        let (status, field) = match &error {
            ManageError::Invalid(invalid) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return match invalid.iter().next() {
                    Some(first) => Self::field_is(status, first.field(), first.reason()),
                    None => Self::new(status, sentence(&error.to_string())),
                };
            }
            ManageError::UsageNotKept => (StatusCode::NOT_FOUND, None),
            ManageError::UsageRange => (StatusCode::BAD_REQUEST, Some("from")),
            ManageError::NotFound => return Self::not_found(),
            ManageError::Name => (StatusCode::UNPROCESSABLE_ENTITY, Some("name")),
            ManageError::Expiry => (StatusCode::UNPROCESSABLE_ENTITY, Some("expires_at")),
            ManageError::UnknownAbility(_) => {
                let message = "Unknown ability: correct its spelling";
                return Self::field_is(StatusCode::UNPROCESSABLE_ENTITY, "abilities", message);
            }
            ManageError::Exceeds(excess) => (StatusCode::FORBIDDEN, field_of(*excess)),
            ManageError::TooManyKeys(_) => {
                let kind =
                    Some(&ProblemType { uri: Self::TOO_MANY_KEYS, title: "Too many API keys" });
                return Self {
                    kind,
                    ..Self::new(StatusCode::CONFLICT, sentence(&error.to_string()))
                };
            }
            ManageError::State(_) | ManageError::Rotated(_) | ManageError::Suspended => {
                (StatusCode::CONFLICT, None)
            }
            ManageError::Format => {
                let message = "Keys with this prefix are no longer issued: create a new key";
                return Self::new(StatusCode::CONFLICT, message);
            }
            // The formats are no secret: each key shows its own.
            ManageError::Issue(IssueError::Ambiguous(_) | IssueError::Prefix(_)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some("prefix"))
            }
            ManageError::Issue(IssueError::Meaning(_)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some("stage"))
            }
            ManageError::NoAuditLog => {
                let message = "This server keeps no audit log of API keys";
                return Self::new(StatusCode::NOT_IMPLEMENTED, message);
            }
            ManageError::Issue(_)
            | ManageError::Conflict
            | ManageError::Deadline(_)
            | ManageError::Store(_) => {
                trace::not_managed(&error);
                return Self::unavailable();
            }
        };
        match field {
            Some(field) => Self::field_is(status, field, error),
            None => Self::new(status, sentence(&error.to_string())),
        }
    }
}

impl ApiError {
    /// Returns the error of a body with these abilities. An unknown one is named by its place, because an error
    /// repeats no value of the body.
    pub(super) fn of_body(error: ManageError, abilities: &[Ability]) -> Self {
        let ManageError::UnknownAbility(unknown) = &error else { return error.into() };
        let is_unknown = |each: &Ability| unknown.iter().any(|unknown| unknown == each);
        let place = abilities.iter().position(is_unknown);
        let error = Self::from(error);
        match place {
            Some(place) => Self { field: Some(format!("abilities[{place}]")), ..error },
            None => error,
        }
    }

    pub(in crate::manage) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is no such API key")
    }

    pub(in crate::manage) fn unavailable() -> Self {
        let message = "API keys cannot be managed at the moment: try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

/// Returns the field that exceeds the owner.
const fn field_of(excess: Excess) -> Option<&'static str> {
    match excess {
        Excess::Abilities => Some("abilities"),
        Excess::Stage => Some("stage"),
        Excess::Expiry => Some("expires_at"),
        Excess::Limits => Some("limits"),
        Excess::Restrictions => Some("restrictions"),
        // The tenant, the caller and metadata are not in the body.
        Excess::Tenant
        | Excess::PublicKey
        | Excess::Inactive
        | Excess::Management
        | Excess::Tenantless
        | Excess::Tenants
        | Excess::Metadata => None,
    }
}
