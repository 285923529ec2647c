//! [`Explanation`]: a policy's decision about a request, and why.

use std::fmt;

use super::Rule;
use crate::reject::Rejection;

/// The decision of an [`AccessPolicy`](super::AccessPolicy) about a request, and the rule that made it.
///
/// # Examples
///
/// ```
/// use http::Method;
/// use tower_api_key::policy::{AccessPolicy, PolicyDecision, Requirement};
/// use tower_api_key::testing::verified_key;
/// use tower_api_key::{NewKey, RejectionKind};
///
/// let policy = AccessPolicy::builder()
///     .allow("POST /bots", Requirement::ability("bots:write"))
///     .build()?;
/// let key = verified_key(NewKey::named("reader").abilities(["bots:read"]));
/// let explanation = policy.explain(Some(key.record()), &Method::POST, "/bots");
/// let PolicyDecision::Refused(rejection) = explanation.decision() else { panic!("{explanation}") };
/// assert_eq!(rejection.kind(), RejectionKind::MissingAbility);
/// assert!(!explanation.is_allowed());
/// assert_eq!(explanation.rule().unwrap().endpoint().to_string(), "POST /bots");
/// # Ok::<_, tower_api_key::policy::PolicyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    pub(super) decision: PolicyDecision,
    pub(super) rule: Option<(usize, &'a Rule)>,
}

/// The decision of an [`AccessPolicy`](super::AccessPolicy) about a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PolicyDecision {
    /// The request passes.
    Allowed,
    /// The request passes and is reported: without report-only it would be refused.
    Reported(Rejection),
    /// The request is refused.
    Refused(Rejection),
}

impl<'a> Explanation<'a> {
    /// Returns the decision.
    #[must_use]
    pub fn decision(&self) -> &PolicyDecision {
        &self.decision
    }

    /// Tells whether the policy accepts the request, even if it reports it.
    ///
    /// The layer may still refuse it: a request without a key where none is public, and a public key
    /// where a policy is only tried.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        !matches!(self.decision, PolicyDecision::Refused(_))
    }

    /// Returns the rule that made the decision; `None` if no rule is for the endpoint.
    #[must_use]
    pub fn rule(&self) -> Option<&'a Rule> {
        self.rule.map(|(_, rule)| rule)
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            PolicyDecision::Allowed => f.write_str("allowed")?,
            PolicyDecision::Reported(rejection) => write!(f, "reported: {}", rejection.message())?,
            PolicyDecision::Refused(rejection) => write!(f, "refused: {}", rejection.message())?,
        }
        match self.rule {
            None => f.write_str(" (no rule)"),
            Some((index, rule)) => {
                write!(f, " (rule {}: {} requires {})", index + 1, rule.endpoint, rule.requires())
            }
        }
    }
}
