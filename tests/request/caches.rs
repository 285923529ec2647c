//! Shared HTTP caches: programs of a test's own, each in front of an application.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::common::server::free_port;
use crate::common::{get_raw, in_time};

/// A program that caches. The files in `tests/request/proxies/caches/` configure it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Nginx,
    TrafficServer,
    Varnish,
    Squid,
    Apache,
}

/// A running cache on a port and in a directory of its own. It is stopped and removed when it is
/// dropped, and also when the test's process ends in another way, such as by Ctrl-C.
pub struct SharedCache {
    address: SocketAddr,
    process: Child,
    keeper: Child,
    directory: TempDir,
}

impl Program {
    fn configuration(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::TrafficServer => "trafficserver",
            Self::Varnish => "varnish",
            Self::Squid => "squid",
            Self::Apache => "apache",
        }
    }

    /// Returns its command, which stays in the foreground and reads the configuration in its
    /// working directory.
    fn command(self, directory: &Path, port: u16) -> Command {
        let (program, arguments) = match self {
            Self::Nginx => ("nginx", "-p {directory} -c nginx.conf -e stderr"),
            Self::TrafficServer => ("traffic_server", "--run-root={directory}/runroot.yaml"),
            Self::Varnish => (
                "varnishd",
                "-F -j none -n {directory}/work -a 127.0.0.1:{port} -f {directory}/cache.vcl \
                 -s malloc,16m",
            ),
            // By its name, it shares memory with others.
            Self::Squid => ("squid", "-N -n cache{port} -f squid.conf"),
            Self::Apache => ("apache2", "-X -f {directory}/apache.conf"),
        };
        let mut command = Command::new(program);
        command.args(arguments.split_whitespace().map(|argument| fill(argument, directory, port)));
        command
    }
}

fn fill(text: &str, directory: &Path, port: u16) -> String {
    text.replace("{directory}", directory.to_str().unwrap()).replace("{port}", &port.to_string())
}

impl SharedCache {
    /// Starts it in front of an application that answers `GET /ready` with 200.
    pub async fn start(program: Program, application: SocketAddr) -> Self {
        for _ in 0..5 {
            // Another may take the port first.
            if let Some(cache) = Self::try_start(program, application).await {
                return cache;
            }
        }
        panic!("{program:?} does not start");
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn try_start(program: Program, application: SocketAddr) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        configure(program, directory.path(), port, application);

        let log = File::create(directory.path().join("log")).unwrap();
        let mut command = program.command(directory.path(), port);
        command.current_dir(&directory).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        // Servers are not in the path of every account.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap()));
        // Ctrl-C is for the test.
        let process = command.process_group(0).spawn();
        let process = process.unwrap_or_else(|error| {
            panic!("run tests/all, which installs {program:?}: {error}");
        });
        let keeper = keep(process.id(), directory.path());
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut cache = Self { address, process, keeper, directory };
        cache.is_ready().await.then_some(cache)
    }

    /// Returns false if it ends instead.
    async fn is_ready(&mut self) -> bool {
        let start = Instant::now();
        while self.process.try_wait().unwrap().is_none() {
            if TcpStream::connect(self.address).await.is_ok() {
                let response = in_time(get_raw(self.address, "/ready", &[])).await;
                if response.status == 200 {
                    return true;
                }
            }
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "it does not answer: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        eprintln!("{}", self.log());
        false
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for SharedCache {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.process.wait();
        let _ = self.keeper.wait();
    }
}

/// Writes its configuration for this port and application.
fn configure(program: Program, directory: &Path, port: u16, application: SocketAddr) {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("request/proxies/caches");
    for file in fs::read_dir(files.join(program.configuration())).unwrap() {
        let file = file.unwrap();
        let text = fill(&fs::read_to_string(file.path()).unwrap(), directory, port)
            .replace("{application}", &application.to_string())
            .replace("{application_host}", &application.ip().to_string())
            .replace("{application_port}", &application.port().to_string());
        fs::write(directory.join(file.file_name()), text).unwrap();
    }
    // Started by root, some change to an account of their own.
    for directory in [directory, &directory.join("cache")] {
        fs::create_dir_all(directory).unwrap();
        fs::set_permissions(directory, Permissions::from_mode(0o777)).unwrap();
    }
}

/// Starts what ends a group of processes and removes its directory once the test's process closes
/// the pipe, as it does however it ends.
fn keep(group: u32, directory: &Path) -> Child {
    const SCRIPT: &str = r#"
        read -r _
        kill -TERM "-$1"
        for _ in $(seq 100); do
            kill -0 "-$1" || break
            sleep 0.1
        done
        kill -KILL "-$1"
        rm -rf "$2"
    "#;
    let mut shell = Command::new("sh");
    shell.args(["-c", SCRIPT, "sh", &group.to_string()]).arg(directory);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.process_group(0).spawn().unwrap()
}
