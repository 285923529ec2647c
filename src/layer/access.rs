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
    #[cfg(feature = "policy")]
    pub fn policy(self, policy: AccessPolicy) -> Self {
        self.with(|gate| gate.policy = Some(policy))
    }

    /// Adds a guard for every request with a key, after those added before.
    ///
    /// If keys are [`optional`](Self::optional), the layer does not check guards for requests without a
    /// key: a guard of the layer says what a key must be, not that a key is required.
    pub fn guard(self, guard: impl Guard + 'static) -> Self {
        self.with(|gate| gate.guards.push(Arc::new(guard)))
    }

    /// Accepts requests without a credential. They have no [`VerifiedKey`](crate::VerifiedKey).
    ///
    /// A wrong credential is still refused. Guards on routes refuse requests without a key.
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
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new())
    ///     .unless(|head| head.extensions().get::<User>().is_some());
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
    /// A tonic server:
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, Protocol};
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).protocol(Protocol::Grpc);
    /// ```
    pub fn protocol(self, protocol: Protocol) -> Self {
        self.with(|gate| Arc::make_mut(&mut gate.rejector).protocol = protocol)
    }

    /// Sets the proxies that are trusted to name the client, such as in `X-Forwarded-For`. By default
    /// there are none: the client is the peer of the socket.
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        self.with(|gate| {
            Arc::make_mut(&mut gate.rejector).log.proxies = proxies.clone();
            gate.proxies = proxies;
        })
    }
}
