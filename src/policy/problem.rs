//! [`PolicyError`]: the mistakes in a policy.

use thiserror::Error;

use crate::key::EndpointError;

/// The error of a policy with mistakes; it lists all of them.
#[derive(Debug, Error)]
#[error("the access policy has mistakes:{}", list(.0))]
pub struct PolicyError(pub(super) Vec<PolicyProblem>);

/// A mistake in the table of an [`AccessPolicy`](super::AccessPolicy).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyProblem {
    /// The table has no rules.
    #[error("there is no rule, so every request would be refused: add one by `allow` or `public`")]
    Empty,
    /// The endpoint does not parse, or no request can match it.
    #[error("`{entry}`: {error}")]
    Endpoint {
        /// The endpoint as it was written.
        entry: String,
        /// What is wrong with it.
        error: EndpointError,
    },
    /// An ability or a stage does not parse.
    #[error("`{entry}`: {mistake}")]
    Requirement {
        /// The endpoint as it was written.
        entry: String,
        /// What is wrong with its requirement.
        mistake: String,
    },
    /// A public endpoint has no reason.
    #[error("`{entry}` is public without a reason: say why")]
    Reason {
        /// The endpoint as it was written.
        entry: String,
    },
    /// An ability is described that no rule requires.
    #[error(
        "`{ability}` is described, but no rule requires it: correct the name, or remove the description"
    )]
    Description {
        /// The ability as it was written.
        ability: String,
    },
    /// Two rules are for the same requests, or one has a parameter where the other has a wildcard.
    #[error("`{entry}` conflicts with `{other}`: both match the same requests, so remove one")]
    Conflict {
        /// The endpoint as it was written.
        entry: String,
        /// The endpoint of an earlier rule.
        other: String,
    },
    /// The rule lets another method than `POST` reach a gRPC method.
    #[error(
        "`{entry}` covers the gRPC methods of `{other}`, which are called by POST only: use POST, \
         or another path"
    )]
    NotPost {
        /// The endpoint as it was written.
        entry: String,
        /// The endpoint of the rule for gRPC.
        other: String,
    },
    /// Other rules match all of its requests.
    #[error("`{entry}` is never reached: each method has a rule of its own, so remove this one")]
    Unreachable {
        /// The endpoint as it was written.
        entry: String,
    },
}

impl PolicyError {
    /// Returns the mistakes, in the order of the rules.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::{AccessPolicy, PolicyProblem};
    ///
    /// let error = AccessPolicy::builder().build().unwrap_err();
    /// assert_eq!(error.problems(), [PolicyProblem::Empty]);
    /// ```
    #[must_use]
    pub fn problems(&self) -> &[PolicyProblem] {
        &self.0
    }
}

fn list(problems: &[PolicyProblem]) -> String {
    problems.iter().map(|problem| format!("\n- {problem}")).collect()
}
