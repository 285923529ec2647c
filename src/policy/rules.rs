//! [`Rules`]: all rules of a policy, by path.

use std::sync::Arc;

use http::Method;

use super::Rule;
use crate::guard::OnReport;
use crate::key::AbilityCatalogue;

pub(super) struct Rules {
    pub(super) rules: Vec<Rule>,
    pub(super) paths: matchit::Router<Methods>,
    pub(super) abilities: AbilityCatalogue,
    pub(super) on_report: Option<Arc<OnReport>>,
}

/// The rules of one path, by their numbers in the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Methods {
    pub(super) any: Option<usize>,
    pub(super) each: Vec<(Method, usize)>,
}
