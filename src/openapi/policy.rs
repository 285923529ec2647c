//! The requirements of an [`AccessPolicy`] in the operations of a document.

use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, Paths};
use utoipa::openapi::security::SecurityRequirement;

use super::SecuritySchemes;
use super::responses::operations;
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
                    if self.abilities_are_extension {
                        write_abilities(operation, rule);
                    }
                }
            }
        }
    }

    fn of_rule(&self, rule: &Rule) -> Vec<SecurityRequirement> {
        let sets = rule.requirement().map(Requirement::sets_of_abilities);
        let mut alternatives = Vec::new();
        for alternative in sets.iter().flatten().flat_map(|abilities| self.with_scopes(abilities)) {
            // Without scopes, several sets of abilities are one alternative.
            if !alternatives.contains(&alternative) {
                alternatives.push(alternative);
            }
        }
        alternatives
    }
}

/// Writes the sets of abilities; a key needs one of the sets.
fn write_abilities(operation: &mut Operation, rule: &Rule) {
    let sets = rule.requirement().map(Requirement::sets_of_abilities).unwrap_or_default();
    if sets.iter().all(Vec::is_empty) {
        return;
    }
    let sets: Vec<Vec<_>> =
        sets.iter().map(|set| set.iter().map(|ability| ability.as_str()).collect()).collect();
    let extension = ExtensionsBuilder::new().add("x-required-abilities", sets).build();
    operation.extensions.get_or_insert_default().merge(extension);
}
