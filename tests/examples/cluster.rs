//! The example `cluster`, which is not a server.

use std::process::{Command, Output};

use crate::common::built::example;
use crate::common::servers::database_url;

fn run(database: Option<String>, arguments: &[&str]) -> Output {
    let mut command = Command::new(example("cluster"));
    command.args(arguments).env_remove("DATABASE_URL").env("REVOCATIONS", "30");
    command.env("KEYS", "20").env("STREAMS", "200");
    command.envs(database.map(|url| ("DATABASE_URL", url))).output().unwrap()
}

#[test]
#[ignore = "needs PostgreSQL: run tests/all"]
fn the_other_node_refuses_what_was_revoked_also_while_its_connection_is_killed() {
    let output = run(Some(database_url()), &[]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    for what in ["subscribed", "connections killed"] {
        let line = printed.lines().find(|line| line.starts_with(what)).unwrap();
        for part in ["30 revocations", "p50", "p99", "max"] {
            assert!(line.contains(part), "{line}");
        }
    }
    let killed = printed.lines().find_map(|line| line.strip_prefix("killed ")).unwrap();
    assert!(!killed.starts_with("0 "), "{killed}");
}

/// Which of two is faster says nothing here.
#[test]
#[ignore = "needs PostgreSQL: run tests/all"]
fn streams_end_with_their_keys_and_the_store_is_asked_no_more_than_is_promised() {
    let output = run(Some(database_url()), &["streams"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "200 streams of 20 keys are open",
        "subscribed: 30 revocations",
        "connections killed: 30 revocations",
        "200 streams of valid keys are still open",
        "one key with 200 streams",
    ] {
        assert!(printed.lines().any(|printed| printed.starts_with(line)), "{line}: {printed}");
    }
    let lines = |part: &str| printed.lines().filter(|line| line.contains(part)).count();
    assert_eq!(lines("the next request was refused after p50"), 2, "{printed}");
    assert_eq!(lines("  150 streams ended after p50"), 2, "{printed}");
    // Both nodes, each time.
    assert_eq!(lines("times for"), 4, "{printed}");
    let killed = printed.lines().find_map(|line| line.strip_prefix("  killed ")).unwrap();
    assert!(!killed.starts_with("0 "), "{killed}");
}

#[test]
fn without_a_database_it_says_what_it_needs() {
    let output = run(None, &["streams"]);
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("set DATABASE_URL to a PostgreSQL database"), "{told}");
}
