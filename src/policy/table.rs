//! A policy as text and as JSON.

use std::fmt;

use serde_json::{Value, json};

use super::{AccessPolicy, Rule};
use crate::key::Ability;

impl Rule {
    pub(super) fn requires(&self) -> String {
        self.requirement().map_or_else(|| "nothing".to_owned(), ToString::to_string)
    }

    fn note(&self) -> String {
        match (self.public_reason(), self.requirement()) {
            (Some(reason), _) => format!("public: {reason}"),
            (None, Some(requirement)) if requirement.report_only => "report only".to_owned(),
            (None, _) => String::new(),
        }
    }

    fn method(&self) -> &str {
        self.endpoint.method().map_or("any", http::Method::as_str)
    }

    fn to_json(&self) -> Value {
        let mut rule = json!({ "method": self.method(), "path": self.endpoint.path().to_string() });
        if let Some(reason) = self.public_reason() {
            rule["public"] = reason.into();
        }
        if let Some(requirement) = self.requirement() {
            let names = |one_of: &[Ability]| one_of.iter().map(Ability::to_string).collect();
            let abilities: Vec<Vec<String>> =
                requirement.abilities.iter().map(|one_of| names(one_of)).collect();
            rule["requires"] = json!({
                "one_of_each": abilities,
                "kind": requirement.kind.map(|kind| kind.to_string()),
                "stage": requirement.stage.as_ref().map(|stage| stage.as_str()),
            });
            rule["report_only"] = requirement.report_only.into();
        }
        rule
    }
}

impl AccessPolicy {
    /// Returns the table as JSON, for snapshot tests and other programs.
    ///
    /// ```json
    /// {"report_only":false,"rules":[
    ///   {"method":"GET","path":"/healthz","public":"the load balancer asks without a key"},
    ///   {"method":"GET","path":"/v1/users/{id}","report_only":false,
    ///    "requires":{"kind":"secret","one_of_each":[["users:read"]],"stage":null}}]}
    /// ```
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    ///
    /// let policy = AccessPolicy::builder().allow("GET /bots", Requirement::key()).build()?;
    /// assert_eq!(policy.to_json()["rules"][0]["path"], "/bots");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> Value {
        let rules: Vec<_> = self.rules().iter().map(Rule::to_json).collect();
        json!({ "report_only": self.report_only, "rules": rules })
    }
}

/// Writes the table with aligned columns.
impl fmt::Display for AccessPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["METHOD", "PATH", "REQUIRES", "NOTE"].map(str::to_owned);
        let line = |rule: &Rule| {
            [
                rule.method().to_owned(),
                rule.endpoint.path().to_string(),
                rule.requires(),
                rule.note(),
            ]
        };
        let lines: Vec<_> = std::iter::once(head).chain(self.rules().iter().map(line)).collect();
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
        };
        let [method, path, requires] = [width(0), width(1), width(2)];
        for [a, b, c, d] in &lines {
            let line = format!("{a:method$}  {b:path$}  {c:requires$}  {d}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
