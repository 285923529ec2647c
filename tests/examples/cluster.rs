//! The example `cluster`, which is not a server.

use std::process::{Command, Output};

use crate::common::servers::database_url;
use crate::example::directory;

fn run(database: Option<String>) -> Output {
    let mut command = Command::new(directory().join("cluster"));
    command.env_remove("DATABASE_URL").env("REVOCATIONS", "30");
    command.envs(database.map(|url| ("DATABASE_URL", url))).output().unwrap()
}

#[test]
#[ignore = "needs PostgreSQL: run tests/all"]
fn the_other_node_refuses_what_was_revoked_also_while_its_connection_is_killed() {
    let output = run(Some(database_url()));
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

#[test]
fn without_a_database_it_says_what_it_needs() {
    let output = run(None);
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("set DATABASE_URL to a PostgreSQL database"), "{told}");
}
