#!/usr/bin/env bash
# clap 4.6.7: `--output` requires `--confirm`, and `--dry-run` conflicts with `--confirm`. Of `--output` alone clap
# says that `--confirm` is missing; `--output --dry-run` is accepted without it: a conflict with an argument that is
# present takes `requires` away. Where `requires` and `conflicts_with` name a group whose only member is
# `--confirm`, the same command line is refused.
#
# It matters to command lines that take `requires` as a promise and then read the required value, or ask nothing
# because a confirmation "must" be there: the combination has to be ruled out by a conflict of its own, and putting
# an argument into a group changes what is accepted.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies]
clap = { version = "=4.6.7", default-features = false, features = ["std", "help", "usage", "error-context"] }

[workspace]
TOML
cat >src/main.rs <<'RUST'
use clap::{Arg, ArgAction, ArgGroup, Command};

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

/// A command whose `--output` requires what `--dry-run` conflicts with.
fn command(what: &'static str) -> Command {
    Command::new("export")
        .arg(flag("confirm"))
        .group(ArgGroup::new("any-confirmation").arg("confirm"))
        .arg(flag("output").requires(what))
        .arg(flag("dry-run").conflicts_with(what))
}

fn outcome(what: &'static str, arguments: &[&'static str]) -> String {
    let parsed = command(what).try_get_matches_from([&["export"], arguments].concat());
    let outcome = match parsed {
        Ok(matches) => format!("accepted, confirm = {}", matches.get_flag("confirm")),
        Err(error) => format!("{:?}", error.kind()),
    };
    println!("by {what}: {}: {outcome}", arguments.join(" "));
    outcome
}

fn main() {
    let alone = outcome("confirm", &["--output"]);
    let dry = outcome("confirm", &["--output", "--dry-run"]);
    let dry_by_group = outcome("any-confirmation", &["--output", "--dry-run"]);
    let seen = [alone, dry, dry_by_group];
    if seen != ["MissingRequiredArgument", "accepted, confirm = false", "MissingRequiredArgument"] {
        std::process::exit(1);
    }
}
RUST
if ! cargo run --quiet; then
    echo "this has changed: which command lines clap accepts" >&2
    exit 1
fi
