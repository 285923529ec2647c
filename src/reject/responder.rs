//! [`Responder`]: refusals by a table of statuses and messages.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{Rejection, RejectionKind, Respond};
use crate::head::RequestHead;

/// Answers refused requests by a table of statuses and messages: as problem+json, JSON or text.
///
/// # Examples
///
/// Errors of an existing API, as a small table:
///
/// ```
/// use http::{Request, StatusCode};
/// use tower_api_key::{RequestHead, Rejection, RejectionKind, Respond, Responder};
///
/// let answers = Responder::json()
///     .answer(RejectionKind::Missing, StatusCode::FORBIDDEN, "Forbidden")
///     .answer_invalid(StatusCode::FORBIDDEN, "Invalid API Key")
///     .answer(RejectionKind::WrongStage, StatusCode::FORBIDDEN, "Invalid API Key by stage");
///
/// let request = Request::get("/").body(())?;
/// let rejection = Rejection::new(RejectionKind::Revoked);
/// let response = answers.respond(&rejection, &RequestHead::new(&request));
/// assert_eq!(response.status(), StatusCode::FORBIDDEN);
/// assert_eq!(response.body(), r#"{"message":"Invalid API Key"}"#);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Responder {
    form: Form,
    answers: [Answer; KINDS],
}

const KINDS: usize = RejectionKind::ALL.len();

type Bodies = [String; KINDS];

#[derive(Clone, Copy, Debug)]
enum Form {
    Problem,
    Json,
    Text,
}

/// The response to one kind, with a prebuilt body.
#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    message: Option<Cow<'static, str>>,
    body: Bytes,
}

impl Responder {
    /// Answers with `application/problem+json` (RFC 9457). The default of the layer.
    ///
    /// ```json
    /// {"detail":"The API key is not valid","status":401,"title":"Unauthorized","type":"about:blank"}
    /// ```
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{RequestHead, Rejection, RejectionKind, Respond, Responder};
    ///
    /// let request = Request::get("/").body(())?;
    /// let rejection = Rejection::new(RejectionKind::Unknown);
    /// let response = Responder::problem_json().respond(&rejection, &RequestHead::new(&request));
    /// assert_eq!(response.headers()["content-type"], "application/problem+json");
    /// assert!(response.body().starts_with(br#"{"detail":"The API key is not valid","status":401"#));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn problem_json() -> Self {
        Self::new(Form::Problem)
    }

    /// Answers with `application/json`: `{"message":"The API key is not valid"}`.
    #[must_use]
    pub fn json() -> Self {
        Self::new(Form::Json)
    }

    /// Answers with `text/plain`.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{RequestHead, Rejection, RejectionKind, Respond, Responder};
    ///
    /// let request = Request::get("/").body(())?;
    /// let rejection = Rejection::new(RejectionKind::Missing);
    /// let response = Responder::text().respond(&rejection, &RequestHead::new(&request));
    /// assert_eq!(response.body(), "An API key is required");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn text() -> Self {
        Self::new(Form::Text)
    }

    fn new(form: Form) -> Self {
        let answers = RejectionKind::ALL.map(|kind| Answer {
            status: kind.status(),
            message: None,
            body: Bytes::from_static(form.default_bodies()[kind as usize].as_bytes()),
        });
        Self { form, answers }
    }

    /// Sets the status and the message for one kind.
    #[must_use]
    pub fn answer(
        mut self,
        kind: RejectionKind,
        status: StatusCode,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let message = message.into();
        let body = self.form.body(status, &message).into();
        self.answers[kind as usize] = Answer { status, message: Some(message), body };
        self
    }

    /// Sets the status and the message for all kinds of a key that is not valid: `Malformed`,
    /// `Unknown`, `Disabled`, `Revoked` and `Expired`.
    #[must_use]
    pub fn answer_invalid(self, status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        RejectionKind::INVALID
            .into_iter()
            .fold(self, |table, kind| table.answer(kind, status, message.clone()))
    }
}

impl Form {
    const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Problem => "application/problem+json",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        })
    }

    /// Returns the bodies of all kinds, built once for all layers, so that sending one counts no
    /// references.
    fn default_bodies(self) -> &'static Bodies {
        static BODIES: LazyLock<[Bodies; 3]> = LazyLock::new(|| {
            let write = |form: Form| {
                RejectionKind::ALL.map(|kind| form.body(kind.status(), kind.message()))
            };
            [Form::Problem, Form::Json, Form::Text].map(write)
        });
        &BODIES[self as usize]
    }

    fn body(self, status: StatusCode, message: &str) -> String {
        let json = |value: Value| value.to_string();
        match self {
            Self::Problem => json(json!({
                "type": "about:blank",
                "title": status.canonical_reason().unwrap_or_default(),
                "status": status.as_u16(),
                "detail": message,
            })),
            Self::Json => json(json!({ "message": message })),
            Self::Text => message.to_owned(),
        }
    }
}

/// Writes the problem of draft-ietf-httpapi-ratelimit-headers-10, section 5.1.
fn quota_exceeded(status: StatusCode, message: &str, violated: &[&str]) -> String {
    let problem = json!({
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": status.as_u16(),
        "detail": message,
        "violated-policies": violated,
    });
    problem.to_string()
}

impl Default for Responder {
    fn default() -> Self {
        Self::problem_json()
    }
}

impl Respond for Responder {
    fn respond(&self, rejection: &Rejection, _: &RequestHead<'_>) -> Response<Bytes> {
        let answer = &self.answers[rejection.kind() as usize];
        let violated: Vec<_> = match self.form {
            Form::Problem => rejection.violated_policies().collect(),
            Form::Json | Form::Text => Vec::new(),
        };
        let body = if !violated.is_empty() {
            quota_exceeded(answer.status, &self.message(rejection), &violated).into()
        } else if answer.message.is_some() || rejection.is_plain() {
            answer.body.clone()
        } else {
            self.form.body(answer.status, &rejection.message()).into()
        };
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(header::CONTENT_TYPE, self.form.content_type());
        let mut response = Response::new(body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = headers;
        response
    }

    fn message<'a>(&'a self, rejection: &'a Rejection) -> Cow<'a, str> {
        match &self.answers[rejection.kind() as usize].message {
            Some(message) => Cow::Borrowed(message),
            None => rejection.message(),
        }
    }

    fn depends_on_rejection_only(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(responder: &Responder, rejection: &Rejection) -> (StatusCode, String) {
        let request = http::Request::new(());
        let response = responder.respond(rejection, &RequestHead::new(&request));
        (response.status(), String::from_utf8(response.into_body().to_vec()).unwrap())
    }

    #[test]
    fn the_three_forms_say_the_same() {
        let unknown = Rejection::new(RejectionKind::Unknown);
        assert_eq!(
            body(&Responder::problem_json(), &unknown).1,
            r#"{"detail":"The API key is not valid","status":401,"title":"Unauthorized","type":"about:blank"}"#
        );
        assert_eq!(
            body(&Responder::json(), &unknown).1,
            r#"{"message":"The API key is not valid"}"#
        );
        assert_eq!(body(&Responder::text(), &unknown).1, "The API key is not valid");
    }

    #[test]
    fn a_guards_own_message_is_told_and_escaped() {
        let rejection = Rejection::new(RejectionKind::NotAllowed).with_message("not \"today\"\n");
        assert_eq!(
            body(&Responder::json(), &rejection),
            (StatusCode::FORBIDDEN, r#"{"message":"not \"today\"\n"}"#.to_owned())
        );
    }

    #[test]
    fn the_tables_own_message_comes_first() {
        let table = Responder::json().answer(
            RejectionKind::MissingAbility,
            StatusCode::NOT_FOUND,
            "Not Found",
        );
        let rejection = Rejection::missing_ability("bots:read".parse().unwrap());
        assert_eq!(
            body(&table, &rejection),
            (StatusCode::NOT_FOUND, r#"{"message":"Not Found"}"#.to_owned())
        );
        assert_eq!(table.message(&rejection), "Not Found");
    }

    #[test]
    fn all_invalid_kinds_are_answered_alike() {
        let table = Responder::json().answer_invalid(StatusCode::FORBIDDEN, "Invalid API Key");
        for kind in RejectionKind::INVALID {
            let (status, body) = body(&table, &Rejection::new(kind));
            assert_eq!(status, StatusCode::FORBIDDEN);
            assert_eq!(body, r#"{"message":"Invalid API Key"}"#);
        }
    }
}
