//! [`PolicyError`]: what is wrong with a table.

use thiserror::Error;

use crate::key::EndpointError;

/// The error of a table with mistakes: all of them.
#[derive(Debug, Error)]
#[error("the access policy has mistakes:{}", list(.0))]
pub struct PolicyError(pub(super) Vec<PolicyProblem>);

/// A mistake in the table of an [`AccessPolicy`](super::AccessPolicy).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyProblem {
    /// The table has no rules.
    #[error("there is no rule, so nothing would ever be let through")]
    Empty,
    /// The endpoint does not parse, or no request is like it.
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
    /// It is not said why an endpoint is public.
    #[error("`{entry}` is public without a reason")]
    Reason {
        /// The endpoint as it was written.
        entry: String,
    },
    /// An ability is described that no rule requires.
    #[error("no rule requires `{ability}`, which is described")]
    Description {
        /// The ability as it was written.
        ability: String,
    },
    /// Two rules are for the same requests, or one has a parameter where the other has a wildcard.
    #[error("`{entry}` conflicts with `{other}`")]
    Conflict {
        /// The endpoint as it was written.
        entry: String,
        /// The endpoint of an earlier rule.
        other: String,
    },
    /// The endpoint is that of a gRPC method, with another method than `POST`.
    #[error(
        "`{entry}` is for what `{other}` says is gRPC, of which every method is called by POST"
    )]
    NotPost {
        /// The endpoint as it was written.
        entry: String,
        /// The endpoint of the rule for gRPC.
        other: String,
    },
    /// Other rules take all requests.
    #[error("`{entry}` is never reached: each method has a rule of its own")]
    Unreachable {
        /// The endpoint as it was written.
        entry: String,
    },
}

impl PolicyError {
    /// Returns what is wrong, in the order of the rules.
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
