//! What a list asks of Redis: in which steps, over which connection, and what comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, cmd};
use tower_api_key::store::{KeyChange, KeyQuery, KeyState};
use tower_api_key::{KeyManager, KeyRecord, KeyRepository, KeyStore, RedisStore};

use crate::common::in_time;
use crate::common::servers::Redis;
use crate::sql::{at, record};

const KEYS: usize = 1000;

/// A server with many keys, and what it says of itself.
struct Many {
    _redis: Redis,
    keys: RedisStore,
    connection: MultiplexedConnection,
}

impl Many {
    async fn start() -> Self {
        let redis = Redis::start().await;
        let keys = RedisStore::connect(&redis.url()).await.unwrap();
        let records: Vec<KeyRecord> = (0..KEYS)
            .map(|number| {
                let mut record = record();
                record.set_created_at(at(1_700_000_000_000_000 + number as u64));
                record.set_disabled(number == 7);
                record
            })
            .collect();
        for records in records.chunks(100) {
            let changes: Vec<_> =
                records.iter().map(|record| KeyChange::Insert(Arc::new(record.clone()))).collect();
            keys.commit(&changes, &[]).await.unwrap();
        }
        let client = Client::open(redis.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        Self { _redis: redis, keys, connection }
    }

    async fn info(&self, section: &str) -> BTreeMap<String, String> {
        let info = cmd("INFO").arg(section).query_async(&mut self.connection.clone()).await;
        let info: String = info.unwrap();
        let lines = info.lines().filter_map(|line| line.split_once(':'));
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// How many times a command was run.
    async fn calls(&self, command: &str) -> usize {
        let stats = self.info("commandstats").await;
        let Some(stats) = stats.get(&format!("cmdstat_{command}")) else { return 0 };
        let calls = stats.split(',').find_map(|field| field.strip_prefix("calls="));
        calls.unwrap().parse().unwrap()
    }

    async fn sent(&self) -> usize {
        self.info("stats").await["total_net_output_bytes"].parse().unwrap()
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_list_that_matches_little_is_small_and_goes_in_small_steps() {
    let many = Many::start().await;
    let query = KeyQuery::new().limit(50);
    for (query, found, steps) in [
        (query.clone().name("no such name"), 0, KEYS / 100 + 1),
        (query.clone().state(KeyState::Disabled), 1, KEYS / 100 + 1),
        (query.clone().state(KeyState::Revoked).tenant("acme"), 0, KEYS / 100 + 1),
        (query.clone().unused_since(at(1_600_000_000_000_000)), 0, 1),
        (query.clone().name("no such name").max_visited(250), 0, 3),
    ] {
        let (calls, before) = (many.calls("zrange").await, many.sent().await);
        let page = many.keys.list(&query).await.unwrap();
        assert_eq!(page.keys.len(), found, "{query:?}");
        assert_eq!(many.calls("zrange").await - calls, steps, "{query:?}");
        // Two answers of `INFO` are in it, too.
        let sent = many.sent().await - before;
        assert!(sent < 30_000, "{sent} bytes were sent for {found} keys: {query:?}");
    }
    // What is sent as it is goes in larger steps.
    let calls = many.calls("zrange").await;
    assert_eq!(many.keys.list(&KeyQuery::new().limit(1000)).await.unwrap().keys.len(), KEYS);
    assert_eq!(many.calls("zrange").await - calls, 3);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn lists_and_changes_have_a_connection_of_their_own() {
    let redis = Redis::start().await;
    let client = Client::open(redis.url()).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    // The connections of the store, by their numbers.
    let connections = async || -> BTreeSet<u64> {
        let clients = cmd("CLIENT").arg("LIST").query_async(&mut connection.clone()).await;
        let clients: String = clients.unwrap();
        let others = clients.lines().filter(|line| !line.contains("cmd=client|list"));
        let id = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse().ok();
        others.map(|line| id(line).unwrap()).collect()
    };
    let keys = RedisStore::connect(&redis.url()).await.unwrap();
    let record = record();
    assert_eq!(keys.find(&record.digest()).await.unwrap(), None);
    let of_look_ups = connections().await;
    assert_eq!(of_look_ups.len(), 1, "a node that only looks up has one");
    let manager = KeyManager::new(keys.clone());
    let acme = "acme".parse().unwrap();
    for step in 0..6 {
        match step {
            0 => drop(keys.list(&KeyQuery::new()).await.unwrap()),
            // A sweep, the index, and what puts its places right.
            3 => drop(manager.prune(at(1_000_000)).await.unwrap()),
            4 => drop(keys.suspended().await.unwrap()),
            5 => assert!(keys.set_suspended(&acme, Some(at(1_000_000)), &[]).await.unwrap()),
            1 => {
                keys.commit(&[KeyChange::Insert(Arc::new(record.clone()))], &[]).await.unwrap();
            }
            _ => drop(manager.revoke(record.id()).await.unwrap()),
        }
        let now = connections().await;
        assert!(now.len() == 2 && now.is_superset(&of_look_ups), "step {step}: {now:?}");
        // Without it, the next one has to make another, and the one of look-ups stays as it is.
        for id in now.difference(&of_look_ups) {
            let kill = cmd("CLIENT").arg("KILL").arg("ID").arg(*id).to_owned();
            let killed: usize = kill.query_async(&mut connection.clone()).await.unwrap();
            assert_eq!(killed, 1);
        }
        in_time(async {
            while connections().await != of_look_ups {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    assert!(keys.find(&record.digest()).await.unwrap().is_some());
    assert_eq!(connections().await, of_look_ups);
}
