//! [`KeyRoutes`]: which routes there are, and the way of a request to them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{delete, get, patch, post};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use utoipa::openapi::OpenApi;

use super::bodies::Bodies;
use super::body::RequestBody;
use super::unread::drain_unread;
use super::{ApiError, IdentifyOwner, KeyAction, KeyRoute, handlers, openapi};
use crate::manage::KeyManager;

/// Makes the router by which owners manage their keys.
///
/// See [the module](crate::manage::api) for the routes and their answers.
///
/// # Examples
///
/// ```
/// use axum::Router;
/// use tower_api_key::manage::api::{KeyOwner, KeyRoute, KeyRoutes};
/// use tower_api_key::{KeyManager, MemoryStore};
///
/// let keys = KeyManager::new(MemoryStore::new());
/// let routes = KeyRoutes::new(keys.clone(), KeyOwner::default())
///     // Keys are created in the dashboard, not over the API.
///     .without([KeyRoute::Create]);
/// let app: Router = Router::new().nest("/v1", routes.into_router()).layer(keys.layer());
/// ```
#[derive(Clone)]
#[must_use]
pub struct KeyRoutes {
    routes: Vec<KeyRoute>,
    keys: KeyManager,
    owner: Arc<dyn IdentifyOwner>,
    errors: Option<Arc<Errors>>,
    bodies: Bodies,
}

/// Answers errors in the shape of an application.
type Errors = dyn Fn(&ApiError) -> http::Response<Bytes> + Send + Sync;

impl KeyRoutes {
    /// Makes all routes, over the keys of a manager, for those whom `owner` identifies.
    ///
    /// Every request is done [on behalf](KeyManager::on_behalf_of) of its owner, whatever `keys`
    /// may do.
    pub fn new(keys: KeyManager, owner: impl IdentifyOwner + 'static) -> Self {
        Self {
            routes: KeyRoute::ALL.into(),
            keys,
            owner: Arc::new(owner),
            errors: None,
            bodies: Bodies::default(),
        }
    }

    /// Leaves routes out.
    pub fn without(mut self, routes: impl IntoIterator<Item = KeyRoute>) -> Self {
        for left_out in routes {
            self.routes.retain(|route| *route != left_out);
        }
        self
    }

    /// Leaves out all but these routes.
    pub fn only(mut self, routes: impl IntoIterator<Item = KeyRoute>) -> Self {
        let only: Vec<_> = routes.into_iter().collect();
        self.routes.retain(|route| only.contains(route));
        self
    }

    /// Answers errors in the application's own shape.
    ///
    /// `Cache-Control` and, where it is missing, `Retry-After` are added.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Response;
    /// use tower_api_key::manage::api::{ApiError, KeyOwner, KeyRoutes};
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// fn as_text(error: &ApiError) -> Response<Bytes> {
    ///     let mut response = Response::new(error.to_string().into());
    ///     *response.status_mut() = error.status();
    ///     response
    /// }
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let routes = KeyRoutes::new(keys, KeyOwner::default()).errors(as_text);
    /// ```
    pub fn errors<F>(mut self, answer: F) -> Self
    where
        F: Fn(&ApiError) -> http::Response<Bytes> + Send + Sync + 'static,
    {
        self.errors = Some(Arc::new(answer));
        self
    }

    /// Sets how many bytes a body has at most. A longer one is answered with 413. By default, 64 KiB.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.bodies.max_length = bytes;
        self
    }

    /// Sets how long a body may take to come. One that takes longer is answered with 408. By default,
    /// 10 seconds.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.bodies.timeout = timeout;
        self
    }

    /// Sets how many bodies are read at once, by the router and its clones. By default, 256.
    ///
    /// A body is read before it is known who calls. When there is one more, the oldest of them is
    /// answered with 503, so that clients who never end their bodies are in the way of slow ones at
    /// worst. Requests without a body, such as a `DELETE`, are not counted.
    pub fn bodies_in_flight(mut self, at_most: usize) -> Self {
        self.bodies.max_in_flight = at_most;
        self
    }

    /// Describes the routes that there are by OpenAPI 3.1.
    ///
    /// The paths are those of the router: [`OpenApi::nest`] puts the document where the router is.
    /// How callers say who they are is left to the application to add.
    #[must_use]
    pub fn openapi(&self) -> OpenApi {
        openapi::document(&self.routes, self.errors.is_none())
    }

    /// Makes the router.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let api = Arc::new(self);
        let mut router = Router::new();
        for &route in &api.routes {
            let methods = match route {
                KeyRoute::List => get(handler(&api, route, handlers::list)),
                KeyRoute::Create => post(handler(&api, route, handlers::create)),
                KeyRoute::Show => get(handler(&api, route, handlers::show)),
                KeyRoute::Update => patch(handler(&api, route, handlers::update)),
                KeyRoute::Revoke => delete(handler(&api, route, handlers::revoke)),
                KeyRoute::Rotate => post(handler(&api, route, handlers::rotate)),
                KeyRoute::Audit => get(handler(&api, route, handlers::audit)),
                KeyRoute::Usage => get(handler(&api, route, handlers::usage)),
            };
            router = router.route(route.path(), methods);
        }
        let drain_unread = axum::middleware::from_fn(drain_unread);
        router.layer(drain_unread).layer(axum::middleware::map_response(no_store))
    }

    /// Takes the way of every request.
    ///
    /// All of it is there before is asked who calls: whoever might be deprived of it meanwhile
    /// would finish the body afterwards. But nothing of the body is told before.
    async fn answer<Handled>(
        &self,
        route: KeyRoute,
        request: Request,
        handle: impl FnOnce(KeyManager, Parts, RequestBody) -> Handled,
    ) -> Response
    where
        Handled: Future<Output = handlers::Result>,
    {
        let (mut parts, body) = request.into_parts();
        let body = if route.has_body() { self.bodies.read(body).await } else { Ok(Bytes::new()) };
        let action = match handlers::key_id(&mut parts).await {
            Ok(id) if route.is_for_one_key() => KeyAction::on(route, id),
            _ => KeyAction::new(route),
        };
        let owner = match self.owner.identify(&mut parts, &action).await {
            Ok(owner) => owner,
            Err(refused) => return refused.into_inner(),
        };
        let keys = self.keys.on_behalf_of(owner);
        match handle(keys, parts, RequestBody(body)).await {
            Ok(response) => response,
            Err(error) => self.refuse(&error),
        }
    }

    fn refuse(&self, error: &ApiError) -> Response {
        let mut response = match &self.errors {
            Some(answer) => answer(error),
            None => error.to_problem(),
        };
        if error.status() == StatusCode::SERVICE_UNAVAILABLE {
            let soon = HeaderValue::from_static("1");
            response.headers_mut().entry(header::RETRY_AFTER).or_insert(soon);
        }
        response.map(Body::from)
    }
}

impl fmt::Debug for KeyRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRoutes")
            .field("routes", &self.routes)
            .field("keys", &self.keys)
            .field("bodies", &self.bodies)
            .finish_non_exhaustive()
    }
}

/// Makes a handler of what a route does.
fn handler<F, Handled>(
    api: &Arc<KeyRoutes>,
    route: KeyRoute,
    handle: F,
) -> impl Fn(Request) -> BoxFuture<'static, Response> + Clone + Send + Sync + 'static
where
    F: Fn(KeyManager, Parts, RequestBody) -> Handled + Copy + Send + Sync + 'static,
    Handled: Future<Output = handlers::Result> + Send + 'static,
{
    let api = Arc::clone(api);
    move |request| {
        let api = Arc::clone(&api);
        Box::pin(async move { api.answer(route, request, handle).await })
    }
}

/// Keeps every answer out of caches, also those that the application or axum gives.
async fn no_store(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}
