//! [`BindSession`]: sessions that belong to the key that opened them.

mod future;
mod onlooker;
mod sessions;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderName, Method, Request, Response};
use http_body::Body;
use tower::Service;
use tower_layer::Layer;

pub use self::future::BindSessionFuture;
use self::future::Binding;
use self::sessions::{Bounds, SessionId, Sessions};
use super::Guard;
use super::layer::{admit, rejector};
use crate::body::ResponseBody;
use crate::head::RequestHead;
use crate::reject::{Rejection, RejectionKind};
use crate::valid::valid;
use crate::verify::VerifiedKey;

/// Binds sessions to the key that opened them, for servers that name a session in a header, such as
/// Model Context Protocol (MCP) servers over streamable HTTP.
///
/// Without it, every key that knows the id of a session can call, listen and delete in that session.
/// With it:
///
/// 1. A session belongs to the key of the request whose response is the first with the id in the
///    header.
/// 2. A request with the id passes only with that key. Any other request gets a 404, as for an unknown
///    session. MCP clients then open a new one.
/// 3. A session is forgotten when its `DELETE` is answered with success or 404, and when its key is
///    revoked, is removed or expires.
///
/// A [rotated](crate::KeyManager::rotate) key passes its sessions on to its successor: both have the
/// same [`KeyRecord::counted_id`](crate::KeyRecord::counted_id). No layer accepts a key that has ended,
/// so its sessions cannot be used. They are forgotten when the layer [learns of the
/// end](crate::guide::streams): at once while streams are open, and otherwise within half a minute if
/// the store does not report changes.
///
/// Requests that name no session pass. Version 2026-07-28 of MCP has no sessions; servers such as rmcp
/// 3.11 open them only for clients of older versions.
///
/// Mount it inside an [`ApiKeyLayer`](crate::ApiKeyLayer) and outside the service that opens the
/// sessions. Like guards on routes, it refuses requests without a key. Clones share their sessions.
///
/// # Bounds
///
/// A process remembers up to 65 536 sessions, and up to 1024 of one key, in less than a kilobyte each.
/// Beyond that it forgets the sessions that were unused for longest, first those of the key that opens
/// the new one. A forgotten session is unknown, also to its own key: its client gets a 404 and opens a
/// new one. A session is also unknown after a restart and on another node. Route its client to the node
/// that opened the session, as most servers with sessions require anyway.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::any};
/// use tower_api_key::guard::BindSession;
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// # let mcp = any(|| async { "…" });
/// let app: Router = Router::new()
///     .route("/mcp", mcp.layer(BindSession::new("mcp-session-id")))
///     .layer(ApiKeyLayer::new(MemoryStore::new()));
/// ```
#[derive(Clone)]
#[must_use]
pub struct BindSession {
    header: HeaderName,
    sessions: Arc<Sessions>,
}

impl BindSession {
    /// Binds sessions whose id is in the header `name` of requests and responses.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a header name.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::guard::BindSession;
    ///
    /// let sessions = BindSession::new("mcp-session-id");
    /// assert_eq!(sessions.sessions(), 0);
    /// ```
    #[track_caller]
    pub fn new<N>(name: N) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
    {
        let header = valid(name.try_into());
        let bounds = Bounds { all: 65_536, per_key: 1024 };
        Self { header, sessions: Arc::new(Sessions::new(bounds)) }
    }

    /// Sets how many sessions are remembered. The default is 65 536.
    ///
    /// # Panics
    ///
    /// Panics if it is 0, because no session would work.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::guard::BindSession;
    ///
    /// let binds = BindSession::new("mcp-session-id").max_sessions(10_000);
    /// assert!(format!("{binds:?}").contains("10000"));
    /// ```
    pub fn max_sessions(self, all: usize) -> Self {
        self.with(|bounds| bounds.all = all)
    }

    /// Sets how many sessions of one key are remembered. The default is 1024.
    ///
    /// # Panics
    ///
    /// Panics if it is 0, because no session would work.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::guard::BindSession;
    ///
    /// let binds = BindSession::new("mcp-session-id").max_sessions_per_key(10);
    /// assert!(format!("{binds:?}").contains("10"));
    /// ```
    pub fn max_sessions_per_key(self, per_key: usize) -> Self {
        self.with(|bounds| bounds.per_key = per_key)
    }

    /// Returns the number of remembered sessions.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, Response};
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_api_key::guard::BindSession;
    /// use tower_api_key::testing::ActAs;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    /// # use std::convert::Infallible;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let binds = BindSession::new("mcp-session-id");
    /// let opens = service_fn(async |_: Request<String>| {
    ///     let response = Response::builder().header("mcp-session-id", "the first");
    ///     Ok::<_, Infallible>(response.body(String::new()).unwrap())
    /// });
    /// let server = (keys.layer(), binds.clone()).layer(opens);
    /// let agent = ActAs::new(&keys, NewKey::named("agent")).await?;
    /// agent.layer(server).oneshot(Request::new(String::new())).await?;
    /// assert_eq!(binds.sessions(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    fn with(mut self, set: impl FnOnce(&mut Bounds)) -> Self {
        let mut bounds = self.sessions.bounds();
        set(&mut bounds);
        assert!(
            bounds.all > 0 && bounds.per_key > 0,
            "the bound of sessions must be at least 1: with 0, no session works"
        );
        // Clones that were made before keep their sessions.
        self.sessions = Arc::new(Sessions::new(bounds));
        self
    }
}

/// The half of [`BindSession`] that sees requests. It is private, because it knows no session without
/// the other half.
struct OwnSession<'a>(&'a BindSession);

impl Guard for OwnSession<'_> {
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        let BindSession { header, sessions } = self.0;
        match SessionId::named(head.headers(), header) {
            Ok(None) => Ok(()),
            Ok(Some(id)) if sessions.is_of(id, key.record().counted_id()) => Ok(()),
            _ => Err(RejectionKind::UnknownSession.into()),
        }
    }
}

impl<S> Layer<S> for BindSession {
    type Service = BindSessionService<S>;

    fn layer(&self, inner: S) -> BindSessionService<S> {
        BindSessionService { inner, binds: self.clone() }
    }
}

impl fmt::Debug for BindSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bounds { all, per_key } = self.sessions.bounds();
        f.debug_struct("BindSession")
            .field("header", &self.header)
            .field("max_sessions", &all)
            .field("max_sessions_per_key", &per_key)
            .finish()
    }
}

/// Accepts requests in a session only with the key that opened it. Made by [`BindSession`].
#[derive(Clone, Debug)]
pub struct BindSessionService<S> {
    inner: S,
    binds: BindSession,
}

impl<S, B, ResBody> Service<Request<B>> for BindSessionService<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    B: Body + Send + 'static,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = BindSessionFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let head = RequestHead::with_known_body(&request);
        match admit(&OwnSession(&self.binds), &head).cloned() {
            Ok(key) => {
                let BindSession { header, sessions } = self.binds.clone();
                let ends = match *request.method() {
                    Method::DELETE => SessionId::named(request.headers(), &header).ok().flatten(),
                    _ => None,
                };
                let binding = Binding { sessions, header, key, ends };
                BindSessionFuture::forward(self.inner.call(request), binding)
            }
            Err(response) => {
                // The ready service is not called: a fresh clone takes its place, and its reserved
                // capacity becomes free.
                self.inner = self.inner.clone();
                let drain = rejector(request.extensions()).drain;
                BindSessionFuture::rejected(drain.refuse(request, response))
            }
        }
    }
}

#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService> tonic::server::NamedService for BindSessionService<S> {
    const NAME: &'static str = S::NAME;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the bound of sessions must be at least 1")]
    fn a_bound_of_nothing_is_refused() {
        let _ = BindSession::new("mcp-session-id").max_sessions_per_key(0);
    }

    #[test]
    fn debug_shows_the_bounds() {
        let binds = BindSession::new("mcp-session-id").max_sessions(9).max_sessions_per_key(3);
        assert_eq!(
            format!("{binds:?}"),
            "BindSession { header: \"mcp-session-id\", max_sessions: 9, max_sessions_per_key: 3 }"
        );
    }
}
