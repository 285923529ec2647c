//! The routes as an OpenAPI document.

use utoipa::ToSchema;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Content, Header, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, ResponseBuilder,
    Schema,
};

use super::KeyRoute;
use super::answer::{New, One, Page, Revoked, Used};
use super::audit::Events;
use super::create::CreateKey;
use super::list::{DEFAULT_LIMIT, KINDS, MAX_LIMIT, MAX_NAME};
use super::once::{IDEMPOTENCY_KEY, MAX_LENGTH};
use super::revoke::WITH_SUCCESSORS;
use super::rotate::RotateKey;
use super::route::KEY_ID;
use super::update::UpdateKey;
use super::usage::DEFAULT_DAYS;
use crate::manage::UsagePeriod;
use crate::store::KeyState;

const TAG: &str = "API keys";
const ABOUT: &str = "Issue, list, change, rotate and revoke API keys.";

/// Returns the document of `routes`, whose errors are problems, or have a form that only the application knows.
pub(super) fn document(routes: &[KeyRoute], errors_are_problems: bool) -> OpenApi {
    let mut schemas = Schemas::default();
    let problem = errors_are_problems.then(|| schemas.add::<Problem>());
    let mut paths = Paths::new();
    for route in routes {
        let (method, operation) = operation(*route, &mut schemas, problem.as_ref());
        paths.add_path_operation(route.path(), vec![method], operation);
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title(TAG)
                .description(Some(ABOUT))
                .version(env!("CARGO_PKG_VERSION")),
        )
        .tags(Some([TagBuilder::new().name(TAG).description(Some(ABOUT)).build()]))
        .paths(paths)
        .components(Some(ComponentsBuilder::new().schemas_from_iter(schemas.0).build()))
        .build()
}

fn operation(
    route: KeyRoute,
    schemas: &mut Schemas,
    problem: Option<&Ref>,
) -> (HttpMethod, Operation) {
    let draft = |id: &str, summary: &str| {
        let operation = OperationBuilder::new().tag(TAG).summary(Some(summary));
        Draft { operation: operation.operation_id(Some(id)), problem: problem.cloned() }
    };
    match route {
        KeyRoute::List => {
            let answer = schemas.add::<Page>();
            let draft = draft("listApiKeys", "List API keys, the newest first")
                .says("Returns a page of the keys that the caller may see, without their secrets.")
                .answer("200", "A page of keys", answer)
                .refuses(&[]);
            (HttpMethod::Get, draft.parameters(list_parameters()))
        }
        KeyRoute::Create => {
            let (body, answer) = (schemas.add::<CreateKey>(), schemas.add::<New<'_>>());
            let draft = draft("createApiKey", "Create an API key")
                .says("Issues a key. Only this answer has its secret.")
                .body(body, Required::True)
                .answer("201", "The key with its secret", answer)
                .refuses(&["408", "409", "413", "415", "422"]);
            (HttpMethod::Post, draft.parameters([once()]))
        }
        KeyRoute::Show => {
            let answer = schemas.add::<One>();
            let draft = draft("getApiKey", "Get an API key")
                .says("Returns one key, without its secret.")
                .answer("200", "The key", answer)
                .refuses(&["404"]);
            (HttpMethod::Get, draft.parameters([key_id()]))
        }
        KeyRoute::Update => {
            let (body, answer) = (schemas.add::<UpdateKey>(), schemas.add::<One>());
            let draft = draft("updateApiKey", "Change an API key")
                .says("Changes the fields that are in the body. Other fields stay as they are.")
                .body(body, Required::True)
                .answer("200", "The key after the change", answer)
                .refuses(&["404", "408", "409", "413", "415", "422"]);
            (HttpMethod::Patch, draft.parameters([key_id()]))
        }
        KeyRoute::Revoke => {
            let answer = schemas.add::<Revoked>();
            let draft = draft("revokeApiKey", "Revoke an API key")
                .says("Revokes a key. This cannot be undone. A key that is revoked already stays as it is.")
                .answer("200", "The key is revoked", answer)
                .refuses(&["404"]);
            (HttpMethod::Delete, draft.parameters([key_id(), with_successors()]))
        }
        KeyRoute::Rotate => {
            let (body, answer) = (schemas.add::<RotateKey>(), schemas.add::<New<'_>>());
            let draft = draft("rotateApiKey", "Replace an API key by a successor")
                .says("Issues a key with the same settings. The old key works for another `grace_seconds`.")
                .body(body, Required::False)
                .answer("201", "The successor with its secret", answer)
                .refuses(&["404", "408", "409", "413", "415", "422"]);
            (HttpMethod::Post, draft.parameters([key_id()]))
        }
        KeyRoute::Audit => {
            let answer = schemas.add::<Events>();
            let draft = draft("listApiKeyEvents", "List the changes of a key, the newest first")
                .says("Returns a page of the changes of the key, with their actors.")
                .answer("200", "A page of changes", answer)
                .refuses(&["404", "501"]);
            let [limit, cursor, ..] = list_parameters();
            (HttpMethod::Get, draft.parameters([key_id(), limit, cursor]))
        }
        KeyRoute::Usage => {
            let answer = schemas.add::<Used>();
            let draft = draft("getApiKeyUsage", "Get the usage of an API key")
                .says("Returns how many requests of the key were accepted and refused, by the hour, day or month.")
                .answer("200", "The hours, days or months with requests", answer)
                .refuses(&["404"]);
            let [from, to, bucket] = usage_parameters();
            (HttpMethod::Get, draft.parameters([key_id(), from, to, bucket]))
        }
    }
}

/// An operation, and the schema of its errors.
struct Draft {
    operation: OperationBuilder,
    problem: Option<Ref>,
}

impl Draft {
    fn says(mut self, description: &str) -> Self {
        self.operation = self.operation.description(Some(description));
        self
    }

    fn body(mut self, schema: Ref, required: Required) -> Self {
        let content = Content::new(Some(schema));
        let body = RequestBodyBuilder::new().content("application/json", content);
        self.operation = self.operation.request_body(Some(body.required(Some(required)).build()));
        self
    }

    fn answer(mut self, status: &str, description: &str, schema: Ref) -> Self {
        let mut response = ResponseBuilder::new()
            .description(description)
            .content("application/json", Content::new(Some(schema)))
            .header("Cache-Control", text_header());
        if status == "201" {
            response = response.header("Location", text_header());
        }
        self.operation = self.operation.response(status, response);
        self
    }

    /// Adds errors, besides those that all operations have.
    fn refuses(mut self, statuses: &[&str]) -> Self {
        for status in statuses.iter().copied().chain(["400", "401", "403", "503"]) {
            let description = match status {
                "400" => "The request cannot be read, or has two keys",
                "401" => "The caller is not authenticated",
                "403" => "The caller may not do this, or would grant more than it has",
                "404" => "There is no such key",
                "408" => "The body did not arrive in time",
                "409" => {
                    "The key is revoked or was rotated already, its tenant is suspended, the same request \
                     has issued a key before, or the limit of keys is reached"
                }
                "413" => "The body is too long",
                "415" => "The body is not JSON",
                "422" => "A field is unknown, missing or wrong",
                "501" => "This server keeps no audit log",
                _ => "The store of keys is not available at the moment",
            };
            let mut response = ResponseBuilder::new()
                .description(description)
                .header("Cache-Control", text_header());
            // The application, which identifies callers, has answers of its own.
            if status != "401"
                && let Some(problem) = self.problem.clone()
            {
                response =
                    response.content("application/problem+json", Content::new(Some(problem)));
            }
            response = match status {
                "401" | "403" => response.header("WWW-Authenticate", text_header()),
                "503" => response.header("Retry-After", text_header()),
                _ => response,
            };
            self.operation = self.operation.response(status, response);
        }
        self
    }

    fn parameters(self, parameters: impl IntoIterator<Item = Parameter>) -> Operation {
        self.operation.parameters(Some(parameters)).build()
    }
}

fn text_header() -> Header {
    Header::new(ObjectBuilder::new().schema_type(Type::String))
}

fn key_id() -> Parameter {
    ParameterBuilder::new()
        .name(KEY_ID)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The public id of a key"))
        .example(Some("key_123".into()))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn parameter(name: &str, description: &str, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn with_successors() -> Parameter {
    let flag = ObjectBuilder::new().schema_type(Type::Boolean).default(Some(false.into()));
    parameter(WITH_SUCCESSORS, "Revoke the keys that replaced it, too", flag)
}

fn once() -> Parameter {
    let name = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    ParameterBuilder::new()
        .name(IDEMPOTENCY_KEY.as_str())
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Names the request: if it is repeated, no second key is issued"))
        .example(Some("\"8e03978e-40d5-43e8-bc93-6894a57f9324\"".into()))
        .schema(Some(
            name.max_length(Some(MAX_LENGTH))
                .pattern(Some(r#"^("[ !#-\[\]-~]+"|[!#-+\--:<-\[\]-~]+)$"#)),
        ))
        .build()
}

const CURSOR: &str = "The `next_cursor` of the page before, which may have had fewer keys than it may, \
                      or none: a page looks at some thousands of keys at most";

const NAME: &str =
    "Only keys whose names have this text in them; `A` to `Z` are the same as `a` to `z`";

/// What an actor looks like; of its name, all characters can be seen.
const ACTOR: &str = "^(system|key:[A-Za-z0-9_.-]{1,128}|name:.{1,256})$";

const CREATED_BY: &str = "Only keys that this actor issued: `system`, `key:` and the id of a key, or \
                          `name:` and a name";

fn list_parameters() -> [Parameter; 9] {
    let limit = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(MAX_LIMIT))
        .default(Some(DEFAULT_LIMIT.into()));
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let time = || text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let name = text().min_length(Some(1)).max_length(Some(MAX_NAME));
    let stage = text().pattern(Some("^[A-Za-z0-9_.-]+$")).max_length(Some(128));
    let kind = text().enum_values(Some(KINDS.map(|kind| kind.to_string())));
    let state = text().enum_values(Some(KeyState::ALL.map(KeyState::as_str)));
    [
        parameter("limit", "The largest number of items of a page", limit),
        parameter("cursor", CURSOR, text()),
        parameter("state", "Only keys in this state", state),
        parameter("name", NAME, name),
        parameter("stage", "Only keys of this stage", stage),
        parameter("kind", "Only keys of this kind", kind),
        parameter("created_by", CREATED_BY, text().pattern(Some(ACTOR))),
        parameter("unused_since", "Only keys that were neither used nor issued since then", time()),
        parameter("rotation_due_by", "Only keys that should be replaced by then", time()),
    ]
}

fn usage_parameters() -> [Parameter; 3] {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let time = || {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        text().format(Some(format))
    };
    let from = format!("The start of the range; by default {DEFAULT_DAYS} days before its end");
    let bucket = text()
        .enum_values(Some(UsagePeriod::ALL.map(UsagePeriod::as_str)))
        .default(Some(UsagePeriod::Day.as_str().into()));
    [
        parameter("from", &from, time()),
        parameter("to", "The end of the range; by default now", time()),
        parameter("bucket", "The length of the periods, in UTC", bucket),
    ]
}

/// The schemas that operations name.
#[derive(Default)]
struct Schemas(Vec<(String, RefOr<Schema>)>);

impl Schemas {
    fn add<T: ToSchema>(&mut self) -> Ref {
        T::schemas(&mut self.0);
        self.0.push((T::name().into_owned(), T::schema()));
        Ref::from_schema_name(T::name())
    }
}

/// An error (RFC 9457).
#[derive(ToSchema)]
#[schema(as = ApiKeyProblem)]
#[expect(dead_code, reason = "it stands for its schema")]
struct Problem {
    #[schema(example = "about:blank")]
    r#type: String,
    title: String,
    status: u16,
    /// What is wrong.
    detail: String,
    /// The wrong field or parameter; the first if there are several.
    #[schema(nullable = false)]
    field: Option<String>,
    /// All wrong fields of the body, or all wrong parameters.
    #[schema(nullable = false, max_items = 40)]
    errors: Option<Vec<FieldProblem>>,
    /// The id of the key that the same request has issued before.
    #[schema(nullable = false)]
    key_id: Option<String>,
}

/// A wrong field or parameter.
#[derive(ToSchema)]
#[schema(as = ApiKeyFieldProblem)]
#[expect(dead_code, reason = "it stands for its schema")]
struct FieldProblem {
    /// Its name, unless that might be a secret in the wrong place.
    #[schema(nullable = false)]
    field: Option<String>,
    /// What is wrong with it.
    detail: String,
}
