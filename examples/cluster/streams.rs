//! How long streams stay open after their key was revoked on the other node, compared with requests.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::task::JoinSet;
use tower_api_key::{IssuedKey, NewKey};

use crate::node::{Client, Killer, MAX_STALENESS, Node};
use crate::support;
use crate::times::Times;

/// The number of streams on one connection.
const PER_CONNECTION: usize = 100;

/// The numbers of streams and keys.
pub(crate) struct Sizes {
    pub(crate) keys: usize,
    pub(crate) streams: usize,
    pub(crate) revocations: usize,
}

/// A key and its open streams.
struct Listener {
    key: IssuedKey,
    /// Each returns the number of its node, and the time of its end.
    streams: JoinSet<(usize, Instant)>,
}

struct Clients {
    http1: Client,
    http2: Vec<Client>,
    next: usize,
}

impl Clients {
    fn new(streams: usize) -> support::Result<Self> {
        let connections = streams.div_ceil(PER_CONNECTION);
        let http2 = (0..connections).map(|_| Client::http2()).collect::<Result<_, _>>()?;
        Ok(Self { http1: Client::new(), http2, next: 0 })
    }

    /// Issues a key, and opens streams with it on each node.
    async fn listen(
        &mut self,
        nodes: &[Node; 2],
        streams: [usize; 2],
    ) -> support::Result<Listener> {
        let key = nodes[0].keys.issue(NewKey::named("listener")).await?;
        let mut listener = Listener { key, streams: JoinSet::new() };
        let secret = listener.key.secret.reveal();
        for (number, (node, streams)) in nodes.iter().zip(streams).enumerate() {
            for _ in 0..streams {
                self.next = (self.next + 1) % self.http2.len();
                let mut stream = self.http2[self.next].events(node, secret).await?;
                listener.streams.spawn(async move {
                    while let Ok(Some(_)) = stream.chunk().await {}
                    (number, Instant::now())
                });
            }
        }
        Ok(listener)
    }
}

/// How long revoked keys still worked on the second node.
#[derive(Default)]
struct Measured {
    /// The times until a request was refused.
    refusals: Times,
    /// The times until a stream had ended.
    ends: Times,
    /// The times until the last stream of a key had ended.
    last_ends: Times,
}

impl Measured {
    /// Revokes a key on the first node, and waits until both nodes refuse it.
    async fn revoke(
        &mut self,
        nodes: &[Node; 2],
        clients: &Clients,
        mut listener: Listener,
    ) -> support::Result<()> {
        if listener.streams.try_join_next().is_some() {
            return Err("a stream ended whose key is valid".into());
        }
        let secret = listener.key.secret.reveal();
        nodes[0].keys.revoke(listener.key.record.id()).await?;
        let revoked = Instant::now();
        while clients.http1.get(&nodes[1], secret).await? != StatusCode::UNAUTHORIZED {
            if revoked.elapsed() > MAX_STALENESS {
                return Err("a key was accepted for longer than promised".into());
            }
        }
        self.refusals.push(revoked.elapsed());
        let mut last = Duration::ZERO;
        let deadline = tokio::time::Instant::from_std(revoked + MAX_STALENESS);
        while let Some(ended) = tokio::time::timeout_at(deadline, listener.streams.join_next())
            .await
            .map_err(|_| "a stream goes on whose key was revoked")?
        {
            let (node, at) = ended?;
            // Streams of the first node may end before the client sees the answer to the revocation.
            if node == 1 {
                let time = at.saturating_duration_since(revoked);
                self.ends.push(time);
                last = last.max(time);
            }
        }
        self.last_ends.push(last);
        Ok(())
    }
}

/// Revokes one key after the other, and replaces each by a new one.
async fn revoke_all(
    nodes: &[Node; 2],
    clients: &mut Clients,
    listeners: &mut VecDeque<Listener>,
    sizes: &Sizes,
) -> support::Result<(Measured, Duration)> {
    nodes.iter().for_each(|node| node.counts.reset());
    let started = Instant::now();
    let mut measured = Measured::default();
    for _ in 0..sizes.revocations {
        let Some(listener) = listeners.pop_front() else { break };
        let streams = listener.streams.len();
        measured.revoke(nodes, clients, listener).await?;
        listeners.push_back(clients.listen(nodes, halves(streams)).await?);
    }
    Ok((measured, started.elapsed()))
}

fn halves(streams: usize) -> [usize; 2] {
    [streams / 2, streams.div_ceil(2)]
}

fn print(
    what: &str,
    nodes: &[Node; 2],
    measured: &Measured,
    time: Duration,
) -> support::Result<()> {
    let Measured { refusals, ends, last_ends } = measured;
    println!("{what}: {} revocations; on the other node", refusals.len());
    println!("  the next request was refused after {refusals}");
    println!("  {} streams ended after {ends}", ends.len());
    println!("  the last stream of each key ended after {last_ends}");
    let ratio = ends.quantile(0.99).as_secs_f64() / refusals.quantile(0.99).as_secs_f64();
    println!("  p99 of the ends is {ratio:.2} times that of the refusals");
    // The node that makes a change clears its cache before, after, and again when it is notified.
    for (name, node, told) in [("first", &nodes[0], 3), ("other", &nodes[1], 1)] {
        let compared = node.counts.compare(refusals.len() * told, time);
        println!("  in {time:.1?} the {name} node {}", compared?);
    }
    Ok(())
}

pub(crate) async fn measure(
    nodes: &[Node; 2],
    killer: &Killer,
    sizes: &Sizes,
) -> support::Result<()> {
    for node in nodes {
        node.is_live().await;
    }
    let mut clients = Clients::new(sizes.streams)?;
    let mut listeners = VecDeque::new();
    for number in 0..sizes.keys {
        let streams = sizes.streams / sizes.keys + usize::from(number < sizes.streams % sizes.keys);
        listeners.push_back(clients.listen(nodes, halves(streams)).await?);
    }
    let open = || nodes.iter().map(|node| node.layer.open_streams()).sum::<usize>();
    while open() < sizes.streams {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("{} streams of {} keys are open", open(), sizes.keys);

    let (measured, time) = revoke_all(nodes, &mut clients, &mut listeners, sizes).await?;
    print("subscribed", nodes, &measured, time)?;

    let work = revoke_all(nodes, &mut clients, &mut listeners, sizes);
    let ((measured, time), killed) = killer.during(work).await?;
    print("connections killed", nodes, &measured, time)?;
    println!("  killed {killed} connections in the meantime");
    if listeners.iter_mut().any(|listener| listener.streams.try_join_next().is_some()) {
        return Err("a stream ended whose key is valid".into());
    }
    println!("{} streams of valid keys are still open", open());

    drop(listeners);
    nodes[1].is_live().await;
    let listener = clients.listen(nodes, [0, sizes.streams]).await?;
    while nodes[1].layer.open_streams_of(listener.key.record.id()) < sizes.streams {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut measured = Measured::default();
    measured.revoke(nodes, &clients, listener).await?;
    println!(
        "one key with {} streams: the next request was refused after {:.1?}, all had ended after {:.1?}",
        measured.ends.len(),
        measured.refusals.quantile(1.0),
        measured.last_ends.quantile(1.0),
    );
    Ok(())
}
