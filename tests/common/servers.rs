//! PostgreSQL and Redis: the servers that all tests share, and the kinds of a test's own.

use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::{Kind, Server, command, log};

/// A PostgreSQL of a test's own. Its account is `postgres`, and so is its database.
pub type Postgres = Server<PostgresKind>;

/// A Redis of a test's own, which forgets nothing that it acknowledged.
pub type Redis = Server<RedisKind>;

/// The PostgreSQL that tests share. A test keeps to names of its own there.
pub fn database_url() -> String {
    variable("DATABASE_URL")
}

/// The Redis that tests share. A test keeps to names of its own there.
pub fn redis_url() -> String {
    variable("REDIS_URL")
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("run tests/all, which starts the servers")
}

pub enum PostgresKind {}

impl Kind for PostgresKind {
    fn create(directory: &Path) -> Option<Command> {
        if directory.metadata().unwrap().uid() == 0 {
            let (user, group) = account_of_postgres();
            chown(directory, Some(user), Some(group)).unwrap();
        }
        let mut initdb = command(program_of_postgres("initdb"), directory);
        initdb.args(["--pgdata", "data", "--username", "postgres", "--auth", "trust"]);
        initdb.args(["--encoding", "UTF8", "--no-locale", "--no-sync"]);
        Some(initdb)
    }

    fn command(directory: &Path, port: u16) -> Command {
        let mut postgres = command(program_of_postgres("postgres"), directory);
        postgres.args(["-D", "data", "-c", "listen_addresses=127.0.0.1", "-p", &port.to_string()]);
        // Without `fsync`, what was committed is lost with the machine only.
        for setting in ["unix_socket_directories=", "max_connections=200", "fsync=off"] {
            postgres.args(["-c", setting]);
        }
        postgres
    }

    /// The first line of this file is the process, which may be of an earlier start, and the
    /// eighth is its state.
    fn is_ready(directory: &Path, process: u32) -> bool {
        let file = directory.join("data/postmaster.pid");
        let file = std::fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<_> = file.lines().map(str::trim).collect();
        lines.first() == Some(&&*process.to_string()) && lines.get(7) == Some(&"ready")
    }

    fn url(address: SocketAddr) -> String {
        format!("postgres://postgres@{address}/postgres")
    }
}

fn program_of_postgres(name: &str) -> PathBuf {
    Path::new(&variable("POSTGRES_BIN")).join(name)
}

/// Returns the user and the group of the account that its package makes, since PostgreSQL does
/// not run as root.
fn account_of_postgres() -> (u32, u32) {
    let id = |option| {
        let output = Command::new("id").args([option, "postgres"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    (id("-u"), id("-g"))
}

pub enum RedisKind {}

impl Kind for RedisKind {
    fn create(_: &Path) -> Option<Command> {
        None
    }

    fn command(directory: &Path, port: u16) -> Command {
        let mut redis = command(variable("REDIS_SERVER"), directory);
        redis.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
        redis.args(["--appendonly", "yes", "--appendfsync", "always"]);
        redis
    }

    fn is_ready(directory: &Path, _: u32) -> bool {
        log(directory).contains("Ready to accept connections")
    }

    fn url(address: SocketAddr) -> String {
        format!("redis://{address}")
    }
}
