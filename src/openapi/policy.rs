//! What an [`AccessPolicy`] says of the operations of a document.

use http::Method;
use utoipa::openapi::path::{Operation, PathItem, Paths};
use utoipa::openapi::security::SecurityRequirement;

use super::SecuritySchemes;
use crate::key::PathPattern;
use crate::policy::{AccessPolicy, Requirement, Rule};

impl SecuritySchemes {
    pub(super) fn add_policy(&self, policy: &AccessPolicy, paths: &mut Paths) {
        for (path, item) in &mut paths.paths {
            let Ok(path) = path.parse::<PathPattern>() else { continue };
            for (method, operation) in operations(item) {
                if operation.security.is_none()
                    && let Some(rule) = policy.rule_of(&method, &path)
                {
                    operation.security = Some(self.of_rule(rule));
                }
            }
        }
    }

    fn of_rule(&self, rule: &Rule) -> Vec<SecurityRequirement> {
        let sets = rule.requirement().map(Requirement::sets_of_abilities);
        sets.iter().flatten().flat_map(|abilities| self.with_scopes(abilities)).collect()
    }
}

/// Returns the operations that a policy may let through, each with the method by which it judges.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let operations = [
        (Method::GET, &mut item.get),
        (Method::GET, &mut item.head),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
        (Method::OPTIONS, &mut item.options),
    ];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
