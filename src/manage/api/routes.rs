//! [`KeyRoutes`]: the router of the management API.

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

/// Builds an axum router with which owners manage their keys over HTTP.
///
/// The [module](crate::manage::api) lists the routes and their answers.
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
/// assert!(app.has_routes());
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

/// Converts errors to the answers of the application.
type Errors = dyn Fn(&ApiError) -> http::Response<Bytes> + Send + Sync;

impl KeyRoutes {
    /// Creates all routes for the keys of a manager. `owner` identifies the caller of each request.
    ///
    /// Every request acts [on behalf](KeyManager::on_behalf_of) of its owner, even if `keys` may do everything.
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
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::manage::api::{KeyOwner, KeyRoute, KeyRoutes};
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let routes = KeyRoutes::new(keys, KeyOwner::default()).without([KeyRoute::Audit]);
    /// assert!(!routes.openapi().paths.paths.contains_key(KeyRoute::Audit.path()));
    /// ```
    pub fn without(mut self, routes: impl IntoIterator<Item = KeyRoute>) -> Self {
        for left_out in routes {
            self.routes.retain(|route| *route != left_out);
        }
        self
    }

    /// Keeps only these routes.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::manage::api::{KeyOwner, KeyRoute, KeyRoutes};
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let routes = KeyRoutes::new(keys, KeyOwner::default()).only([KeyRoute::List]);
    /// assert_eq!(routes.openapi().paths.paths.len(), 1);
    /// ```
    pub fn only(mut self, routes: impl IntoIterator<Item = KeyRoute>) -> Self {
        let only: Vec<_> = routes.into_iter().collect();
        self.routes.retain(|route| only.contains(route));
        self
    }

    /// Sets a function that converts errors to answers in the application's own form.
    ///
    /// The router adds `Cache-Control`, and `Retry-After` to an answer with 503 that has none.
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
    /// // The document no longer has the schema of the built-in errors.
    /// let schemas = routes.openapi().components.unwrap().schemas;
    /// assert!(!schemas.contains_key("ApiKeyProblem"));
    /// ```
    pub fn errors<F>(mut self, answer: F) -> Self
    where
        F: Fn(&ApiError) -> http::Response<Bytes> + Send + Sync + 'static,
    {
        self.errors = Some(Arc::new(answer));
        self
    }

    /// Sets the largest size of a body in bytes. A longer one is answered with 413. By default, it is 64 KiB.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.bodies.max_length = bytes;
        self
    }

    /// Sets how long a body may take to arrive. One that takes longer is answered with 408. By default, it is
    /// 10 seconds.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.bodies.timeout = timeout;
        self
    }

    /// Sets how many bodies the router and its clones read at the same time. By default, it is 256.
    ///
    /// Bodies are read before the caller is identified. If there is one more, the oldest is answered with 503,
    /// so that clients that never end their bodies delay only slow ones. Requests without a body, such as a
    /// `DELETE`, do not count.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::manage::api::{KeyOwner, KeyRoutes};
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let routes = KeyRoutes::new(keys, KeyOwner::default())
    ///     .body_limit(16 * 1024)
    ///     .body_timeout(Duration::from_secs(5))
    ///     .bodies_in_flight(64);
    /// assert!(format!("{routes:?}").contains("max_length: 16384"));
    /// ```
    pub fn bodies_in_flight(mut self, at_most: usize) -> Self {
        self.bodies.max_in_flight = at_most;
        self
    }

    /// Returns the OpenAPI 3.1 document of the routes.
    ///
    /// Its paths are those of the router. [`OpenApi::nest`] adds the path under which the router is nested. The
    /// application adds its security scheme.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::manage::api::{KeyOwner, KeyRoutes};
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// let routes = KeyRoutes::new(KeyManager::new(MemoryStore::new()), KeyOwner::default());
    /// let paths = routes.openapi().paths.paths;
    /// assert!(paths["/api-keys/{key_id}"].delete.is_some());
    /// ```
    #[must_use]
    pub fn openapi(&self) -> OpenApi {
        openapi::document(&self.routes, self.errors.is_none())
    }

    /// Builds the router.
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

    /// Answers a request.
    ///
    /// The whole body is read before the caller is identified. Otherwise, a caller could lose its rights while
    /// its body arrives, and the request would still be made. Errors of the body are returned afterwards.
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

/// Makes an axum handler of the function of a route.
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

/// Keeps every answer out of caches, including those of the application and of axum.
async fn no_store(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}
