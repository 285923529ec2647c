//! [`AccessPolicyBuilder`]: builds an access policy, and finds its mistakes.

use std::fmt;
use std::sync::Arc;

use super::grpc::other_methods_of_grpc;
use super::index::index;
use super::rule::Access;
use super::rules::Rules;
use super::{AccessPolicy, PolicyError, PolicyProblem, Requirement, Rule};
use crate::guard::{OnReport, Report};
use crate::key::{Ability, AbilityCatalogue, EndpointPattern};

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

    pub(super) fn add(mut self, text: String, access: Access, is_grpc: bool) -> Self {
        self.entries.push(Entry { text, access, is_grpc });
        self
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

impl fmt::Debug for AccessPolicyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessPolicyBuilder")
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}
