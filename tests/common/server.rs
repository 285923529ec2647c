//! A server program in a process of its own, which can be killed, started again and paused.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What differs between server programs.
pub trait Kind {
    /// Returns the command that makes what the server needs in its directory, if it needs any.
    fn create(directory: &Path) -> Option<Command>;

    fn command(directory: &Path, port: u16) -> Command;

    /// Returns whether this process accepts connections.
    fn is_ready(directory: &Path, process: u32) -> bool;

    fn url(address: SocketAddr) -> String;
}

/// A running server on a port and in a directory of its own. It is stopped and removed when it is
/// dropped, and also when the test's process ends in another way, such as by Ctrl-C.
pub struct Server<K> {
    directory: PathBuf,
    port: u16,
    /// None while it is killed.
    process: Option<Child>,
    reaper: Child,
    kind: PhantomData<K>,
}

impl<K: Kind> Server<K> {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap().keep();
        let reaper = reaper(&directory);
        let mut server = Self { directory, port: 0, process: None, reaper, kind: PhantomData };
        if let Some(create) = K::create(&server.directory) {
            server.run_to_its_end(create).await;
        }
        for _ in 0..5 {
            server.port = free_port();
            // Another may take the port first.
            if server.comes_up().await {
                return server;
            }
        }
        panic!("it does not start: {}", log(&server.directory));
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn url(&self) -> String {
        K::url(self.address())
    }

    /// Returns its URL at another address, such as a proxy's.
    pub fn url_at(address: SocketAddr) -> String {
        K::url(address)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kills the server and its children, and returns once they are gone.
    pub async fn kill(&mut self) {
        let family = stop(self.id()).await;
        signal("KILL", &family);
        until("the server is gone", || {
            self.reap();
            self.process.is_none() && family.iter().all(|id| is_gone(*id))
        })
        .await;
    }

    /// Starts a killed server with the same data on the same port, and returns once it accepts
    /// connections.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "kill the server first");
        assert!(self.comes_up().await, "it does not start: {}", log(&self.directory));
    }

    /// Returns false if it ends instead.
    async fn comes_up(&mut self) -> bool {
        self.spawn(K::command(&self.directory, self.port));
        let id = self.id();
        until("the server is ready", || {
            self.reap();
            self.process.is_none() || K::is_ready(&self.directory, id)
        })
        .await;
        self.process.is_some()
    }

    /// Stops the server and its children in the midst of what they do: they keep their connections,
    /// and the system still accepts new ones, but nothing is answered.
    pub async fn pause(&self) {
        stop(self.id()).await;
    }

    pub fn resume(&self) {
        signal("CONT", &family(self.id()));
    }

    fn id(&self) -> u32 {
        self.process.as_ref().expect("a running server").id()
    }

    async fn run_to_its_end(&mut self, command: Command) {
        self.spawn(command);
        let mut status = None;
        until("the command ends", || {
            status = self.reap();
            status.is_some()
        })
        .await;
        assert!(status.is_some_and(|status| status.success()), "{}", log(&self.directory));
    }

    fn spawn(&mut self, mut command: Command) {
        let process = command.spawn().unwrap();
        self.tell_reaper(&process.id().to_string());
        self.process = Some(process);
    }

    /// Forgets the process if it has ended.
    fn reap(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().unwrap()?;
        self.process = None;
        self.tell_reaper("");
        Some(status)
    }

    fn tell_reaper(&mut self, id: &str) {
        writeln!(self.reaper.stdin.as_mut().unwrap(), "{id}").unwrap();
    }
}

impl<K> Drop for Server<K> {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            signal("CONT", &family(process.id()));
        }
        drop(self.reaper.stdin.take());
        if let Some(mut process) = self.process.take() {
            let _ = process.wait();
        }
        let _ = self.reaper.wait();
    }
}

/// Starts what stops the server and removes its directory once the test's process closes the pipe,
/// as it does however it ends. It reads the process to stop, or an empty line.
fn reaper(directory: &Path) -> Child {
    const SCRIPT: &str = r#"
        while read -r id; do server=$id; done
        if [ -n "$server" ]; then
            kill -QUIT "$server" && kill -CONT "$server"
            for _ in $(seq 600); do
                kill -0 -"$server" || break
                sleep 0.1
            done
        fi
        # A killed PostgreSQL leaves its shared memory, which the seventh line names.
        memory=$(sed -n '7s/.* //p' "$1/data/postmaster.pid") && ipcrm -m "$memory"
        rm -rf "$1"
    "#;
    let mut shell = Command::new("sh");
    shell.args(["-c", SCRIPT, "sh"]).arg(directory);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C is for the test.
    shell.process_group(0).spawn().unwrap()
}

/// Returns a command that is run in this directory, by the account that owns it, with a new log.
pub fn command(program: impl AsRef<OsStr>, directory: &Path) -> Command {
    let owner = directory.metadata().unwrap();
    let log = File::create(directory.join("log")).unwrap();
    let mut command = Command::new(program);
    command.current_dir(directory).uid(owner.uid()).gid(owner.gid());
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    // Ctrl-C is for the test. The reaper waits for all of this group.
    command.process_group(0);
    command
}

pub fn log(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("log")).unwrap_or_default()
}

/// Returns a port below those that systems choose from, so that nobody takes it while its server
/// is killed.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = std::process::id().wrapping_mul(50) + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(20_000 + next % 12_000).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Stops a process and its children without ending them, and returns them.
async fn stop(id: u32) -> Vec<u32> {
    let stopped = |id: &u32| is_gone(*id) || status(*id, "State").as_deref() == Some("T");
    signal("STOP", &[id]);
    until("the server is stopped", || stopped(&id)).await;
    // From here on it starts no more of them.
    let family = family(id);
    signal("STOP", &family);
    until("its children are stopped", || family.iter().all(stopped)).await;
    family
}

/// Sends a signal to processes, of which some may be gone.
fn signal(name: &str, processes: &[u32]) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -s \"$@\"", "sh", name]).stderr(Stdio::null());
    shell.args(processes.iter().map(u32::to_string)).status().unwrap();
}

/// Returns a process and its children.
fn family(id: u32) -> Vec<u32> {
    let names = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let all = names.filter_map(|name| name.to_str()?.parse().ok());
    let parent = id.to_string();
    let is_child = |child: &u32| status(*child, "PPid").as_ref() == Some(&parent);
    std::iter::once(id).chain(all.filter(is_child)).collect()
}

fn is_gone(process: u32) -> bool {
    // A zombie is: its parent has not asked for it yet.
    status(process, "State").is_none_or(|state| state == "Z" || state == "X")
}

/// Returns the first word of a field of Linux's status of a process.
fn status(process: u32, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value.split_whitespace().next().map(str::to_owned)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
