//! What a flood of bad requests costs a server: 10 000 a second from 100 addresses, with events and
//! without. Linux only.
//!
//! ```sh
//! cargo bench -p tower-api-key-benches --bench flood
//! ```

use std::error::Error;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tower_api_key::{ApiKeyLayer, MemoryStore};
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::fmt::MakeWriter;

const CLIENTS: u8 = 100;
const REQUESTS: u32 = 10_000;
const ROUNDS: usize = 12;

const REQUEST: &[u8] =
    b"GET /bots/1 HTTP/1.1\r\nhost: api.example.com\r\nx-api-key: ak_of_nobody\r\n\r\n";

/// Counts lines, which go nowhere.
#[derive(Clone, Default)]
struct Lines(Arc<AtomicU64>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A server on a thread of its own.
struct Server {
    address: SocketAddr,
    thread: String,
}

impl Server {
    fn start(lines: Option<Lines>) -> Result<Self, Box<dyn Error>> {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            // Also where nobody listens, there is a subscriber: `tracing` takes an event for one that nobody
            // wants if there is a single subscriber, and another thread comes to the event first.
            let subscriber = match lines {
                Some(lines) => Dispatch::new(tracing_subscriber::fmt().with_writer(lines).finish()),
                None => Dispatch::new(NoSubscriber::new()),
            };
            let listening = tracing::dispatcher::set_default(&subscriber);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let thread = fs::read_link("/proc/thread-self").expect("Linux");
                let address = listener.local_addr().expect("an address");
                sender.send((address, thread.display().to_string())).expect("a receiver");
                let app = Router::new()
                    .route("/bots/{id}", get(async || "in"))
                    .layer(ApiKeyLayer::new(MemoryStore::new()))
                    .into_make_service_with_connect_info::<SocketAddr>();
                axum::serve(listener, app).await.expect("a server");
            });
            drop(listening);
        });
        let (address, thread) = receiver.recv()?;
        Ok(Self { address, thread })
    }

    /// Returns for how many nanoseconds the server has worked.
    fn worked(&self) -> Result<u64, Box<dyn Error>> {
        let statistics = fs::read_to_string(format!("/proc/{}/schedstat", self.thread))?;
        Ok(statistics.split(' ').next().ok_or("no time")?.parse()?)
    }
}

async fn connect(address: SocketAddr) -> Result<Vec<TcpStream>, Box<dyn Error>> {
    let mut clients = Vec::new();
    for number in 1..=CLIENTS {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 0, 1, number), 0).into())?;
        clients.push(socket.connect(address).await?);
    }
    Ok(clients)
}

/// Sends the requests of one second, and returns how long the server worked for each.
async fn round(server: &Server, clients: &mut [TcpStream]) -> Result<f64, Box<dyn Error>> {
    let before = server.worked()?;
    let mut pace = tokio::time::interval(Duration::from_secs(1) * u32::from(CLIENTS) / REQUESTS);
    let mut answer = [0; 4096];
    for _ in 0..REQUESTS / u32::from(CLIENTS) {
        pace.tick().await;
        for client in &mut *clients {
            client.write_all(REQUEST).await?;
        }
        for client in &mut *clients {
            let length = client.read(&mut answer).await?;
            assert!(answer[..length].starts_with(b"HTTP/1.1 401 "), "refused");
        }
    }
    Ok((server.worked()? - before) as f64 / f64::from(REQUESTS))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let lines = Lines::default();
    let servers = [Server::start(None)?, Server::start(Some(lines.clone()))?];
    let mut clients = [connect(servers[0].address).await?, connect(servers[1].address).await?];
    let (mut times, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    for number in 0..=ROUNDS {
        let mut both = [0.0; 2];
        for which in 0..2 {
            both[which] = round(&servers[which], &mut clients[which]).await?;
        }
        // The first one is to warm up.
        if number > 0 {
            ratios.push(both[1] / both[0]);
            times[0].push(both[0]);
            times[1].push(both[1]);
        }
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let [without, with] = &mut times;
    println!("without events {:>6.0} ns a request", median(without));
    println!("with events    {:>6.0} ns a request", median(with));
    println!("ratio          {:>6.3}", median(&mut ratios));
    // Of each two seconds, the server with events was asked in one.
    let seconds = 2 * (ROUNDS + 1);
    let lines = lines.0.load(Ordering::Relaxed);
    println!("{lines} lines in {seconds} s, of {} requests", (ROUNDS + 1) * REQUESTS as usize);
    Ok(())
}
