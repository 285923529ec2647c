//! Rate limits that many processes share, in Redis.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::get;
use futures_util::future::join_all;
use redis::{Client, Cmd, FromRedisValue, cmd};
use tower_api_key::key::RateLimits;
use tower_api_key::limit::{LimitDecision, LimitStatus};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    ApiKeyLayer, KeyId, KeyManager, KeyRecord, KeyScheme, MemoryRateLimiter, MemoryStore, NewKey,
    RateLimiter, RedisRateLimiter, RequireAbility,
};

use crate::common::servers::{Redis, redis_url};
use crate::common::with_id;
use crate::common::{RawResponse, get_raw, in_time, issue, serve};

fn prefix() -> String {
    format!("test:{}:", KeyId::generate().unwrap())
}

async fn limiter(prefix: &str) -> RedisRateLimiter {
    RedisRateLimiter::connect(&redis_url()).key_prefix(prefix).await.unwrap()
}

async fn run<T: FromRedisValue>(command: &mut Cmd) -> T {
    let client = Client::open(redis_url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    command.query_async(&mut connection).await.unwrap()
}

fn limited(limits: &[&str]) -> NewKey {
    limits.iter().fold(NewKey::named("test").tenant("acme"), |key, limit| key.limit(*limit))
}

fn key(limits: &[&str]) -> Arc<KeyRecord> {
    limited(limits).generate(&KeyScheme::default()).unwrap().record
}

async fn take(limiter: &RedisRateLimiter, key: &KeyRecord, cost: u32) -> LimitDecision {
    in_time(limiter.reserve(key, cost)).await.unwrap()
}

/// Returns how many of so many requests, one after another, are granted.
async fn granted(limiter: &RedisRateLimiter, key: &KeyRecord, requests: usize) -> usize {
    let mut granted = 0;
    for _ in 0..requests {
        granted += usize::from(take(limiter, key, 1).await.is_granted());
    }
    granted
}

async fn remaining(limiter: &RedisRateLimiter, key: &KeyRecord) -> Vec<u32> {
    let decision = in_time(limiter.peek(key)).await.unwrap();
    decision.statuses().iter().map(LimitStatus::remaining).collect()
}

/// The limits of the key that several processes use, of which the second is not spent.
const LIMITS: [&str; 2] = ["100 per day", "1000 per hour, shared by tenant"];

fn key_of_all(id: &str) -> KeyRecord {
    with_id(&key(&LIMITS), &id.parse().unwrap())
}

/// What another test starts in processes of their own. Alone, it has nothing to do.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run tests/all"]
async fn a_process_of_several() {
    let Ok(id) = std::env::var("SHARED_KEY") else { return };
    let key = key_of_all(&id);
    let limiter = limiter(&std::env::var("SHARED_PREFIX").unwrap()).await;
    println!("\nready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let tasks = (0..20).map(|_| {
        let (limiter, key) = (limiter.clone(), key.clone());
        tokio::spawn(async move { granted(&limiter, &key, 10).await })
    });
    let granted: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    println!("\ngranted {granted}");
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn two_processes_admit_together_what_one_would() {
    let (prefix, id) = (prefix(), key(&[]).id().to_string());
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "redis_limiter::a_process_of_several",
                "--include-ignored",
                "--nocapture",
            ])
            .envs([("SHARED_KEY", &id), ("SHARED_PREFIX", &prefix)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let processes = [start(), start()];
    let processes = tokio::task::spawn_blocking(move || {
        let mut processes = processes.map(|mut process| {
            let output = BufReader::new(process.stdout.take().unwrap());
            let mut lines = output.lines().map(Result::unwrap);
            lines.find(|line| line == "ready").expect("it starts");
            (process, lines)
        });
        for (process, _) in &mut processes {
            process.stdin.take().unwrap().write_all(b"go\n").unwrap();
        }
        processes.map(|(mut process, mut lines)| {
            let granted = lines.find_map(|line| line.strip_prefix("granted ")?.parse().ok());
            lines.for_each(drop);
            assert!(process.wait().unwrap().success());
            granted.expect("it ends")
        })
    });
    let granted: [usize; 2] = in_time(processes).await.unwrap();
    assert_eq!(granted.iter().sum::<usize>(), 100, "{granted:?}");
    let key = key_of_all(&id);
    assert_eq!(remaining(&limiter(&prefix).await, &key).await, [0, 900]);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_request_that_one_limit_refuses_spends_nothing_of_the_others() {
    let limiter = limiter(&prefix()).await;
    let key = key(&["2 per hour", "5 per day", "pool: 9 per day, shared by tenant"]);
    assert_eq!(granted(&limiter, &key, 2).await, 2);
    let refused = take(&limiter, &key, 1).await;
    let exceeded: Vec<_> = refused.statuses().iter().map(LimitStatus::is_exceeded).collect();
    assert_eq!(exceeded, [true, false, false]);
    assert_eq!(remaining(&limiter, &key).await, [0, 3, 7]);
    assert_eq!(take(&limiter, &key, 6).await.retry_after(), None, "never 6 at once");
    assert_eq!(remaining(&limiter, &key).await, [0, 3, 7]);
    assert!(take(&limiter, &key, 0).await.is_granted());
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn keys_of_a_tenant_share_what_is_to_be_shared_and_nothing_else() {
    let (prefix, limits) = (prefix(), ["3 per hour", "4 per day, shared by tenant"]);
    let limiter = limiter(&prefix).await;
    let of =
        |tenant| limited(&limits).tenant(tenant).generate(&KeyScheme::default()).unwrap().record;
    let [one, two, other] = ["acme", "acme", "globex"].map(of);
    assert_eq!(granted(&limiter, &one, 9).await, 3);
    assert_eq!(granted(&limiter, &two, 9).await, 1);
    assert_eq!(remaining(&limiter, &two).await, [2, 0]);
    assert_eq!(remaining(&limiter, &other).await, [3, 4]);
    let elsewhere = self::limiter(&format!("{prefix}elsewhere:")).await;
    assert_eq!(remaining(&elsewhere, &one).await, [3, 4]);
    let mut alone = KeyRecord::clone(&key(&limits[1..]));
    alone.set_tenant(None);
    assert_eq!(granted(&limiter, &alone, 9).await, 4);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn it_decides_by_the_servers_clock_as_the_limiter_in_memory_does() {
    let limiter = limiter(&prefix()).await;
    let clock = FakeClock::new();
    let memory = MemoryRateLimiter::new().clock(clock.clone());
    let keys = [
        key(&["70 per second, burst 3"]),
        key(&["30000 per second, burst 2", "pool: 300 per second, burst 5, shared by tenant"]),
        key(&["3 per 7 seconds", "pool: 900 per second, burst 2, shared by tenant"]),
    ];
    let (mut refused, mut granted) = (0, Vec::new());
    for number in 0..2000u32 {
        let key = &keys[number as usize % 3];
        let there = take(&limiter, key, number % 5 % 3).await;
        clock.set(there.time().unwrap());
        let here = memory.reserve(key, number % 5 % 3).await.unwrap();
        assert_eq!(there, here, "request {number}");
        refused += u32::from(!here.is_granted());
        if here.is_granted() && number % 11 == 0 {
            granted.push((key, number % 5 % 3, here));
        }
        if number % 23 == 0
            && let Some((key, cost, granted)) = granted.pop()
        {
            let there = in_time(limiter.refund(key, cost, &granted)).await.unwrap();
            clock.set(there.time().unwrap());
            assert_eq!(there, memory.refund(key, cost, &granted).await.unwrap());
        }
    }
    assert!((100..1900).contains(&refused), "{refused}");
    let time = take(&limiter, &keys[0], 0).await.time().unwrap();
    let (seconds, micros): (u64, u64) = run(&mut cmd("TIME")).await;
    let server = SystemTime::UNIX_EPOCH + Duration::from_micros(seconds * 1_000_000 + micros);
    assert!(server.duration_since(time).unwrap() < Duration::from_secs(20));
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_level_is_kept_until_it_is_over_and_no_longer() {
    let prefix = prefix();
    let limiter = limiter(&prefix).await;
    let key = key(&["60 per hour", "10 per second"]);
    let name = |limit| format!("{prefix}key:{}:{limit}", key.id());
    let granted = take(&limiter, &key, 2).await;
    // Two are back after two minutes, at the end of a whole millisecond.
    let left: i64 = run(cmd("PTTL").arg(name("hourly"))).await;
    assert!((90_000..=120_001).contains(&left), "{left}");
    in_time(async {
        while run::<bool>(cmd("EXISTS").arg(name("per-second"))).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    in_time(limiter.refund(&key, 2, &granted)).await.unwrap();
    assert!(!run::<bool>(cmd("EXISTS").arg(name("hourly"))).await, "all was given back");
    assert_eq!(remaining(&limiter, &key).await, [60, 10]);
    assert!(!run::<bool>(cmd("EXISTS").arg(name("hourly"))).await, "nothing was asked");
    let () = run(&mut cmd("SCRIPT").arg("FLUSH").take()).await;
    assert!(take(&limiter, &key, 1).await.is_granted(), "a script is sent again");
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_level_that_cannot_be_read_is_an_error_and_nothing_is_spent() {
    let prefix = prefix();
    let limiter = limiter(&prefix).await;
    let key = key(&["60 per hour", "10 per day"]);
    let name = |limit| format!("{prefix}key:{}:{limit}", key.id());
    for value in [
        "soon",
        "1:2:1e18",
        "1:2:-5",
        "1:2:17000000001234567890",
        "1:2:0x12345678901",
        "1700000000000000000",
    ] {
        let () = run(cmd("SET").arg(name("daily")).arg(value)).await;
        in_time(limiter.reserve(&key, 1)).await.expect_err(value);
        in_time(limiter.peek(&key)).await.expect_err(value);
        assert!(!run::<bool>(cmd("EXISTS").arg(name("hourly"))).await);
    }
    let () = run(cmd("DEL").arg(name("daily"))).await;
    let () = run(cmd("RPUSH").arg(name("daily")).arg("a list")).await;
    in_time(limiter.reserve(&key, 1)).await.unwrap_err();
    assert!(!run::<bool>(cmd("EXISTS").arg(name("hourly"))).await);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_low_shared_limit_of_one_key_does_not_lock_out_the_tenant() {
    let limiter = limiter(&prefix()).await;
    let production = key(&["daily: 10000 per day, shared by tenant"]);
    for low in ["2 per 366 days", "2 per day", "10000 per 366 days", "10000 per day, burst 2"] {
        let low = key(&[&format!("daily: {low}, shared by tenant")]);
        assert!(granted(&limiter, &low, 3).await > 0);
    }
    assert!(take(&limiter, &production, 1).await.is_granted());
    // The same limit is one, for all of the tenant's keys that have it.
    let same = key(&["daily: 10000 per day, shared by tenant"]);
    take(&limiter, &same, 1).await;
    assert_eq!(remaining(&limiter, &production).await, [9998]);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn no_wait_is_longer_than_a_limit_takes_to_be_whole_again_whatever_the_clock_did() {
    let prefix = prefix();
    let limiter = limiter(&prefix).await;
    for (limit, tenant) in [("60 per minute", false), ("60 per minute, shared by tenant", true)] {
        let key = key(&[limit]);
        let name = match tenant {
            true => format!("{prefix}tenant:acme:per-minute:60:60:60"),
            false => format!("{prefix}key:{}:per-minute", key.id()),
        };
        assert!(take(&limiter, &key, 1).await.is_granted());
        let kept: String = run(cmd("GET").arg(&name)).await;
        let level: u64 = kept.strip_prefix("1000000000:60:").unwrap().parse().unwrap();
        // As if the clock had been an hour ahead when it was kept.
        let ahead = format!("1000000000:60:{}", level + 3600 * 1_000_000_000);
        let () = run(cmd("SET").arg(&name).arg(ahead)).await;
        let refused = take(&limiter, &key, 1).await;
        let wait = refused.retry_after().unwrap();
        assert!(wait <= Duration::from_secs(1), "{limit}: {wait:?}");
        tokio::time::sleep(wait).await;
        assert!(take(&limiter, &key, 1).await.is_granted(), "{limit}");
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_successor_takes_over_what_was_used_and_both_count_together() {
    let limiter = limiter(&prefix()).await;
    let manager = KeyManager::new(MemoryStore::new());
    let limits = ["3 per hour", "pool: 5 per day, shared by tenant"];
    let first = manager.issue(limited(&limits)).await.unwrap().record;
    take(&limiter, &first, 1).await;
    let grace = Duration::from_secs(3600);
    let second = manager.rotate(first.id(), grace).await.unwrap().record;
    take(&limiter, &second, 1).await;
    let third = manager.rotate(second.id(), grace).await.unwrap().record;
    take(&limiter, &third, 1).await;
    for key in [&first, &second, &third] {
        assert_eq!(remaining(&limiter, key).await, [0, 2]);
        assert!(!take(&limiter, key, 1).await.is_granted());
    }
    // Other numbers make nothing whole again, neither for the key nor for those that it counts with.
    let mut lower = KeyRecord::clone(&third);
    for limit in ["3 per hour, burst 1", "1 per hour", "3 per hour, burst 2"] {
        lower.set_limits(RateLimits::new([limit.parse().unwrap()]).unwrap());
        let refused = take(&limiter, &lower, 1).await;
        let wait = refused.retry_after().unwrap();
        assert!(wait <= Duration::from_secs(3600), "{limit}: {wait:?}");
        assert!(!take(&limiter, &first, 1).await.is_granted());
    }
}

async fn ask(address: std::net::SocketAddr, path: &str, key: &str) -> RawResponse {
    in_time(get_raw(address, path, &[&format!("x-api-key: {key}")])).await
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn servers_count_together_and_tell_clients_how_things_stand() {
    let (keys, prefix) = (MemoryStore::new(), prefix());
    let key = issue(&keys, limited(&["3 per hour"]));
    let mut servers = Vec::new();
    for _ in 0..2 {
        let layer = ApiKeyLayer::new(keys.clone()).rate_limiter(limiter(&prefix).await);
        let weak = get(|| async { "in" }).layer(RequireAbility::new("bots:read"));
        let app = Router::new().route("/", get(|| async { "in" })).route("/bots", weak);
        servers.push(serve(app.layer(layer)).await);
    }
    for (number, left) in [(0, "2"), (1, "1")] {
        let response = ask(servers[number], "/", &key).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("ratelimit-policy"), Some(r#""hourly";q=3;w=3600"#));
        let field = response.header("ratelimit").unwrap();
        assert!(field.starts_with(&format!(r#""hourly";r={left};t=1"#)), "{field}");
    }
    assert_eq!(ask(servers[0], "/bots", &key).await.status, 403, "it is given back");
    assert_eq!(ask(servers[0], "/", &key).await.status, 200);
    for server in servers {
        let refused = ask(server, "/", &key).await;
        assert_eq!(refused.status, 429);
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1100..=1200).contains(&wait), "{wait}");
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn without_redis_requests_with_limits_are_refused_with_503() {
    let mut redis = Redis::start().await;
    let keys = MemoryStore::new();
    let key = issue(&keys, limited(&["5 per hour"]));
    let free = issue(&keys, NewKey::named("free"));
    let limiter = RedisRateLimiter::connect(&redis.url()).await.unwrap();
    let layer = ApiKeyLayer::new(keys).rate_limiter(limiter);
    let open = layer.clone().allow_when_limiter_fails();
    let app = |layer| Router::new().route("/", get(|| async { "in" })).layer(layer);
    let (server, open) = (serve(app(layer)).await, serve(app(open)).await);
    assert_eq!(ask(server, "/", &key).await.status, 200);
    redis.kill().await;
    for _ in 0..5 {
        let refused = ask(server, "/", &key).await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
        assert_eq!(ask(server, "/", &free).await.status, 200);
        assert_eq!(ask(open, "/", &key).await.status, 200);
    }
    redis.start_again().await;
    let back = in_time(async {
        loop {
            let response = ask(server, "/", &key).await;
            if response.status != 503 {
                return response;
            }
        }
    })
    .await;
    // It was appended to a file, so what was spent is not forgotten.
    assert!(back.header("ratelimit").unwrap().starts_with(r#""hourly";r=3;"#), "{back:?}");
    redis.pause().await;
    assert_eq!(ask(server, "/", &key).await.status, 503);
    redis.resume();
}
