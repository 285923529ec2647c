//! Rate limits as text, and what they let through.
//!
//! Each line but the last is a limit; the last one is how many milliseconds pass before each request.

#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use tower_api_key::key::RateLimits;
use tower_api_key::testing::FakeClock;
use tower_api_key::{ApiKeyLayer, Clock as _, MemoryStore, RateLimit, RejectionKind};
use tower_api_key_fuzz::{Outcome, answer, insert, lines, request};

fuzz_target!(|input: &[u8]| {
    let Some(mut lines) = lines(input) else { return };
    let waits = lines.pop().unwrap();
    let mut limits: Vec<RateLimit> = Vec::new();
    for line in &lines {
        let Ok(limit) = line.parse::<RateLimit>() else { return };
        assert_eq!(limit.to_string().parse().as_ref(), Ok(&limit), "{limit}");
        assert!(limit.quota() > 0 && limit.burst() > 0 && !limit.window().is_zero());
        limits.push(limit);
    }
    let Ok(set) = RateLimits::new(limits.iter().cloned()) else { return };
    let json = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<RateLimits>(&json).unwrap(), set);

    let keys = MemoryStore::new();
    insert(&keys, "key", |record| {
        record.set_limits(set);
        record.set_tenant(Some("acme".parse().unwrap()));
    });
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let layer = ApiKeyLayer::new(keys).clock(clock.clone()).x_rate_limit_headers();
    let mut admitted = Vec::new();
    for wait in waits.split(' ').take(64) {
        let Ok(wait) = wait.parse::<u32>() else { return };
        clock.advance(Duration::from_millis(wait.into()));
        let (outcome, _, response) =
            answer(&layer, request(b"/", [&b"x-api-key: key"[..]]).unwrap());
        let headers = response.headers();
        assert_eq!(headers.contains_key("ratelimit"), !limits.is_empty());
        match outcome {
            Outcome::Admitted(_) => admitted.push(clock.now()),
            Outcome::Refused(RejectionKind::RateLimited) => {
                let seconds = headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
                assert!(
                    seconds <= limits.iter().map(|limit| limit.window().as_secs()).max().unwrap()
                );
                // Some limit is used up: the burst, within the time in which it comes back.
                let used_up = limits.iter().any(|limit| {
                    let back = limit.window() * limit.burst() / limit.quota();
                    let since = clock.now() - back - Duration::from_secs(1);
                    let count = admitted.iter().filter(|at| **at >= since).count();
                    count as u64 >= limit.burst().into()
                });
                assert!(used_up, "{limits:?}");
            }
            outcome => panic!("{outcome:?}"),
        }
        // Any period as long as the window has at most quota and burst together.
        for limit in &limits {
            let since = clock.now() - limit.window();
            let count = admitted.iter().filter(|at| **at > since).count() as u64;
            assert!(count <= u64::from(limit.quota()) + u64::from(limit.burst()), "{limit}");
        }
    }
});
