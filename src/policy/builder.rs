//! [`AccessPolicyBuilder`]: builds an access policy, and finds its mistakes.

use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::grpc::other_methods_of_grpc;
use super::rule::Access;
use super::rules::{Methods, Rules};
use super::{AccessPolicy, PolicyError, PolicyProblem, Requirement, Rule};
use crate::guard::{OnReport, Report};
use crate::key::{Ability, AbilityCatalogue, EndpointPattern, METHODS, PathPattern, Segment};

const HEALTH: &str = "grpc.health.v1.Health/*";
const REFLECTION: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection/*", "grpc.reflection.v1alpha.ServerReflection/*"];

/// Collects the rules of an [`AccessPolicy`].
#[derive(Default)]
#[must_use]
pub struct AccessPolicyBuilder {
    entries: Vec<Entry>,
    /// The descriptions of abilities.
    words: Vec<(String, String)>,
    on_report: Option<Arc<OnReport>>,
}

#[derive(Debug)]
struct Entry {
    text: String,
    access: Access,
    is_grpc: bool,
}

impl AccessPolicy {
    /// Starts an empty policy.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    ///
    /// let builder = AccessPolicy::builder().allow("GET /bots", Requirement::ability("bots:read"));
    /// assert_eq!(builder.build()?.rules().len(), 1);
    /// // A policy without rules would refuse everything.
    /// assert!(AccessPolicy::builder().build().is_err());
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn builder() -> AccessPolicyBuilder {
        AccessPolicyBuilder::default()
    }
}

impl AccessPolicyBuilder {
    /// Adds an endpoint, such as `GET /v1/users/{id}`, and what it requires of a key.
    ///
    /// See [`EndpointPattern`] for the syntax of endpoints.
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
    ///     .allow("GET /bots/{id}", Requirement::ability("bots:read"))
    ///     .allow("POST /bots", Requirement::ability("bots:write"))
    ///     .build()?;
    /// let key = verified_key(NewKey::named("reader").abilities(["bots:read"]));
    /// let allows = |method, path| policy.explain(Some(key.record()), method, path).is_allowed();
    /// assert!(allows(&Method::GET, "/bots/7"));
    /// assert!(!allows(&Method::POST, "/bots"));
    /// assert!(!allows(&Method::GET, "/not-listed"));
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn allow(self, endpoint: &str, requirement: Requirement) -> Self {
        self.add(endpoint.to_owned(), Access::Key(requirement), false)
    }

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

    fn add(mut self, text: String, access: Access, is_grpc: bool) -> Self {
        self.entries.push(Entry { text, access, is_grpc });
        self
    }

    /// Adds an endpoint that needs no key, with the reason.
    ///
    /// A request with a key is refused all the same if the key is not valid.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Method;
    /// use tower_api_key::policy::AccessPolicy;
    ///
    /// let policy = AccessPolicy::builder().public("GET /health", "load balancers ask").build()?;
    /// assert!(policy.explain(None, &Method::GET, "/health").is_allowed());
    /// assert_eq!(policy.rules()[0].public_reason(), Some("load balancers ask"));
    ///
    /// let error = AccessPolicy::builder().public("GET /health", "").build().unwrap_err();
    /// assert_eq!(error.problems()[0].to_string(), "`GET /health` is public without a reason: say why");
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn public(self, endpoint: &str, reason: &str) -> Self {
        self.add(endpoint.to_owned(), Access::Public { reason: reason.to_owned() }, false)
    }

    /// Describes an ability in words, for the [catalogue](AccessPolicy::abilities) of the policy.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    ///
    /// let builder = || AccessPolicy::builder().allow("GET /bots", Requirement::ability("bots:read"));
    /// let policy = builder().describe("bots:read", "List and read bots").build()?;
    /// assert_eq!(policy.abilities().iter().next().unwrap().1, "List and read bots");
    ///
    /// // An ability that no rule requires cannot be described.
    /// let error = builder().describe("bots:raed", "List and read bots").build().unwrap_err();
    /// assert!(error.problems()[0].to_string().starts_with("`bots:raed` is described, but no rule"));
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn describe(mut self, ability: &str, says: impl Into<String>) -> Self {
        self.words.push((ability.to_owned(), says.into()));
        self
    }

    /// Sets the callback for requests that are only reported.
    ///
    /// The request waits for the callback, so it has to be quick.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead};
    ///
    /// let (sender, reports) = mpsc::channel();
    /// let policy = AccessPolicy::builder()
    ///     .allow("GET /bots", Requirement::ability("bots:read").report_only())
    ///     .on_report(move |report| {
    ///         let _ = sender.send(report.rule().map(str::to_owned));
    ///     })
    ///     .build()?;
    /// let request = Request::get("/bots").body(())?;
    /// let passes = policy.check(&verified_key(NewKey::named("old")), &RequestHead::new(&request));
    /// assert!(passes.is_ok());
    /// assert_eq!(reports.try_recv()?.as_deref(), Some("GET /bots"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_report(mut self, on_report: impl Fn(&Report<'_>) + Send + Sync + 'static) -> Self {
        self.on_report = Some(Arc::new(on_report));
        self
    }

    /// Builds the policy.
    ///
    /// # Errors
    ///
    /// Returns all mistakes: text that does not parse, rules for the same requests, rules that are
    /// never reached, public endpoints without a reason, and a table without rules.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    ///
    /// let error = AccessPolicy::builder()
    ///     .allow("GET /bots/{id}", Requirement::ability("bots:read"))
    ///     .allow("GET /bots/{name}", Requirement::ability("bots:*"))
    ///     .build()
    ///     .unwrap_err();
    /// let problems: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    /// assert_eq!(
    ///     problems,
    ///     [
    ///         "`GET /bots/{name}`: `bots:*` is a wildcard: require single abilities",
    ///         "`GET /bots/{name}` conflicts with `GET /bots/{id}`: both match the same requests, \
    ///          so remove one",
    ///     ]
    /// );
    /// ```
    pub fn build(self) -> Result<AccessPolicy, PolicyError> {
        let mut problems = Vec::new();
        if self.entries.is_empty() {
            problems.push(PolicyProblem::Empty);
        }
        let mut rules = Vec::new();
        let mut grpc = Vec::new();
        for Entry { text: entry, access, is_grpc } in self.entries {
            let mistakes = match &access {
                Access::Public { reason } if reason.trim().is_empty() => {
                    vec![PolicyProblem::Reason { entry: entry.clone() }]
                }
                Access::Public { .. } => Vec::new(),
                Access::Key(requirement) => {
                    let problem = |mistake: &String| PolicyProblem::Requirement {
                        entry: entry.clone(),
                        mistake: mistake.clone(),
                    };
                    requirement.mistakes.iter().map(problem).collect()
                }
            };
            problems.extend(mistakes);
            match entry.parse::<EndpointPattern>() {
                Ok(endpoint) => {
                    if is_grpc {
                        grpc.push(rules.len());
                    }
                    rules.push(Rule { text: endpoint.to_string().into(), endpoint, access });
                }
                Err(error) => problems.push(PolicyProblem::Endpoint { entry, error }),
            }
        }
        let abilities = catalogue(&rules, self.words, &mut problems);
        problems.extend(other_methods_of_grpc(&rules, &grpc));
        let paths = index(&rules, &mut problems);
        if !problems.is_empty() {
            return Err(PolicyError(problems));
        }
        let table = Rules { rules, paths, abilities, on_report: self.on_report };
        Ok(AccessPolicy { table: Arc::new(table), report_only: false })
    }
}

/// Lists the abilities that the rules require, with their descriptions.
fn catalogue(
    rules: &[Rule],
    words: Vec<(String, String)>,
    problems: &mut Vec<PolicyProblem>,
) -> AbilityCatalogue {
    let mut catalogue = AbilityCatalogue::new();
    let of_rules = rules.iter().filter_map(Rule::requirement);
    for ability in of_rules.flat_map(|requirement| &requirement.abilities).flat_map(|one| &**one) {
        catalogue.add(ability.clone(), ability.to_string());
    }
    for (ability, says) in words {
        match ability.parse::<Ability>() {
            Ok(known) if catalogue.iter().any(|(ability, _)| *ability == known) => {
                catalogue.add(known, says);
            }
            _ => problems.push(PolicyProblem::Description { ability }),
        }
    }
    catalogue
}

/// Puts the rules into a router of paths.
fn index(rules: &[Rule], problems: &mut Vec<PolicyProblem>) -> matchit::Router<Methods> {
    let mut paths: Vec<(String, Methods)> = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let shape = shape(rule.endpoint.path());
        let place = paths.iter().position(|(known, _)| *known == shape).unwrap_or_else(|| {
            paths.push((shape, Methods::default()));
            paths.len() - 1
        });
        let methods = &mut paths[place].1;
        let taken = match rule.endpoint.method() {
            None => methods.any.replace(number),
            Some(method) => {
                let taken = methods.each.iter().find(|(known, _)| known == method);
                let taken = taken.map(|(_, other)| *other);
                if taken.is_none() {
                    methods.each.push((method.clone(), number));
                }
                taken
            }
        };
        if let Some(other) = taken {
            problems.push(conflict(rule, &rules[other]));
        }
    }
    let mut router = matchit::Router::new();
    for (place, (shape, methods)) in paths.iter().enumerate() {
        let first = methods.first();
        if let Some(any) = methods.any
            && methods.each.len() >= METHODS.len()
        {
            problems.push(PolicyProblem::Unreachable { entry: rules[any].text.to_string() });
        }
        if let Err(error) = router.insert(shape.clone(), methods.clone()) {
            let with = match &error {
                matchit::InsertError::Conflict { with } => with.as_str(),
                _ => "",
            };
            let other = paths[..place].iter().find(|(known, _)| known == with);
            let other = other.map_or(first, |(_, methods)| methods.first());
            problems.push(conflict(&rules[first], &rules[other]));
        }
    }
    router
}

impl Methods {
    fn first(&self) -> usize {
        let each = self.each.iter().map(|(_, number)| *number);
        each.chain(self.any).min().unwrap_or_default()
    }
}

fn conflict(rule: &Rule, other: &Rule) -> PolicyProblem {
    PolicyProblem::Conflict { entry: rule.text.to_string(), other: other.text.to_string() }
}

/// Writes a path for the router, with anonymous parameters.
fn shape(path: &PathPattern) -> String {
    let segment = |(index, segment): (usize, &Segment)| match segment {
        Segment::Literal(text) => {
            // Decoded, as paths are looked up; braces have a meaning for the router.
            let text = percent_decode_str(text).decode_utf8_lossy();
            format!("/{}", text.replace('{', "{{").replace('}', "}}"))
        }
        Segment::Parameter(_) => format!("/{{{index}}}"),
        Segment::Rest => "/{*rest}".to_owned(),
    };
    path.segments().iter().enumerate().map(segment).collect()
}

impl fmt::Debug for AccessPolicyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessPolicyBuilder")
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}
