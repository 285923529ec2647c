//! Proxies and other programs of the system, each on a free port and in a directory of its own.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running proxy. It is stopped when it is dropped, and also when the test's process ends in
/// another way.
pub struct ProxyProgram {
    pub address: SocketAddr,
    program: Child,
    reaper: Child,
    directory: TempDir,
}

impl ProxyProgram {
    /// Starts a proxy in front of two nodes.
    ///
    /// `configuration` is a file of `tests/request/proxies`. `command` is the program and its arguments, of
    /// which the last one is the file. In both, `{address}` and its `{port}`, `{directory}`, and `{node1}`, its
    /// `{host1}` and `{port1}`, and so on, are replaced.
    pub fn start(configuration: &str, command: &[&str], nodes: [SocketAddr; 2]) -> Self {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("request/proxies");
        let template = fs::read_to_string(template.join(configuration)).unwrap();
        for _ in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let address = free_address();
            // Started by root, some change to an account of their own.
            fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
            let fill = |text: &str| {
                let mut text = text
                    .replace("{address}", &address.to_string())
                    .replace("{port}", &address.port().to_string())
                    .replace("{directory}", directory.path().to_str().unwrap());
                for (number, node) in (1..).zip(nodes) {
                    text = text
                        .replace(&format!("{{node{number}}}"), &node.to_string())
                        .replace(&format!("{{host{number}}}"), &node.ip().to_string())
                        .replace(&format!("{{port{number}}}"), &node.port().to_string());
                }
                text
            };
            let file = directory.path().join(Path::new(configuration).file_name().unwrap());
            fs::write(&file, fill(&template)).unwrap();
            let arguments: Vec<_> = command.iter().map(|argument| fill(argument)).collect();
            let program = spawn(&arguments, &file, directory.path());
            let reaper = reaper(program.id(), directory.path());
            let mut proxy = Self { address, program, reaper, directory };
            // Another may take the port first.
            if proxy.comes_up() {
                return proxy;
            }
            eprintln!("{command:?} does not start: {}", proxy.log());
        }
        panic!("{command:?} does not start");
    }

    /// Returns what it wrote to its log and its outputs.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        read("output") + &read("error.log")
    }

    /// Returns false if it ends instead.
    fn comes_up(&mut self) -> bool {
        let start = Instant::now();
        while self.program.try_wait().unwrap().is_none() {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "it does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for ProxyProgram {
    fn drop(&mut self) {
        drop(self.reaper.stdin.take());
        let _ = self.program.wait();
        let _ = self.reaper.wait();
    }
}

fn spawn(command: &[String], file: &Path, directory: &Path) -> Child {
    let output = File::create(directory.join("output")).unwrap();
    let mut program = Command::new(&command[0]);
    program.args(&command[1..]).arg(file).current_dir(directory);
    program.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    // Ctrl-C is for the test.
    program.process_group(0).spawn().unwrap()
}

/// Starts what stops the program once the test's process closes the pipe, as it does however it
/// ends.
fn reaper(program: u32, directory: &Path) -> Child {
    const SCRIPT: &str = r#"
        read -r _
        kill "$1"
        for _ in $(seq 100); do
            kill -0 "$1" || break
            sleep 0.1
        done
        rm -rf "$2"
    "#;
    let mut shell = Command::new("sh");
    shell.args(["-c", SCRIPT, "sh"]).arg(program.to_string()).arg(directory);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.process_group(0).spawn().unwrap()
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
