//! [`Server`]: a process of this program that serves.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

pub(crate) struct Server {
    pub(crate) kind: &'static str,
    pub(crate) address: String,
    pub(crate) key: String,
    child: Child,
}

impl Server {
    /// Starts a server, unless it says that something is missing.
    pub(crate) fn start(kind: &'static str) -> Option<Self> {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["server", kind])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some((address, key)) = line.trim_end().split_once(' ').filter(|_| line.contains(':'))
        else {
            let _ = child.wait();
            println!("{kind} is left out: {}", line.trim_end());
            return None;
        };
        let [address, key] = [address, key].map(str::to_owned);
        Some(Self { kind, address, key, child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
