//! Which requests a layer lets pass, and what a key must be.

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
    /// If keys are [`optional`](Self::optional), the layer does not check guards for requests without a key: a
    /// guard of the layer says what a key must be, not that there must be one.
    pub fn guard(self, guard: impl Guard + 'static) -> Self {
        self.with(|gate| gate.guards.push(Arc::new(guard)))
    }

    /// Lets requests without a credential pass, without a [`VerifiedKey`](crate::VerifiedKey).
    ///
    /// The layer refuses a wrong credential all the same. Guards on routes refuse requests without a key.
    pub fn optional(self) -> Self {
        self.with(|gate| gate.optional = true)
    }

    /// Lets requests without a key pass if `condition` holds, which looks at what an outer layer left in the
    /// extensions of the request: those that something else authenticated.
    ///
    /// They pass without a [`VerifiedKey`](crate::VerifiedKey), as they do where keys are [`optional`](Self::optional), and the
    /// layer refuses others without a key. The condition is not asked for requests with a key, which are
    /// judged by the key. With a policy, they pass to all routes that it lists: what they may do there is for
    /// the application to say. Guards on routes refuse them, unless they are told
    /// [the same](Guard::unless).
    ///
    /// A bearer token of a session needs an extractor that
    /// [leaves it to others](crate::extract::Bearer::starting_with).
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
    /// 2. without a body, and without headers that speak of one: no `Content-Type`, no
    ///    `Transfer-Encoding`, no `Content-Length` but 0;
    /// 3. without `Upgrade` and without a header such as `X-HTTP-Method-Override`;
    /// 4. without a credential: one that has a credential is judged like any request;
    /// 5. if there is a policy, to a path for which it has a rule for the method that the browser
    ///    asks for.
    ///
    /// Any other `OPTIONS` needs a key. The inner service sees preflights without a key, so it must not
    /// treat an `OPTIONS` as another method, as gRPC servers do. It is better to mount the CORS layer
    /// outside of this one, which answers preflights before they come here.
    pub fn forward_preflight(self) -> Self {
        self.with(|gate| gate.forward_preflight = true)
    }

    /// Sets the protocol of the services within. The default is HTTP, gRPC or both.
    ///
    /// Guards on routes, the extractor and the management API use it for their refusals, too. In a server
    /// that speaks both, [`RequirePost`](crate::guard::RequirePost) guards the gRPC services.
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

    /// Sets the proxies whose headers name the client, such as `X-Forwarded-For`. By default none: the
    /// client is at the other end of the socket.
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        self.with(|gate| {
            Arc::make_mut(&mut gate.rejector).log.proxies = proxies.clone();
            gate.proxies = proxies;
        })
    }
}
