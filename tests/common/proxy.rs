//! A TCP proxy whose connections can be cut, held up and slowed down.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections on a port of its own to a server until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    mode: Mode,
    delay: Duration,
    /// How often connections were cut.
    cuts: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Forward,
    Stall,
    Refuse,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::default();
        tokio::spawn(accept(listener, server, state.subscribe()));
        Self { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections. New ones are forwarded as before.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Closes all connections, and new ones as soon as they are made.
    pub fn refuse(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.mode = Mode::Refuse;
        });
    }

    /// Keeps all connections, also new ones, and holds back what is sent over them, as when the
    /// network fails: nobody learns of it, not even of the end of a connection.
    pub fn stall(&self) {
        self.state.send_modify(|state| state.mode = Mode::Stall);
    }

    /// Holds back everything for this long, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// Forwards again, without a delay, beginning with what was held back.
    pub fn resume(&self) {
        self.state.send_modify(|state| {
            state.mode = Mode::Forward;
            state.delay = Duration::ZERO;
        });
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, mut state: watch::Receiver<State>) {
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            () = dropped(&mut state) => return,
        };
        let now = *state.borrow();
        if now.mode != Mode::Refuse {
            tokio::spawn(connect(client, server, state.clone(), now.cuts));
        }
    }
}

async fn dropped(state: &mut watch::Receiver<State>) {
    let _ = state.wait_for(|_| false).await;
}

/// Forwards until a side ends the connection, or it is cut.
async fn connect(client: TcpStream, server: SocketAddr, state: watch::Receiver<State>, cuts: u64) {
    let mut cut = state.clone();
    tokio::select! {
        _ = forward(client, server, state) => {}
        _ = cut.wait_for(|state| state.cuts != cuts) => {}
    }
}

async fn forward(
    mut client: TcpStream,
    server: SocketAddr,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut other = state.clone();
    flowing(&mut state).await;
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::try_join!(
        pump(from_client, to_server, &mut state),
        pump(from_server, to_client, &mut other),
    )?;
    Ok(())
}

/// Forwards one direction.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &mut watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        tokio::time::sleep(flowing(state).await).await;
        flowing(state).await;
        match read? {
            0 => return to.shutdown().await,
            length => to.write_all(&buffer[..length]).await?,
        }
    }
}

/// Waits until nothing is held back, and returns the delay.
async fn flowing(state: &mut watch::Receiver<State>) -> Duration {
    // Once the proxy is dropped, its connections are cut.
    state.wait_for(|state| state.mode != Mode::Stall).await.map_or(Duration::ZERO, |now| now.delay)
}
