//! [`Load`]: what a server did with the requests that `wrk` made.

use std::fs;
use std::process::Command;
use std::time::Duration;

/// How many connections there are, each with one request at a time.
const CONNECTIONS: &str = "16";

pub(crate) struct Load {
    /// Microseconds of a processor that the servers had for each request.
    pub(crate) spent: f64,
    /// Latencies in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Load {
    pub(crate) fn put(url: &str, key: &str, pids: &[u32], time: Duration) -> Self {
        let before: u64 = pids.iter().map(|pid| nanoseconds(*pid)).sum();
        let output = Command::new("wrk")
            .args(["--threads", "1", "--connections", CONNECTIONS, "--latency"])
            .args(["--duration", &format!("{}s", time.as_secs())])
            .args(["--header", &format!("x-api-key: {key}"), "--header", "accept: */*", url])
            .output()
            .unwrap();
        let spent: u64 = pids.iter().map(|pid| nanoseconds(*pid)).sum::<u64>() - before;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{url}: {text}");
        let requests = text.lines().find(|line| line.contains(" requests in ")).unwrap();
        let requests: f64 = requests.split_whitespace().next().unwrap().parse().unwrap();
        let latency = |percent| {
            let line = text.lines().find(|line| line.trim_start().starts_with(percent)).unwrap();
            microseconds(line.split_whitespace().nth(1).unwrap())
        };
        let [p50, p99] = ["50%", "99%"].map(latency);
        Self { spent: spent as f64 / 1000.0 / requests, p50, p99 }
    }
}

pub(crate) fn is_installed(program: &str) -> bool {
    Command::new(program).arg("-v").output().is_ok()
}

/// Returns for how long all threads of a process have run.
fn nanoseconds(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let ran = threads.map(|thread| {
        let text = fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        text.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    });
    ran.sum()
}

/// Reads a time as wrk writes it.
fn microseconds(text: &str) -> f64 {
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().unwrap() * factor;
        }
    }
    panic!("{text} is no time");
}
