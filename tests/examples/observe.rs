//! The example `observe`: what its dashboard and its alerts ask for is what a scrape has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use regex::Regex;

use crate::common::in_time;
use crate::example::Example;

const ALERTS: &str = include_str!("../../examples/observe/alerts.yml");
const DASHBOARD: &str = include_str!("../../examples/observe/dashboard.json");

/// Names, with the values of each label.
type Series = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Sends requests of each kind, and returns the series of a scrape that has counted them.
async fn scrape(server: &Example) -> (Series, String) {
    assert_eq!(server.get_as("reader", "/reports").await.status, 200);
    for status in [200, 429] {
        assert_eq!(server.get_as("limited", "/reports").await.status, status);
    }
    assert_eq!(server.get("/reports", &["x-api-key: guessed"]).await.status, 401);
    let page = in_time(async {
        loop {
            let page = String::from_utf8(server.get("/metrics", &[]).await.body).unwrap();
            if page.contains("outcome=\"accepted\"} 2") && page.contains("decision_duration") {
                break page;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let line = Regex::new(r"^(\w+)(?:\{(.*)\})? \S+$").unwrap();
    let label = Regex::new(r#"(\w+)="([^"]*)""#).unwrap();
    let mut series = Series::new();
    for found in page.lines().filter_map(|text| line.captures(text)) {
        let labels = series.entry(found[1].to_owned()).or_default();
        for pair in label.captures_iter(found.get(2).map_or("", |labels| labels.as_str())) {
            labels.entry(pair[1].to_owned()).or_default().insert(pair[2].to_owned());
        }
    }
    (series, page)
}

/// Returns all queries of the dashboard and all expressions of the rules.
fn expressions() -> Vec<String> {
    fn collect(json: &serde_json::Value, found: &mut Vec<String>) {
        match json {
            serde_json::Value::Object(fields) => {
                if let Some(expression) = fields.get("expr") {
                    found.push(expression.as_str().unwrap().to_owned());
                }
                fields.values().for_each(|field| collect(field, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_json::from_str(DASHBOARD).unwrap(), &mut found);
    let queries = found.len();
    let rule = Regex::new(r"(?m)^        expr: (?:\|\n\s+)?(.+)$").unwrap();
    found.extend(rule.captures_iter(ALERTS).map(|rule| rule[1].to_owned()));
    assert_eq!(found.len() - queries, ALERTS.matches("alert: ").count());
    assert!(queries > 15);
    found
}

/// Asserts that the series of all selectors of an expression are there, with each value of a label.
fn assert_is_there(expression: &str, series: &Series) {
    let selector = Regex::new(r"(tower_api_key_\w+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r#"(\w+)(?:=|=~|!~|!=)"([^"]*)""#).unwrap();
    let by = Regex::new(r"by \(([^)]*)\)").unwrap();
    let mut selectors = 0;
    for found in selector.captures_iter(expression) {
        selectors += 1;
        let labels = series.get(&found[1]).unwrap_or_else(|| panic!("no {} is there", &found[1]));
        for pair in label.captures_iter(found.get(2).map_or("", |labels| labels.as_str())) {
            // What Prometheus adds by itself.
            if &pair[1] == "job" {
                continue;
            }
            for value in pair[2].split('|') {
                let is_there = labels.get(&pair[1]).is_some_and(|values| values.contains(value));
                assert!(is_there, "no {}=\"{value}\" is there: {expression}", &pair[1]);
            }
        }
        // What is grouped by is a label.
        for name in by.captures_iter(expression).flat_map(|by| by.extract::<1>().1[0].split(", ")) {
            let by_prometheus = ["job", "instance"].contains(&name);
            assert!(by_prometheus || labels.contains_key(name), "{name}: {expression}");
        }
    }
    assert!(selectors > 0, "{expression}");
}

fn is_of_postgres(expression: &str) -> bool {
    expression.contains("_subscription_") || expression.contains("_pool_waiting")
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_ask_for_what_a_scrape_has() {
    let (series, page) = scrape(&Example::start("observe")).await;
    let all = expressions();
    for expression in all.iter().filter(|expression| !is_of_postgres(expression)) {
        assert_is_there(expression, &series);
    }
    assert!(all.iter().any(|expression| is_of_postgres(expression)));
    for line in [
        "tower_api_key_requests_total{outcome=\"accepted\"} 2",
        "tower_api_key_requests_total{outcome=\"rate_limited\"} 1",
        "tower_api_key_management_changes_total{action=\"issued\"} 2",
        "# TYPE tower_api_key_requests_total counter",
        "# TYPE tower_api_key_decision_duration_seconds histogram",
        "# HELP tower_api_key_requests_total Requests by outcome.",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}: {page}");
    }
}

#[cfg(unix)]
#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn with_postgresql_a_scrape_has_all_that_they_ask_for() {
    let url = crate::common::servers::database_url();
    let (series, _) = scrape(&Example::start_with("observe", ("DATABASE_URL", &url))).await;
    for expression in expressions() {
        assert_is_there(&expression, &series);
    }
}

/// Prometheus itself says whether its files are right, and whether the alerts fire.
#[test]
#[ignore = "needs promtool: run tests/all"]
fn promtool_accepts_the_rules_and_they_fire() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/observe");
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts_test.yml"],
    ] {
        let mut command = std::process::Command::new("promtool");
        let output = command.args(arguments).current_dir(&directory).output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&told));
    }
}
