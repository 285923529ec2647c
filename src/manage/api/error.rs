//! [`ApiError`]: the error of a request, with the fields that are wrong.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::key::{IssueError, KeyId};
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
    /// The other wrong fields.
    others: Vec<Wrong>,
    // Boxed, so that results are small.
    key_id: Option<Box<KeyId>>,
}

/// The message for an ability that is not in the catalogue.
pub(super) const UNKNOWN_ABILITY: &str = "Unknown ability: correct its spelling";

/// A wrong field, unless it cannot be named, and its message.
type Wrong = (Option<String>, Cow<'static, str>);

/// The most wrong fields that are kept. The known fields of a body have fewer items.
const MAX_KEPT: usize = 1000;

/// The most wrong fields that an answer lists, so that it stays short.
const MAX_ERRORS: usize = 40;

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
        let message = message.into();
        Self { status, kind: None, field: None, message, others: Vec::new(), key_id: None }
    }

    /// Creates the error of a wrong field.
    pub(in crate::manage) fn field_is(
        status: StatusCode,
        field: impl Into<String>,
        message: impl fmt::Display,
    ) -> Self {
        Self { field: Some(field.into()), ..Self::new(status, sentence(&message.to_string())) }
    }

    /// Adds the wrong fields of another error.
    pub(super) fn and(mut self, other: Self) -> Self {
        let others = std::iter::once((other.field, other.message)).chain(other.others);
        self.others.extend(others.take(MAX_KEPT.saturating_sub(self.others.len())));
        self
    }

    /// Returns whether the error names the first wrong field of another one, or an item of it.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.errors().any(|(field, _)| match (field, other.field()) {
            (Some(field), Some(other)) => field
                .strip_prefix(other)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('[')),
            (field, other) => field == other,
        })
    }

    /// Returns the status code.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the wrong field of the body, such as `restrictions.addresses[1]`, or the wrong query parameter. It is
    /// the first of [several](Self::errors).
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

    /// Returns the message for the client. It is that of the first [wrong field](Self::errors).
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns each wrong field with its message. The first are [`field`](Self::field) and
    /// [`message`](Self::message).
    ///
    /// A field has no name here if its name might be a secret in the wrong place. An error that is not about fields
    /// is the only one, without a field.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::manage::api::ApiError;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = NewKey::named("nightly import").stage("a stage").abilities(["bots:read", "bots write"]);
    /// let error = ApiError::from(keys.issue(key).await.unwrap_err());
    /// assert_eq!((error.status().as_u16(), error.field()), (422, Some("stage")));
    /// let fields: Vec<_> = error.errors().filter_map(|(field, _)| field).collect();
    /// assert_eq!(fields, ["stage", "abilities[1]"]);
    /// # }
    /// ```
    pub fn errors(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        let others = self.others.iter().map(|(field, message)| (field.as_deref(), &**message));
        std::iter::once((self.field(), self.message())).chain(others)
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
        if self.field.is_some() || !self.others.is_empty() {
            let errors = self.errors().take(MAX_ERRORS).map(|(field, message)| match field {
                Some(field) => json!({ "field": field, "detail": message }),
                None => json!({ "detail": message }),
            });
            problem["errors"] = errors.collect();
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
        for (index, (field, message)) in self.errors().enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            match field {
                Some(field) => write!(f, "{field}: {message}")?,
                None => f.write_str(message)?,
            }
        }
        Ok(())
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
                let wrong = invalid.iter();
                let wrong =
                    wrong.map(|wrong| Self::field_is(status, wrong.field(), wrong.reason()));
                let all = wrong.reduce(Self::and);
                return all.unwrap_or_else(|| Self::new(status, sentence(&error.to_string())));
            }
            ManageError::UsageNotKept => (StatusCode::NOT_FOUND, None),
            ManageError::UsageRange => (StatusCode::BAD_REQUEST, Some("from")),
            ManageError::NotFound => return Self::not_found(),
            ManageError::Name => (StatusCode::UNPROCESSABLE_ENTITY, Some("name")),
            ManageError::Expiry => (StatusCode::UNPROCESSABLE_ENTITY, Some("expires_at")),
            ManageError::UnknownAbility(_) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return Self::field_is(status, "abilities", UNKNOWN_ABILITY);
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
