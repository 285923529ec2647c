//! Settings of [`ApiKeyLayer`]: which requests pass, and what their keys must be.

use std::sync::Arc;

use super::ApiKeyLayer;
use crate::address::TrustedProxies;
use crate::guard::Guard;
use crate::head::RequestHead;
#[cfg(feature = "policy")]
use crate::policy::AccessPolicy;
use crate::protocol::Protocol;

impl ApiKeyLayer {
    /// Sets the access policy: one table of routes and what they require. A request to a route that is
    /// not in the table is refused.
    ///
    /// With a policy, even if keys are [`optional`](Self::optional), requests without a key pass only
    ///
    /// * to routes that the policy lists as public;
    /// * as [preflights](Self::forward_preflight) to paths that the policy has;
    /// * if the policy is [only tried](AccessPolicy::report_only).
    ///
    /// The policy also says which routes accept public keys. The layer checks it before the guards.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let policy = AccessPolicy::builder()
    ///     .public("GET /health", "for the load balancer")
    ///     .allow("GET /bots", Requirement::key())
    ///     .build()?;
    /// let layer = KeyManager::new(MemoryStore::new()).layer().policy(policy);
    ///
    /// let (mut parts, ()) = Request::get("/health").body(())?.into_parts();
    /// assert!(layer.verify(&mut parts).await.is_ok());
    /// let (mut parts, ()) = Request::get("/bots").body(())?.into_parts();
    /// assert!(layer.verify(&mut parts).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "policy")]
    pub fn policy(self, policy: AccessPolicy) -> Self {
        self.with(|gate| gate.policy = Some(policy))
    }

    /// Adds a guard for every request with a key, after those added before.
    ///
    /// If keys are [`optional`](Self::optional), the layer does not check guards for requests without a
    /// key: a guard of the layer says what a key must be, not that a key is required.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey, RejectionKind, RequireAbility};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("reporting").abilities(["reports:read"])).await?.secret;
    /// let layer = keys.layer().guard(RequireAbility::new("bots:read"));
    ///
    /// let request = Request::get("/bots").header("x-api-key", key.reveal()).body(())?;
    /// let refusal = layer.verify(&mut request.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.rejection().kind(), RejectionKind::MissingAbility);
    /// # Ok(())
    /// # }
    /// ```
    pub fn guard(self, guard: impl Guard + 'static) -> Self {
        self.with(|gate| gate.guards.push(Arc::new(guard)))
    }

    /// Accepts requests without a credential. They have no [`VerifiedKey`](crate::VerifiedKey): handlers of axum take
    /// an `Option<VerifiedKey>`.
    ///
    /// A wrong credential is still refused. Guards on routes refuse requests without a key.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = KeyManager::new(MemoryStore::new()).layer().optional();
    ///
    /// let request = Request::get("/").body(())?;
    /// assert!(layer.verify(&mut request.into_parts().0).await?.key().is_none());
    /// let wrong = Request::get("/").header("x-api-key", "wrong").body(())?;
    /// assert!(layer.verify(&mut wrong.into_parts().0).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn optional(self) -> Self {
        self.with(|gate| gate.optional = true)
    }

    /// Accepts requests without a key if `condition` holds. The condition reads what an outer layer
    /// left in the extensions of the request: use it for requests that something else authenticated.
    ///
    /// These requests have no [`VerifiedKey`](crate::VerifiedKey), as with [`optional`](Self::optional)
    /// keys. The layer refuses other requests without a key. A request with a key is judged by its key,
    /// and the condition is not called. With a policy, these requests pass to all routes that the
    /// policy lists: the application decides what they may do there. Guards on routes refuse them,
    /// unless the guards have [the same condition](Guard::unless).
    ///
    /// If the session is a bearer token, use an extractor that [leaves it to the other
    /// authenticator](crate::extract::Bearer::starting_with).
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// let layer = KeyManager::new(MemoryStore::new())
    ///     .layer()
    ///     .unless(|head| head.extensions().get::<User>().is_some());
    ///
    /// let mut request = Request::get("/").body(())?;
    /// assert!(layer.verify(&mut request.clone().into_parts().0).await.is_err());
    /// request.extensions_mut().insert(User("alice".to_owned())); // by an outer layer
    /// assert!(layer.verify(&mut request.into_parts().0).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn unless<F>(self, condition: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    {
        self.with(|gate| gate.unless = Some(Arc::new(condition)))
    }

    /// Forwards CORS preflights, which browsers send without credentials.
    ///
    /// A preflight is an `OPTIONS`
    ///
    /// 1. with one `Origin` and one `Access-Control-Request-Method`;
    /// 2. without a body, and without headers that announce one: no `Content-Type`, no
    ///    `Transfer-Encoding`, no `Content-Length` but 0;
    /// 3. without `Upgrade`, and without headers such as `X-HTTP-Method-Override`;
    /// 4. without a credential: one with a credential is judged like any request;
    /// 5. if there is a policy, to a path for which the policy has a rule for the method that the
    ///    browser asks for.
    ///
    /// Any other `OPTIONS` needs a key. The inner service sees preflights without a key, so it must not
    /// treat an `OPTIONS` as another method, as gRPC servers do. Prefer to mount the CORS layer outside
    /// of this one: it then answers preflights before they reach this layer.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{Router, body::Body};
    /// use http::{Request, StatusCode};
    /// use tower::ServiceExt;
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = KeyManager::new(MemoryStore::new()).layer().forward_preflight();
    /// let app = Router::new().fallback(|| async { StatusCode::NO_CONTENT }).layer(layer);
    ///
    /// let preflight = Request::options("/bots")
    ///     .header("origin", "https://shop.example")
    ///     .header("access-control-request-method", "GET");
    /// let response = app.clone().oneshot(preflight.body(Body::empty())?).await?;
    /// assert_eq!(response.status(), StatusCode::NO_CONTENT);
    /// let other = Request::options("/bots").body(Body::empty())?;
    /// assert_eq!(app.oneshot(other).await?.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(())
    /// # }
    /// ```
    pub fn forward_preflight(self) -> Self {
        self.with(|gate| gate.forward_preflight = true)
    }

    /// Sets the protocol of the inner services. The default is HTTP, gRPC or both.
    ///
    /// Guards on routes, the extractor and the management API use it for their refusals, too. In a
    /// server that speaks both, mount [`RequirePost`](crate::guard::RequirePost) on the gRPC services.
    ///
    /// # Examples
    ///
    /// A tonic server, whose methods are called by `POST` only:
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey, Protocol, RejectionKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a service")).await?.secret;
    /// let layer = keys.layer().protocol(Protocol::Grpc);
    ///
    /// let get = Request::get("/acme.Bots/List").header("x-api-key", key.reveal()).body(())?;
    /// let refusal = layer.verify(&mut get.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.rejection().kind(), RejectionKind::NotAllowed);
    /// # Ok(())
    /// # }
    /// ```
    pub fn protocol(self, protocol: Protocol) -> Self {
        self.with(|gate| Arc::make_mut(&mut gate.rejector).protocol = protocol)
    }

    /// Sets the proxies that are trusted to name the client, such as in `X-Forwarded-For`. By default
    /// there are none: the client is the peer of the socket.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey, PeerAddress, TrustedProxies};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("the office").addresses(["198.51.100.7"])).await?.secret;
    /// let layer = keys.layer().trusted_proxies(TrustedProxies::networks(["10.0.0.1"]));
    ///
    /// let request = Request::get("/")
    ///     .header("x-api-key", key.reveal())
    ///     .header("x-forwarded-for", "198.51.100.7")
    ///     .extension(PeerAddress("10.0.0.1:4711".parse()?))
    ///     .body(())?;
    /// assert!(layer.verify(&mut request.into_parts().0).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        self.with(|gate| {
            Arc::make_mut(&mut gate.rejector).log.proxies = proxies.clone();
            gate.proxies = proxies;
        })
    }
}
