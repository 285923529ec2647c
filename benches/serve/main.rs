//! What a server spends on a request with the layer, next to the same router without it and next to others
//! that check a key: processor time, and latencies.
//!
//! `tests/servers cargo bench -p tower-api-key-benches --bench serve` prints it, in `wrk` (a package of Debian) over
//! HTTP/1.1 and connections that are kept; `-- 9 3` has 9 rounds of 3 seconds rather than 7 of 2. Each
//! server is a process of its own with one thread, and is loaded in turn, so that what else the machine
//! does falls on all. Ratios are medians of those within a round. What is not installed is left out: wrk,
//! without which there is nothing to say, nginx, and, without `DATABASE_URL`, PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

mod load;
mod nginx;
mod process;
mod servers;

use std::time::Duration;

use self::load::Load;
use self::nginx::Nginx;
use self::process::Server;

/// What is loaded: the processes whose time counts, and the address.
struct Case<'a> {
    name: &'static str,
    /// The case by whose time that of this one is divided.
    beside: &'static str,
    pids: Vec<u32>,
    url: String,
    key: &'a str,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, kind] = &*arguments
        && what == "server"
    {
        return servers::serve(kind);
    }
    let numbers: Vec<u64> = arguments.iter().filter_map(|text| text.parse().ok()).collect();
    let rounds = numbers.first().copied().unwrap_or(7);
    let time = Duration::from_secs(numbers.get(1).copied().unwrap_or(2));
    if !load::is_installed("wrk") {
        return println!("wrk is not installed: nothing is measured");
    }

    let servers: Vec<Server> =
        servers::KINDS.iter().filter_map(|kind| Server::start(kind)).collect();
    let named = |name: &str| servers.iter().find(|server| server.kind == name).unwrap();
    let direct = servers.iter().map(|server| Case {
        name: server.kind,
        beside: "bare",
        pids: vec![server.pid()],
        url: format!("http://{}/bots", server.address),
        key: &server.key,
    });
    let mut cases: Vec<_> = direct.collect();
    let (bare, memory) = (named("bare"), named("memory"));
    let nginx = Nginx::start(&bare.address, &memory.address, &memory.key);
    match &nginx {
        Some(nginx) => {
            for (name, path) in nginx::PATHS {
                let mut pids = vec![nginx.worker(), bare.pid()];
                if name == "nginx auth_request" {
                    pids.push(memory.pid());
                }
                let url = format!("http://{}/{path}/bots", nginx.address);
                cases.push(Case { name, beside: "nginx bare", pids, url, key: &memory.key });
            }
        }
        None => println!("nginx is not installed, and left out"),
    }

    let mut measured: Vec<Vec<Load>> = cases.iter().map(|_| Vec::new()).collect();
    // The first round warms up.
    for round in 0..=rounds {
        for (case, loads) in cases.iter().zip(&mut measured) {
            let load = Load::put(&case.url, case.key, &case.pids, time);
            if round > 0 {
                loads.push(load);
            }
        }
    }

    println!("| server | µs of a processor a request | ratio (lowest, highest) | p50 | p99 |");
    println!("|---|---|---|---|---|");
    for (case, loads) in cases.iter().zip(&measured) {
        let beside = cases.iter().position(|other| other.name == case.beside).unwrap();
        let mut ratios: Vec<_> =
            loads.iter().zip(&measured[beside]).map(|(own, bare)| own.spent / bare.spent).collect();
        let ratio = median(&mut ratios);
        let of = |part: fn(&Load) -> f64| median(&mut loads.iter().map(part).collect::<Vec<_>>());
        println!(
            "| {} | {:.2} | {ratio:.3} ({:.3}, {:.3}) of {} | {:.0} µs | {:.0} µs |",
            case.name,
            of(|load| load.spent),
            ratios.first().unwrap(),
            ratios.last().unwrap(),
            case.beside,
            of(|load| load.p50),
            of(|load| load.p99),
        );
    }
}

/// Sorts the numbers, and returns the one in the middle.
fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
