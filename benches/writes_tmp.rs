#![allow(clippy::unwrap_used, reason = "a benchmark")]
use std::time::{Duration, Instant, SystemTime};
use tower_api_key::store::*;
use tower_api_key::{KeyId, MemoryStore, PostgresStore, RedisStore, SqliteStore};

async fn measure(name: &str, store: impl UsageStore) {
    let ids: Vec<_> = (0..1000).map(|_| KeyId::generate().unwrap()).collect();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 / 86400 * 86400);
    let mut kinds: [Vec<Duration>; 3] = Default::default();
    let mut number = 0;
    for hour in 0..26 {
        for turn in 0..4 {
            let rows = ids.iter().map(|id| {
                let mut counts = UsageCounts::default();
                counts.add(UsageKind::Accepted, 100 + number % 50);
                counts.add(UsageKind::RateLimited, number % 7);
                KeyUsage::new(
                    id.clone(),
                    Some("acme".parse().unwrap()),
                    now + Duration::from_secs(3600 * hour),
                    counts,
                )
            });
            let batch = UsageBatch::new("bench", number + 1, UsageRetention::default(), rows);
            number += 1;
            let begun = Instant::now();
            store.add_usage(&batch).await.unwrap();
            let kind = if turn > 0 {
                2
            } else if hour % 24 == 0 {
                0
            } else {
                1
            };
            kinds[kind].push(begun.elapsed());
        }
    }
    let words: Vec<_> = ["new day", "new hour", "same hour"]
        .iter()
        .zip(&mut kinds)
        .map(|(word, times)| {
            times.sort();
            format!(
                "{word}: median {:.1} min {:.1}",
                times[times.len() / 2].as_secs_f64() * 1e3,
                times[0].as_secs_f64() * 1e3
            )
        })
        .collect();
    println!("{name}: {}", words.join(", "));
}

#[tokio::main]
async fn main() {
    measure("memory", MemoryStore::new()).await;
    measure("SQLite in memory", SqliteStore::in_memory().await.unwrap()).await;
    let file = std::env::temp_dir().join(format!("writes-{}.db", std::process::id()));
    measure("SQLite file", SqliteStore::open(&file).await.unwrap()).await;
    if let Ok(url) = std::env::var("DATABASE_URL") {
        let schema = format!("writes_{}", std::process::id());
        measure("PostgreSQL", PostgresStore::connect(&url).schema(schema).await.unwrap()).await;
    }
    if let Ok(url) = std::env::var("REDIS_URL") {
        let prefix = format!("writes-{}:", std::process::id());
        measure("Redis", RedisStore::connect(&url).key_prefix(&*prefix).await.unwrap()).await;
    }
}
