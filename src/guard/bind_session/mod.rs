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
use crate::verify::VerifiedKey;

/// Binds sessions to the key that opened them, for servers that name a session in a header, such as
/// those of the Model Context Protocol (MCP) over streamable HTTP.
///
/// Without it, every key that knows the id of a session can call, listen and delete in it. With it:
///
/// 1. A session belongs to the key of the request whose response first has its id in the header.
/// 2. A request with the id passes only with that key. Any other request gets a 404, as if there were
///    no such session, and as MCP has it: the client opens a new one.
/// 3. A session is forgotten when its `DELETE` is answered with success or 404, and when its key is
///    revoked or removed, or expires.
///
/// A [rotated](crate::KeyManager::rotate) key hands its sessions on to its successor: both are one
/// chain, [`KeyRecord::counted_id`](crate::KeyRecord::counted_id). A key that has ended passes no layer,
/// so nobody can use its sessions, whenever they are forgotten: with streams that are open, as the layer
/// [gets to know of the end](crate::guide::streams), and else within half a minute where the store does
/// not tell of changes.
///
/// What names no session passes: in version 2026-07-28 of MCP there are none, and servers such as rmcp 3.11
/// open them for clients of older versions only.
///
/// Mount it within an [`ApiKeyLayer`](crate::ApiKeyLayer) and around the service that opens the sessions. It
/// refuses requests without a key, as guards on routes do. Clones share what is remembered.
///
/// # Bounds
///
/// A process remembers up to 65 536 sessions, and up to 1024 of one key; less than a kilobyte each. Beyond
/// that it forgets those that were not used for the longest time, first of the key that opens the new one.
/// A session that is forgotten is unknown, also to its own key: its client gets a 404 and opens a new
/// one. So is every session after a restart, and on another node: clients have to come back to the node
/// that opened the session, as most servers with sessions need anyway.
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
    /// Binds sessions whose id is in the header `name`, of responses as of requests.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a header name.
    pub fn new<N>(name: N) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
    {
        let header = name.try_into().unwrap_or_else(|error| panic!("{error}"));
        let bounds = Bounds { all: 65_536, per_key: 1024 };
        Self { header, sessions: Arc::new(Sessions::new(bounds)) }
    }

    /// Sets how many sessions are remembered. The default is 65 536.
    ///
    /// # Panics
    ///
    /// Panics if it is 0: no session would work.
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
    /// Panics if it is 0: no session would work.
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

    /// Returns how many sessions are remembered.
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
        assert!(bounds.all > 0 && bounds.per_key > 0, "a bound of 0 sessions lets none work");
        // Clones that were made before keep what they remember.
        self.sessions = Arc::new(Sessions::new(bounds));
        self
    }
}

/// The half of [`BindSession`] that sees requests. It is no guard for users, since it would know no
/// session without the other half.
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

/// Lets requests into a session only with the key that opened it. Made by [`BindSession`].
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
                // The service was made ready and is not called: a fresh clone takes its place, so that
                // what it reserved is free for others.
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
    #[should_panic(expected = "a bound of 0 sessions lets none work")]
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
