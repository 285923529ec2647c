//! [`Responses`]: the refusals of a layer in a document.

use http::{Method, StatusCode, header};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{
    Components, Content, Header, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema,
};

use crate::reject::{RejectionKind, Rejector};

/// The responses of a layer to refused requests.
#[derive(Clone, Debug)]
pub(super) struct Responses(Vec<Answer>);

/// A response to requests of one kind.
#[derive(Clone, Debug)]
struct Answer {
    name: &'static str,
    status: StatusCode,
    description: &'static str,
    headers: &'static [&'static str],
    body: Option<Body>,
}

/// The form of a body.
#[derive(Clone, Copy, Debug)]
enum Body {
    Problem,
    Message,
}

const KINDS: [(RejectionKind, &str, &str, &[&str]); 4] = [
    (
        RejectionKind::Unknown,
        "ApiKeyUnauthorized",
        "The API key is missing or not valid",
        &["www-authenticate"],
    ),
    (
        RejectionKind::MissingAbility,
        "ApiKeyForbidden",
        "The API key does not allow this request",
        &["www-authenticate"],
    ),
    (
        RejectionKind::RateLimited,
        "ApiKeyRateLimited",
        "The API key was used too often",
        &["retry-after", "ratelimit", "ratelimit-policy"],
    ),
    (
        RejectionKind::Unavailable,
        "ApiKeyUnavailable",
        "API keys cannot be verified at the moment",
        &["retry-after"],
    ),
];

impl Responses {
    pub(super) fn of(rejector: &Rejector) -> Self {
        let answers = KINDS.map(|(kind, name, description, headers)| {
            let prepared = rejector.prepared(kind);
            let status = prepared.map_or(kind.status(), http::Response::status);
            let content_type =
                prepared.and_then(|response| response.headers().get(header::CONTENT_TYPE));
            let body = match content_type.map(http::HeaderValue::as_bytes) {
                Some(b"application/problem+json") => Some(Body::Problem),
                Some(b"application/json") => Some(Body::Message),
                _ => None,
            };
            Answer { name, status, description, headers, body }
        });
        Self(answers.into())
    }

    /// Adds the responses to all operations that are not public, and the used ones to the components.
    pub(super) fn add_to(&self, document: &mut OpenApi) {
        for answer in &self.0 {
            let mut is_used = false;
            for item in document.paths.paths.values_mut() {
                for (_, operation) in operations(item) {
                    is_used |= answer.add_to(operation);
                }
            }
            if is_used {
                answer.add_components(document.components.get_or_insert_default());
            }
        }
    }
}

impl Answer {
    /// Adds the response to an operation, and tells whether the operation refers to it.
    fn add_to(&self, operation: &mut Operation) -> bool {
        if operation.security.as_ref().is_some_and(Vec::is_empty) {
            return false;
        }
        let reference = RefOr::Ref(Ref::from_response_name(self.name));
        let responses = &mut operation.responses.responses;
        let response =
            responses.entry(self.status.as_str().to_owned()).or_insert_with(|| reference.clone());
        *response == reference
    }

    fn add_components(&self, components: &mut Components) {
        if let Some(body) = self.body {
            components.schemas.entry(body.name().to_owned()).or_insert_with(|| body.schema());
        }
        components.responses.entry(self.name.to_owned()).or_insert_with(|| self.response().into());
    }

    fn response(&self) -> Response {
        let text = || Header::new(ObjectBuilder::new().schema_type(Type::String));
        let mut response =
            ResponseBuilder::new().description(self.description).header("cache-control", text());
        for name in self.headers {
            response = response.header(*name, text());
        }
        if let Some(body) = self.body {
            let schema = Ref::from_schema_name(body.name());
            response = response.content(body.content_type(), Content::new(Some(schema)));
        }
        response.build()
    }
}

impl Body {
    const fn name(self) -> &'static str {
        match self {
            // As in the document of the management API, whose problems have more fields.
            Self::Problem => "ApiKeyProblem",
            Self::Message => "ApiKeyMessage",
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Problem => "application/problem+json",
            Self::Message => "application/json",
        }
    }

    fn schema(self) -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        match self {
            Self::Problem => ObjectBuilder::new()
                .description(Some("An error (RFC 9457)."))
                .property("type", text())
                .property("title", text())
                .property("status", ObjectBuilder::new().schema_type(Type::Integer))
                .property("detail", text())
                .required("type")
                .required("title")
                .required("status")
                .required("detail")
                .into(),
            Self::Message => {
                ObjectBuilder::new().property("message", text()).required("message").into()
            }
        }
    }
}

/// Returns the operations that a policy may accept, each with the method by which it judges.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let operations = [
        (Method::GET, &mut item.get),
        (Method::GET, &mut item.head),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
        (Method::OPTIONS, &mut item.options),
    ];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
