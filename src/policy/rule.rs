//! [`Rule`]: one line of a policy.

use super::Requirement;
use crate::key::EndpointPattern;

/// One line of an [`AccessPolicy`](super::AccessPolicy).
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
/// let [bots, health] = policy.rules() else { panic!("two rules") };
/// assert_eq!(bots.endpoint().to_string(), "GET /bots");
/// assert_eq!(bots.requirement().unwrap().to_string(), "bots:read");
/// assert_eq!((bots.public_reason(), health.public_reason()), (None, Some("load balancers ask")));
/// # Ok::<_, tower_api_key::policy::PolicyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) endpoint: EndpointPattern,
    pub(super) access: Access,
    /// The endpoint as it is written, for reports.
    pub(super) text: Box<str>,
}

#[derive(Clone, Debug)]
pub(super) enum Access {
    Public { reason: String },
    Key(Requirement),
}

impl Rule {
    /// Returns the endpoint of the rule.
    #[must_use]
    pub fn endpoint(&self) -> &EndpointPattern {
        &self.endpoint
    }

    /// Returns what the endpoint requires of a key; `None` if it is public.
    #[must_use]
    pub fn requirement(&self) -> Option<&Requirement> {
        match &self.access {
            Access::Public { .. } => None,
            Access::Key(requirement) => Some(requirement),
        }
    }

    /// Returns why the endpoint is public, if it is.
    #[must_use]
    pub fn public_reason(&self) -> Option<&str> {
        match &self.access {
            Access::Public { reason } => Some(reason),
            Access::Key(_) => None,
        }
    }
}
