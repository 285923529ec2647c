//! Redis and Valkey with replicas, in clusters and with sentinels, and what leads to them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisResult, cmd};
use tokio::net::{TcpListener, TcpStream};

use crate::common::in_time;
use crate::common::proxy::Proxy;
use crate::common::server::{Kind, Server, command, log};
pub use crate::common::servers::RedisKind;

pub enum ValkeyKind {}

impl Kind for ValkeyKind {
    fn create(_: &Path) -> Option<Command> {
        None
    }

    fn command(directory: &Path, port: u16) -> Command {
        server("VALKEY_SERVER", directory, port)
    }

    fn is_ready(directory: &Path, process: u32) -> bool {
        RedisKind::is_ready(directory, process)
    }

    fn url(address: SocketAddr) -> String {
        RedisKind::url(address)
    }
}

/// A server of a cluster, which has no slot yet.
pub enum ClusterKind {}

impl Kind for ClusterKind {
    fn create(_: &Path) -> Option<Command> {
        None
    }

    fn command(directory: &Path, port: u16) -> Command {
        let mut redis = server("REDIS_SERVER", directory, port);
        redis.args(["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"]);
        redis.args(["--cluster-port", &(port + 20_000).to_string()]);
        redis
    }

    fn is_ready(directory: &Path, process: u32) -> bool {
        RedisKind::is_ready(directory, process)
    }

    fn url(address: SocketAddr) -> String {
        RedisKind::url(address)
    }
}

/// A sentinel that watches nothing yet.
pub enum SentinelKind {}

impl Kind for SentinelKind {
    fn create(_: &Path) -> Option<Command> {
        None
    }

    fn command(directory: &Path, port: u16) -> Command {
        let file = directory.join("sentinel.conf");
        std::fs::write(&file, format!("port {port}\nbind 127.0.0.1\n")).unwrap();
        let mut sentinel = command(variable("REDIS_SERVER"), directory);
        sentinel.arg(file).arg("--sentinel");
        sentinel
    }

    fn is_ready(directory: &Path, _: u32) -> bool {
        log(directory).contains("Sentinel ID is")
    }

    fn url(address: SocketAddr) -> String {
        RedisKind::url(address)
    }
}

fn server(variable_name: &str, directory: &Path, port: u16) -> Command {
    let mut server = command(variable(variable_name), directory);
    server.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
    // Replicas begin at once, and copies are sent without a file.
    server.args(["--repl-diskless-sync-delay", "0", "--appendonly", "no"]);
    server
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name}: run tests/all"))
}

/// Runs one command, whose words have spaces between.
pub async fn run<T: FromRedisValue>(url: &str, command: &str) -> T {
    try_run(url, command).await.unwrap_or_else(|error| panic!("{command}: {error}"))
}

pub async fn try_run<T: FromRedisValue>(url: &str, command: &str) -> RedisResult<T> {
    let words: Vec<_> = command.split(' ').collect();
    send(url, cmd(words[0]).arg(&words[1..])).await
}

pub async fn set(url: &str, setting: &str, value: &str) {
    let () = send(url, cmd("CONFIG").arg("SET").arg(setting).arg(value)).await.unwrap();
}

async fn send<T: FromRedisValue>(url: &str, command: &Cmd) -> RedisResult<T> {
    let client = Client::open(url).unwrap();
    // On a slow machine, half a second is not enough.
    let patient = AsyncConnectionConfig::new().set_response_timeout(None);
    let connecting = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = connecting.await?;
    in_time(command.query_async(&mut connection)).await
}

/// Returns what the server says of itself.
pub async fn info(url: &str, section: &str) -> HashMap<String, String> {
    let info: String = run(url, &format!("INFO {section}")).await;
    let fields = info.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect()
}

pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waits).await;
    assert!(waited.is_ok(), "waited in vain until {what}");
}

/// Two servers that know each other by links which can be broken.
pub struct Pair<K> {
    pub first: Server<K>,
    pub second: Server<K>,
    /// By which the second hears of the first, and the first of the second.
    pub links: [Proxy; 2],
}

impl<K: Kind> Pair<K> {
    /// The second is the replica of the first.
    pub async fn start() -> Self {
        let (first, second) = (Server::<K>::start().await, Server::<K>::start().await);
        let links = [Proxy::to(first.address()).await, Proxy::to(second.address()).await];
        for (server, link) in [&first, &second].into_iter().zip(&links) {
            let port = link.address().port();
            set(&server.url(), "replica-announce-ip", "127.0.0.1").await;
            set(&server.url(), "replica-announce-port", &port.to_string()).await;
        }
        let port = links[0].address().port();
        let () = run(&second.url(), &format!("REPLICAOF 127.0.0.1 {port}")).await;
        let pair = Self { first, second, links };
        until("the replica has a copy", || pair.is_in_step(&pair.first)).await;
        pair
    }

    /// Tells whether a primary's replica has what it has.
    pub async fn is_in_step(&self, primary: &Server<K>) -> bool {
        let info = info(&primary.url(), "replication").await;
        let offset = |text: &str| text.split("offset=").nth(1)?.split(',').next()?.parse().ok();
        let replica = info.get("slave0").filter(|replica| replica.contains("state=online"));
        let replica: Option<u64> = replica.and_then(|replica| offset(replica));
        let own = info.get("master_repl_offset").and_then(|offset| offset.parse().ok());
        replica.is_some() && replica == own
    }

    /// Swaps the roles.
    pub async fn fail_over(&self) {
        let port = self.links[1].address().port();
        let () = run(&self.first.url(), &format!("FAILOVER TO 127.0.0.1 {port}")).await;
        until("the roles are swapped", async || {
            role(&self.second.url()).await == "master" && role(&self.first.url()).await == "slave"
        })
        .await;
        until("the new replica has a copy", || self.is_in_step(&self.second)).await;
    }
}

pub async fn role(url: &str) -> String {
    // While it loads what its primary has, it answers nothing.
    match try_run::<String>(url, "INFO replication").await {
        Ok(info) => info.lines().find_map(|line| line.strip_prefix("role:")).unwrap().to_owned(),
        Err(error) => {
            assert!(!matches!(error.kind(), ErrorKind::Client), "{error}");
            String::new()
        }
    }
}

/// What leads to a server, such as a name or a proxy: old connections stay where they are.
pub struct Front {
    address: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
}

impl Front {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let front = Self { address, server: Arc::new(Mutex::new(server)) };
        let server = Arc::clone(&front.server);
        tokio::spawn(async move {
            loop {
                let mut client = listener.accept().await.unwrap().0;
                let server = *server.lock().unwrap();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        front
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections to another server.
    pub fn moves_to(&self, server: SocketAddr) {
        *self.server.lock().unwrap() = server;
    }
}
