//! The rules for gRPC of an [`AccessPolicyBuilder`].

use super::rule::Access;
use super::{AccessPolicyBuilder, Requirement};

const HEALTH: &str = "grpc.health.v1.Health/*";
const REFLECTION: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection/*", "grpc.reflection.v1alpha.ServerReflection/*"];

impl AccessPolicyBuilder {
    /// Adds a gRPC method, such as `acme.v1.Bots/List`, or all of a service: `acme.v1.Bots/*`.
    ///
    /// They are called by `POST` only: a rule that lets another method reach them is a mistake. For the
    /// policy, gRPC methods without such a rule are ordinary endpoints. If rules for `GET` cover their
    /// paths, mount [`RequirePost`](crate::guard::RequirePost), which keeps `GET` from calling them.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Method;
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::NewKey;
    ///
    /// let policy = AccessPolicy::builder()
    ///     .allow_grpc("acme.v1.Bots/List", Requirement::ability("bots:read"))
    ///     .build()?;
    /// let key = verified_key(NewKey::named("reader").abilities(["bots:read"]));
    /// let allows = |method| policy.explain(Some(key.record()), method, "/acme.v1.Bots/List").is_allowed();
    /// assert!(allows(&Method::POST) && !allows(&Method::GET));
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn allow_grpc(self, method: &str, requirement: Requirement) -> Self {
        self.add(format!("POST /{method}"), Access::Key(requirement), true)
    }

    /// Adds a gRPC method, or all of a service, that needs no key, with the reason.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Method;
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    ///
    /// let policy = AccessPolicy::builder()
    ///     .public_grpc("acme.v1.Status/*", "clients ask before they log in")
    ///     .allow_grpc("acme.v1.Bots/*", Requirement::ability("bots:read"))
    ///     .build()?;
    /// let decides = |path| policy.explain(None, &Method::POST, path).to_string();
    /// assert_eq!(
    ///     decides("/acme.v1.Status/Get"),
    ///     "allowed (rule 1: POST /acme.v1.Status/* requires nothing)"
    /// );
    /// assert!(decides("/acme.v1.Bots/List").starts_with("refused: "));
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn public_grpc(self, method: &str, reason: &str) -> Self {
        let access = Access::Public { reason: reason.to_owned() };
        self.add(format!("POST /{method}"), access, true)
    }

    /// Adds the methods of gRPC's [health checks](https://grpc.io/docs/guides/health-checking/), and
    /// what they require of a key.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Method;
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    ///
    /// let policy =
    ///     AccessPolicy::builder().allow_grpc_health(Requirement::ability("health:check")).build()?;
    /// let decided = policy.explain(None, &Method::POST, "/grpc.health.v1.Health/Check");
    /// assert!(!decided.is_allowed());
    /// assert_eq!(decided.rule().unwrap().requirement().unwrap().to_string(), "health:check");
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn allow_grpc_health(self, requirement: Requirement) -> Self {
        self.allow_grpc(HEALTH, requirement)
    }

    /// Adds the methods of gRPC's [health checks](https://grpc.io/docs/guides/health-checking/) as
    /// public, with the reason.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Method;
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    ///
    /// let policy = AccessPolicy::builder()
    ///     .public_grpc_health("the load balancer asks without a key")
    ///     .allow_grpc("acme.v1.Bots/*", Requirement::ability("bots:read"))
    ///     .build()?;
    /// for method in ["Check", "List", "Watch"] {
    ///     let path = format!("/grpc.health.v1.Health/{method}");
    ///     assert!(policy.explain(None, &Method::POST, &path).is_allowed());
    /// }
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn public_grpc_health(self, reason: &str) -> Self {
        self.public_grpc(HEALTH, reason)
    }

    /// Adds the methods of gRPC's [reflection](https://grpc.io/docs/guides/reflection/), and what they
    /// require of a key. Older clients call `v1alpha`, newer ones `v1` first: both are added.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    ///
    /// let policy = AccessPolicy::builder()
    ///     .public_grpc_health("the load balancer asks without a key")
    ///     .allow_grpc_reflection(Requirement::ability("schema:read"))
    ///     .build()?;
    /// assert_eq!(policy.rules().len(), 3);
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn allow_grpc_reflection(self, requirement: Requirement) -> Self {
        let [v1, v1alpha] = REFLECTION;
        self.allow_grpc(v1, requirement.clone()).allow_grpc(v1alpha, requirement)
    }

    /// Adds the methods of gRPC's [reflection](https://grpc.io/docs/guides/reflection/) as public, with
    /// the reason. They show everyone which methods there are.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Method;
    /// use tower_api_key::policy::AccessPolicy;
    ///
    /// let policy =
    ///     AccessPolicy::builder().public_grpc_reflection("the methods are documented").build()?;
    /// for version in ["v1", "v1alpha"] {
    ///     let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    ///     assert!(policy.explain(None, &Method::POST, &path).is_allowed());
    /// }
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn public_grpc_reflection(self, reason: &str) -> Self {
        REFLECTION.into_iter().fold(self, |builder, service| builder.public_grpc(service, reason))
    }
}
