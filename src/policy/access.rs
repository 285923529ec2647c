//! [`AccessPolicy`]: the table of a whole application's access.

use std::fmt;
use std::sync::Arc;

use http::Method;

use super::rule::Access;
use super::rules::Rules;
use super::{Explanation, PolicyDecision, Rule};
use crate::guard::{Guard, Report};
use crate::head::RequestHead;
use crate::key::AbilityCatalogue;
#[cfg(feature = "testing")]
use crate::key::EndpointPattern;
#[cfg(any(feature = "testing", feature = "openapi"))]
use crate::key::PathPattern;
use crate::key::judged_method;
use crate::path::NormalPath;
use crate::reject::{Reason, Rejection, RejectionKind, Rejector};
use crate::store::KeyRecord;
use crate::verify::VerifiedKey;

/// The access table of an application: what each endpoint requires of a key. See the
/// [module](crate::policy).
///
/// An endpoint is looked up by its original path first, then by its method. A literal segment takes
/// precedence over `{id}` and `*` (which cannot stand beside each other), and a rule for the method
/// over one without. An endpoint that is not listed is refused. So is a path that servers can read in
/// different ways (`//`, `..`, `;`, a percent-encoded separator or control character, invalid UTF-8),
/// and a path with other percent-encodings than its rule, such as `/%61dmin` for `/admin`: it does not
/// fall back to a rule for `{id}` or `*`.
///
/// A `GET`, `HEAD` or `OPTIONS` with a body, and a request by any method but `POST` with a content type
/// of gRPC, must also be allowed as a `POST`, because some servers ignore the method. A WebSocket over
/// HTTP/2 is [judged](RequestHead::judged_method) as `GET`, as it is over HTTP/1.1, and no rule covers
/// another `CONNECT`.
///
/// Mounted by [`ApiKeyLayer::policy`](crate::ApiKeyLayer::policy), it also accepts requests without a
/// key on `public` endpoints. As a guard it judges only requests with a key. Clones share the table.
#[derive(Clone)]
pub struct AccessPolicy {
    pub(super) table: Arc<Rules>,
    pub(super) report_only: bool,
}

impl AccessPolicy {
    /// Only reports what it would refuse, to try a policy out on an application with clients.
    ///
    /// A layer with such a policy decides as if it had none. Requests without a key pass only if keys
    /// are [`optional`](crate::ApiKeyLayer::optional), also on `public` endpoints. Public keys pass
    /// only if the layer [accepts](crate::ApiKeyLayer::accept_public_keys) them.
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
    ///     .allow("GET /bots", Requirement::ability("bots:read"))
    ///     .build()?
    ///     .report_only();
    /// let key = verified_key(NewKey::named("old"));
    /// let explanation = policy.explain(Some(key.record()), &Method::GET, "/bots");
    /// assert!(explanation.is_allowed());
    /// assert!(explanation.to_string().starts_with("reported: "), "{explanation}");
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    #[must_use]
    pub fn report_only(mut self) -> Self {
        self.report_only = true;
        self
    }

    pub(crate) fn is_report_only(&self) -> bool {
        self.report_only
    }

    /// Returns the rules in the order in which they were added.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    ///
    /// let policy = AccessPolicy::builder()
    ///     .allow("GET /bots", Requirement::ability("bots:read"))
    ///     .public("GET /health", "load balancers ask")
    ///     .build()?;
    /// let endpoints: Vec<_> = policy.rules().iter().map(|rule| rule.endpoint().to_string()).collect();
    /// assert_eq!(endpoints, ["GET /bots", "GET /health"]);
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.table.rules
    }

    /// Returns all abilities that a rule requires, even one that only reports, in the order of the
    /// rules. Each has the text that [describes](super::AccessPolicyBuilder::describe) it, or its own
    /// name.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// let policy = AccessPolicy::builder()
    ///     .allow("GET /v1/bots", Requirement::ability("bots:read"))
    ///     .allow("POST /v1/bots", Requirement::all_of(["bots:read", "bots:write"]))
    ///     .describe("bots:read", "List and read bots")
    ///     .build()?;
    /// let abilities = policy.abilities();
    /// let said: Vec<_> = abilities.iter().map(|(_, says)| says).collect();
    /// assert_eq!(said, ["List and read bots", "bots:write"]);
    ///
    /// // Keys with other abilities are not issued.
    /// let keys = KeyManager::new(MemoryStore::new()).abilities(abilities.clone());
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn abilities(&self) -> &AbilityCatalogue {
        &self.table.abilities
    }

    /// Returns the decision of the policy about a request and the rule that made it: for tests, and to
    /// find out why a client is refused.
    ///
    /// The method of a WebSocket over HTTP/2 is `GET`, as [`RequestHead::judged_method`] returns it.
    /// The decision is about what the key may do. It ignores whether the key is revoked or expired, and
    /// its own restrictions and limits.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Method;
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    /// use tower_api_key::{KeyScheme, NewKey};
    ///
    /// let policy = AccessPolicy::builder()
    ///     .allow("GET /v1/users/{id}", Requirement::ability("users:read"))
    ///     .build()?;
    /// let key = NewKey::named("a test").generate(&KeyScheme::default())?.record;
    /// let explanation = policy.explain(Some(&key), &Method::GET, "/v1/users/7");
    /// assert_eq!(
    ///     explanation.to_string(),
    ///     "refused: Missing ability: users:read (rule 1: GET /v1/users/{id} requires users:read)"
    /// );
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn explain(&self, key: Option<&KeyRecord>, method: &Method, path: &str) -> Explanation<'_> {
        let number = self.find(method, path);
        let rule = number.map(|number| &self.table.rules[number]);
        let refused = match (rule.map(|rule| &rule.access), key) {
            (Some(Access::Public { .. }), _) => None,
            // A request without a key does not learn which endpoints exist.
            (_, None) => Some(RejectionKind::Missing.into()),
            (Some(Access::Key(requirement)), Some(key)) => requirement.check(key).err(),
            (None, Some(_)) => Some(
                Rejection::not_allowed(Reason::Endpoint)
                    .with_message("The API key does not allow this endpoint"),
            ),
        };
        let reports = self.report_only
            || key.is_some_and(|key| {
                let requirement = rule.and_then(Rule::requirement);
                requirement.is_some_and(|requirement| requirement.only_reports(key))
            });
        let decision = match refused {
            None => PolicyDecision::Allowed,
            Some(rejection) if reports => PolicyDecision::Reported(rejection),
            Some(rejection) => PolicyDecision::Refused(rejection),
        };
        Explanation { decision, rule: number.zip(rule) }
    }

    fn find(&self, method: &Method, path: &str) -> Option<usize> {
        let method = judged_method(method)?;
        // Decoded, as a handler may see it, so that `/%61dmin` does not match `/{id}` …
        let path = NormalPath::parse(path)?;
        let methods = self.table.paths.at(path.decoded()).ok()?.value;
        let own = methods.each.iter().find(|(known, _)| known == method);
        let number = own.map(|(_, number)| *number).or(methods.any)?;
        // … and as it was sent, so that it does not match `/admin` either.
        let pattern = self.table.rules[number].endpoint.path();
        pattern.matches_normal(&path).then_some(number)
    }

    /// Returns the decision about a request, which a server may read as another method.
    fn judge(&self, key: Option<&KeyRecord>, head: &RequestHead<'_>) -> Explanation<'_> {
        let path = head.original_uri().path();
        if !head.may_act_as_post() {
            return self.explain(key, head.judged_method(), path);
        }
        let [explained, as_post] =
            [head.judged_method(), &Method::POST].map(|method| self.explain(key, method, path));
        match (&explained.decision, &as_post.decision) {
            (PolicyDecision::Allowed, _) => as_post,
            (PolicyDecision::Reported(_), PolicyDecision::Refused(_)) => as_post,
            (PolicyDecision::Reported(_) | PolicyDecision::Refused(_), _) => explained,
        }
    }

    /// Tells whether a request without a key may pass, which may be a preflight that asks for a method.
    pub(crate) fn lets_pass_without_key(
        &self,
        head: &RequestHead<'_>,
        asked: Option<&Method>,
        optional: bool,
        rejector: &Rejector,
    ) -> bool {
        if let Some(asked) = asked
            && (self.report_only || self.find(asked, head.original_uri().path()).is_some())
        {
            return true;
        }
        let explained = self.judge(None, head);
        if self.report_only {
            if optional && let PolicyDecision::Reported(rejection) = &explained.decision {
                self.report(rejection, rejector, head, explained.rule());
            }
            return optional;
        }
        matches!(explained.decision, PolicyDecision::Allowed)
    }

    /// Tells whether there is a rule for the request, and for every method as which a server may read
    /// it.
    pub(crate) fn lists(&self, head: &RequestHead<'_>) -> bool {
        let lists = |method: &Method| self.find(method, head.original_uri().path()).is_some();
        lists(head.judged_method()) && (!head.may_act_as_post() || lists(&Method::POST))
    }

    /// Tells whether every request to an application's route has a rule.
    #[cfg(feature = "testing")]
    pub(crate) fn covers(&self, route: &EndpointPattern) -> bool {
        let covers = |method: &Method| self.rule_of(method, route.path()).is_some();
        match route.method() {
            Some(method) => covers(method),
            None => crate::key::METHODS.iter().all(covers),
        }
    }

    /// Returns the rule for all requests to an application's route that have no rule of their own.
    #[cfg(any(feature = "testing", feature = "openapi"))]
    pub(crate) fn rule_of(&self, method: &Method, route: &PathPattern) -> Option<&Rule> {
        use crate::key::Segment;

        let of_route = route.segments();
        let of_rules = self.rules().iter().flat_map(|rule| rule.endpoint.path().segments());
        let longest = of_rules.chain(of_route).map(|segment| match segment {
            Segment::Literal(text) => text.len(),
            Segment::Parameter(_) | Segment::Rest => 0,
        });
        // It is no literal, so only a rule for all of them matches it.
        let some = "x".repeat(longest.max().unwrap_or_default() + 1);
        let path: String = of_route
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => format!("/{text}"),
                Segment::Parameter(_) | Segment::Rest => format!("/{some}"),
            })
            .collect();
        let rule = &self.table.rules[self.find(method, &path)?];
        let is_covered = !route.ends_with_wildcard() || rule.endpoint.path().ends_with_wildcard();
        is_covered.then_some(rule)
    }

    fn report(
        &self,
        rejection: &Rejection,
        rejector: &Rejector,
        head: &RequestHead<'_>,
        rule: Option<&Rule>,
    ) {
        let report = Report::new(rejection, rejector, head, rule.map(|rule| &*rule.text));
        report.send(rejector, self.table.on_report.as_deref());
    }
}

impl Guard for AccessPolicy {
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        let Explanation { decision, rule } = self.judge(Some(key.record()), head);
        match decision {
            PolicyDecision::Allowed => Ok(()),
            PolicyDecision::Reported(rejection) => {
                let (rejection, rule) =
                    (rejection.of_key(key.record()), rule.map(|(_, rule)| rule));
                self.report(&rejection, key.rejector(), head, rule);
                Ok(())
            }
            PolicyDecision::Refused(rejection) => Err(rejection),
        }
    }
}

impl fmt::Debug for AccessPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessPolicy")
            .field("rules", &self.table.rules)
            .field("report_only", &self.report_only)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::{KeyKind, KeyScheme};
    use crate::policy::{AccessPolicyBuilder, PolicyProblem, Requirement};
    use crate::store::NewKey;

    fn record(key: NewKey) -> Arc<KeyRecord> {
        key.generate(&KeyScheme::default()).unwrap().record
    }

    fn policy() -> AccessPolicy {
        AccessPolicy::builder()
            .public("GET /healthz", "probes")
            .allow("GET /v1/users/{id}", Requirement::ability("users:read"))
            .allow("GET /v1/users/me", Requirement::key())
            .allow("DELETE /v1/users/{id}", Requirement::ability("users:write").stage("prod"))
            .allow("/v1/reports/*", Requirement::any_of(["reports:read", "reports:write"]))
            .allow("POST /v1/reports/*", Requirement::all_of(["reports:read", "reports:write"]))
            .allow("POST /widget", Requirement::key().kind(KeyKind::Public))
            .allow("PUT /tried", Requirement::ability("x:y").report_only())
            .allow_grpc("acme.Bots/*", Requirement::key().any_kind())
            .build()
            .unwrap()
    }

    fn explain(key: &KeyRecord, method: &str, path: &str) -> String {
        policy().explain(Some(key), &method.parse().unwrap(), path).to_string()
    }

    #[test]
    fn the_most_specific_rule_decides() {
        let key = record(NewKey::named("x").abilities(["users:read", "reports:read"]));
        for (method, path, explanation) in [
            ("GET", "/healthz", "allowed (rule 1: GET /healthz requires nothing)"),
            ("HEAD", "/healthz", "allowed (rule 1: GET /healthz requires nothing)"),
            ("GET", "/v1/users/7", "allowed (rule 2: GET /v1/users/{id} requires users:read)"),
            ("GET", "/v1/users/me", "allowed (rule 3: GET /v1/users/me requires any secret key)"),
            (
                "DELETE",
                "/v1/users/7",
                "refused: The API key is for another stage \
                 (rule 4: DELETE /v1/users/{id} requires users:write, stage prod)",
            ),
            (
                "GET",
                "/v1/reports/2026/11",
                "allowed (rule 5: /v1/reports/* requires one of reports:read | reports:write)",
            ),
            (
                "POST",
                "/v1/reports/daily",
                "refused: Missing ability: reports:write \
                 (rule 6: POST /v1/reports/* requires reports:read, reports:write)",
            ),
            ("PUT", "/tried", "reported: Missing ability: x:y (rule 8: PUT /tried requires x:y)"),
            ("POST", "/acme.Bots/List", "allowed (rule 9: POST /acme.Bots/* requires any key)"),
        ] {
            assert_eq!(explain(&key, method, path), explanation);
        }
    }

    #[test]
    fn what_is_not_listed_is_refused() {
        let root = record(NewKey::named("root").abilities(["*"]).stage("prod"));
        for (method, path) in [
            ("POST", "/healthz"),
            ("DELETE", "/v1/users/me"),
            ("GET", "/v1/users"),
            ("GET", "/v1/users/"),
            ("GET", "/v1/users/7/"),
            ("GET", "/v1/users/7/keys"),
            ("GET", "/V1/users/7"),
            ("GET", "//v1/users/7"),
            ("GET", "/v1/users/7;x=1"),
            ("GET", "/v1/x/../users/7"),
            ("GET", "/v1/users/%2e%2e"),
            ("GET", "/v1/users/a%2Fb"),
            ("GET", "/v1/reports/daily/"),
            ("GET", "/v1/users/%6De"),
            ("GET", "/v1/users/m%65"),
            ("GET", "/%76ersion"),
            ("GET", "/healthz-admin"),
            ("GET", "/healthz/detailed"),
            ("GET", "//"),
            ("GET", ""),
            ("OPTIONS", "*"),
            ("TRACE", "/v1/reports/daily"),
            ("PURGE", "/v1/reports/daily"),
            ("get", "/healthz"),
        ] {
            let explanation = explain(&root, method, path);
            assert_eq!(
                explanation, "refused: The API key does not allow this endpoint (no rule)",
                "{method} {path}"
            );
        }
    }

    #[test]
    fn a_stranger_learns_nothing_but_what_is_public() {
        for (method, path, allowed) in [
            ("GET", "/healthz", true),
            ("POST", "/healthz", false),
            ("GET", "/v1/users/7", false),
            ("PUT", "/tried", false),
            ("GET", "/nowhere", false),
        ] {
            let policy = policy();
            let explanation = policy.explain(None, &method.parse().unwrap(), path);
            assert_eq!(explanation.is_allowed(), allowed, "{method} {path}");
            if let PolicyDecision::Refused(rejection) = explanation.decision() {
                assert_eq!(rejection.kind(), RejectionKind::Missing);
            }
        }
    }

    #[test]
    fn kinds_are_kept_apart() {
        let public = record(NewKey::named("widget").kind(KeyKind::Public).abilities(["*"]));
        let secret = record(NewKey::named("server").abilities(["*"]));
        for (method, path, by_public, by_secret) in [
            ("GET", "/v1/users/7", false, true),
            ("POST", "/widget", true, false),
            ("POST", "/acme.Bots/List", true, true),
        ] {
            let (policy, method) = (policy(), method.parse().unwrap());
            let allowed = |key| policy.explain(Some(key), &method, path).is_allowed();
            assert_eq!((allowed(&*public), allowed(&*secret)), (by_public, by_secret), "{path}");
        }
    }

    #[test]
    fn a_policy_that_reports_only_refuses_nothing() {
        let (policy, key) = (policy().report_only(), record(NewKey::named("x")));
        let explanation = policy.explain(Some(&key), &Method::GET, "/nowhere");
        assert!(matches!(explanation.decision(), PolicyDecision::Reported(_)), "{explanation}");
    }

    #[test]
    fn all_mistakes_are_found_when_the_policy_is_built() {
        let any = Requirement::key;
        let error = AccessPolicy::builder()
            .allow("GET v1", any())
            .allow("GET /a//b", any())
            .allow("HEAD /a", any())
            .allow("GET /b", Requirement::ability("admin:"))
            .allow("GET /c", Requirement::ability("bots:*"))
            .allow("GET /d", Requirement::all_of::<&str>([]))
            .allow("GET /e", any().stage("a b"))
            .public("GET /f", " ")
            .allow("GET /users/{id}", any())
            .allow("GET /users/{name}", any())
            .allow("/users/{id}", any())
            .allow("/users/*", any())
            .allow("GET /g", any())
            .public("GET /g", "twice")
            .allow("GET /%FF", any())
            .allow("GET /a:b", any())
            .allow("GET /a%3Ab", any())
            .build()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "\
the access policy has mistakes:
- `GET v1`: not an endpoint: write it like `GET /v1/users/{id}` or `/v1/reports/*`
- `GET /a//b`: no request has such a path: it has an empty, a dot or an encoded segment, or a `;`
- `HEAD /a`: an endpoint cannot have the method HEAD: use GET, which includes it
- `GET /b`: an ability is `resource:action`, `resource:*`, a word such as `admin`, or `*`
- `GET /c`: `bots:*` is a wildcard: require single abilities
- `GET /d`: no ability is named: use `key()` for any secret key
- `GET /e`: a stage has 1 to 128 characters of A-Z, a-z, 0-9, `_`, `-` and `.`
- `GET /f` is public without a reason: say why
- `GET /%FF`: no request has such a path: it has an empty, a dot or an encoded segment, or a `;`
- `GET /users/{name}` conflicts with `GET /users/{id}`: both match the same requests, so remove one
- `GET /g` conflicts with `GET /g`: both match the same requests, so remove one
- `GET /a%3Ab` conflicts with `GET /a:b`: both match the same requests, so remove one
- `/users/*` conflicts with `GET /users/{id}`: both match the same requests, so remove one"
        );
        let empty = AccessPolicy::builder().build().unwrap_err();
        assert_eq!(empty.problems(), [PolicyProblem::Empty]);
    }

    #[test]
    fn a_rule_that_other_rules_leave_nothing_is_a_mistake() {
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let all = methods.into_iter().fold(AccessPolicy::builder(), |policy, method| {
            policy.allow(&format!("{method} /x"), Requirement::key())
        });
        let error = all.allow("/x", Requirement::key()).build().unwrap_err();
        assert_eq!(error.problems(), [PolicyProblem::Unreachable { entry: "/x".to_owned() }]);
    }

    #[test]
    fn it_is_written_as_a_table_and_as_json() {
        assert_eq!(
            policy().to_string(),
            "\
METHOD  PATH            REQUIRES                             NOTE
GET     /healthz        nothing                              public: probes
GET     /v1/users/{id}  users:read
GET     /v1/users/me    any secret key
DELETE  /v1/users/{id}  users:write, stage prod
any     /v1/reports/*   one of reports:read | reports:write
POST    /v1/reports/*   reports:read, reports:write
POST    /widget         any public key
PUT     /tried          x:y                                  report only
POST    /acme.Bots/*    any key
"
        );
        let json = policy().to_json();
        assert_eq!(
            json["rules"][3],
            serde_json::json!({
                "method": "DELETE",
                "path": "/v1/users/{id}",
                "report_only": false,
                "requires": {
                    "kind": "secret", "one_of_each": [["users:write"]], "stage": "prod",
                },
            })
        );
        assert_eq!(json["rules"].as_array().unwrap().len(), policy().rules().len());
    }

    /// Finds the rule as the documentation says, one rule after the other.
    fn find_slowly(policy: &AccessPolicy, method: &Method, path: &str) -> Option<usize> {
        let specific = |pattern: &str| {
            let rank = |segment: &str| match segment {
                "*" => 2,
                segment if segment.starts_with('{') => 1,
                _ => 0,
            };
            pattern.split('/').map(rank).collect::<Vec<_>>()
        };
        let of_path = policy.rules().iter().enumerate();
        let of_path = of_path.filter(|(_, rule)| rule.endpoint.path().matches(path));
        let rank = |rule: &Rule| specific(&rule.endpoint.path().to_string());
        let best = of_path.clone().map(|(_, rule)| rank(rule)).min()?;
        let best = of_path.filter(|(_, rule)| rank(rule) == best);
        let of_method = best.filter(|(_, rule)| rule.endpoint.matches(method, path));
        of_method.min_by_key(|(_, rule)| rule.endpoint.method().is_none()).map(|(number, _)| number)
    }

    proptest! {
        #[test]
        fn a_rule_is_found_as_one_would_by_hand(
            endpoints in prop::collection::vec(
                "(GET |POST |)/(a|b|\\{x\\})?(/(a|b|\\{y\\})){0,2}(/\\*)?", 1..12,
            ),
            paths in prop::collection::vec("(/[abc]?){1,4}", 20),
        ) {
            let mut builder = AccessPolicy::builder();
            let mut taken: Vec<String> = Vec::new();
            for endpoint in endpoints {
                // Only what can be built together.
                let next = builder_of(&taken).allow(&endpoint, Requirement::key());
                if next.build().is_ok() {
                    builder = builder.allow(&endpoint, Requirement::key());
                    taken.push(endpoint);
                }
            }
            if let Ok(policy) = builder.build() {
                for path in paths {
                    for method in [Method::GET, Method::HEAD, Method::POST, Method::TRACE] {
                        let found = policy.find(&method, &path);
                        prop_assert_eq!(
                            found, find_slowly(&policy, &method, &path), "{} {} {}", method, path, policy
                        );
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_policy_and_a_key_mean_the_same_paths(
            endpoint in "(GET |)(/([ab]{1,2}|\\{x\\}|b%20|%C3%A9|\\.a)){1,3}(/\\*|/)?",
            path in prop_oneof![
                "(/([ab]{0,2}|b%20|%C3%A9|%c0%af|%ff|%2[ef]|%61|\\.{1,2}|;|%|\u{e9}|\\{x\\})?){1,4}",
                any::<String>(),
            ],
        ) {
            if let Ok(own) = endpoint.parse::<EndpointPattern>() {
                let policy = builder_of(&[endpoint]).build().unwrap();
                for method in [Method::GET, Method::HEAD, Method::POST, Method::TRACE] {
                    let listed = policy.find(&method, &path).is_some();
                    prop_assert_eq!(listed, own.matches(&method, &path), "{} {}", method, path);
                    prop_assert_eq!(
                        own.path().matches(&path) && judged_method(&method).is_some()
                            && own.method().is_none_or(|own| judged_method(&method) == Some(own)),
                        listed
                    );
                }
            }
        }
    }

    fn builder_of(endpoints: &[String]) -> AccessPolicyBuilder {
        endpoints.iter().fold(AccessPolicy::builder(), |builder, endpoint| {
            builder.allow(endpoint, Requirement::key())
        })
    }
}
