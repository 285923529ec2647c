//! Two nodes with one server behind them, and clients that never stop asking, whatever happens
//! to the server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use futures_util::future::try_join_all;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tower_api_key::store::InvalidationSource;
use tower_api_key::{
    ApiKeyLayer, CachedStore, IssuedKey, KeyId, KeyManager, KeyRepository, KeyScheme, ManageError,
    NewKey,
};

use crate::common::{get_raw, in_time, serve};

/// How long a node waits for the store.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// What nobody waits for who is not hung, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// So long that no test passes because of it.
const MAX_STALENESS: Duration = Duration::from_secs(600);

/// How often each node is asked for each kind of key.
const PACE: Duration = Duration::from_millis(25);

/// A server of an application.
pub struct Node {
    pub address: SocketAddr,
    pub keys: KeyManager,
    is_live: Box<dyn Fn() -> bool + Send + Sync>,
    /// Within which time it applies what it does not hear of: three heartbeats, and not longer on
    /// a slow machine.
    bound: Duration,
}

impl Node {
    pub async fn start<S: KeyRepository + 'static>(
        store: S,
        source: impl InvalidationSource + 'static,
        heartbeat: Duration,
        settings: impl FnOnce(ApiKeyLayer) -> ApiKeyLayer,
    ) -> Self {
        let cached = CachedStore::builder(store).invalidated_by(source).heartbeat(heartbeat);
        let cached = cached.ttl(MAX_STALENESS).max_staleness(MAX_STALENESS).build();
        let layer = ApiKeyLayer::new(cached.clone()).lookup_timeout(LOOKUP_TIMEOUT);
        let app = Router::new().route("/", get(|| async { "in" })).layer(settings(layer));
        let (address, keys) = (serve(app).await, KeyManager::new(cached.clone()));
        let is_live = Box::new(move || cached.is_live());
        Self { address, keys, is_live, bound: heartbeat * 3 }
    }

    pub fn is_live(&self) -> bool {
        (self.is_live)()
    }

    pub async fn becomes(&self, live: bool) {
        let becomes = async {
            while self.is_live() != live {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        in_time(becomes).await;
    }
}

/// Two nodes under load.
pub struct Cluster {
    pub nodes: [Node; 2],
    load: Arc<Load>,
    clients: Vec<JoinHandle<()>>,
    outages: Mutex<Vec<Outage>>,
}

/// A time in which keys may be refused because they cannot be looked up.
struct Outage {
    began: Instant,
    /// None while it goes on.
    ended: Option<Instant>,
}

impl Cluster {
    /// Issues the keys, and returns once both nodes serve them from memory.
    pub async fn start(nodes: [Node; 2]) -> Self {
        let issue = |_| nodes[0].keys.issue(NewKey::named("a key").tenant("clients"));
        let mut valid = in_time(try_join_all((0..12).map(issue))).await.unwrap();
        let doomed = valid.split_off(4).into_iter().map(Doomed::new).collect();
        for node in &nodes {
            node.becomes(true).await;
        }
        let load = Arc::new(Load::of(valid, doomed));
        let ask = |node: usize| Arc::clone(&load).ask_always(node, nodes[node].address);
        let clients = (0..nodes.len()).map(|node| tokio::spawn(ask(node))).collect();
        let cluster = Self { nodes, load, clients, outages: Mutex::default() };
        cluster.settles().await;
        cluster
    }

    /// Returns the id of a key that stays valid.
    pub fn valid_id(&self) -> &KeyId {
        self.load.valid[0].record.id()
    }

    /// From now on, keys may be refused because they cannot be looked up.
    pub fn outage_begins(&self) {
        self.outages.lock().unwrap().push(Outage { began: Instant::now(), ended: None });
    }

    /// Waits until all keys are looked up again, which has to come by itself.
    pub async fn recovers(&self) {
        let since = self.settles().await;
        if let Some(outage) = self.outages.lock().unwrap().last_mut() {
            outage.ended.get_or_insert(since);
        }
    }

    /// Returns from when on both nodes heard of changes and looked up all keys.
    async fn settles(&self) -> Instant {
        let settles = async {
            loop {
                let since = Instant::now();
                tokio::time::sleep(PACE * 20).await;
                let heard = self.nodes.iter().all(Node::is_live);
                if heard && (0..self.nodes.len()).all(|node| self.load.was_well(node, since)) {
                    return since;
                }
            }
        };
        in_time(settles).await
    }

    /// Revokes the next key through the first node, however often that fails before.
    pub async fn revoke(&self) {
        let keys = &self.nodes[0].keys;
        self.revoke_by(Some(0), async |id| {
            while let Err(error) = keys.revoke(id).await {
                assert!(matches!(error, ManageError::Store(_)), "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Revokes the next key as told, past the nodes unless one is named.
    pub async fn revoke_by(&self, node: Option<usize>, how: impl AsyncFnOnce(&KeyId)) {
        let doomed = self.load.next_doomed();
        doomed.began.set(Instant::now()).unwrap();
        in_time(how(doomed.key.record.id())).await;
        doomed.revoked.set(Revoked { at: Instant::now(), by: node }).ok().unwrap();
    }

    /// Lets the clients go on for so long that a node that serves what it should not does it.
    pub async fn goes_on(&self) {
        let bound = self.nodes.iter().map(|node| node.bound).max().unwrap();
        tokio::time::sleep(bound + PACE * 20).await;
    }

    /// Stops the clients and checks all that they were answered.
    pub async fn ends(self) -> Answers {
        self.goes_on().await;
        self.recovers().await;
        self.load.ends.store(true, Ordering::SeqCst);
        for client in self.clients {
            in_time(client).await.unwrap();
        }
        let answers = std::mem::take(&mut *self.load.answers.lock().unwrap());
        let outages = self.outages.into_inner().unwrap();
        let bounds = self.nodes.map(|node| node.bound);
        let check = Check { load: &self.load, outages, bounds };
        answers.iter().for_each(|answer| check.answer(answer));
        check.revocations(&answers);
        Answers(answers)
    }
}

pub struct Answers(Vec<Answer>);

impl Answers {
    pub fn count(&self, status: u16) -> usize {
        self.0.iter().filter(|answer| answer.status == status).count()
    }
}

/// What is asked, and what was answered.
struct Load {
    valid: Vec<IssuedKey>,
    doomed: Vec<Doomed>,
    /// How many of the doomed are being or have been revoked.
    revoked: AtomicUsize,
    answers: Mutex<Vec<Answer>>,
    ends: AtomicBool,
}

/// A key that is revoked some time.
struct Doomed {
    key: IssuedKey,
    began: OnceLock<Instant>,
    revoked: OnceLock<Revoked>,
}

struct Revoked {
    at: Instant,
    /// The node that acknowledged it, which applies it from then on.
    by: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Valid(usize),
    Doomed(usize),
    Unknown,
}

#[derive(Debug)]
struct Answer {
    node: usize,
    who: Who,
    sent: Instant,
    came: Instant,
    status: u16,
    says_when_to_retry: bool,
}

impl Doomed {
    fn new(key: IssuedKey) -> Self {
        Self { key, began: OnceLock::new(), revoked: OnceLock::new() }
    }
}

impl Load {
    fn of(valid: Vec<IssuedKey>, doomed: Vec<Doomed>) -> Self {
        let (revoked, ends) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { valid, doomed, revoked, answers: Mutex::default(), ends }
    }

    fn next_doomed(&self) -> &Doomed {
        &self.doomed[self.revoked.fetch_add(1, Ordering::SeqCst)]
    }

    /// Sends requests without waiting for the answers to those before, as the world does.
    async fn ask_always(self: Arc<Self>, node: usize, address: SocketAddr) {
        let mut ticks = tokio::time::interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut requests = JoinSet::new();
        for number in 0.. {
            ticks.tick().await;
            if self.ends.load(Ordering::SeqCst) {
                break;
            }
            // The one that was revoked last, the next one, and each of them in turn.
            let last = self.doomed.len() - 1;
            let next = self.revoked.load(Ordering::SeqCst).min(last);
            let each = [next.saturating_sub(1), next, number % self.doomed.len()];
            let doomed = each.into_iter().map(Who::Doomed);
            for who in doomed.chain([Who::Valid(number % self.valid.len()), Who::Unknown]) {
                requests.spawn(Arc::clone(&self).ask(node, address, who));
            }
            while let Some(asked) = requests.try_join_next() {
                asked.unwrap();
            }
        }
        while let Some(asked) = requests.join_next().await {
            asked.unwrap();
        }
    }

    async fn ask(self: Arc<Self>, node: usize, address: SocketAddr, who: Who) {
        let unknown;
        let key = match who {
            Who::Valid(number) => &self.valid[number],
            Who::Doomed(number) => &self.doomed[number].key,
            Who::Unknown => {
                unknown = NewKey::named("unknown").generate(&KeyScheme::default()).unwrap();
                &unknown
            }
        };
        let line = format!("x-api-key: {}", key.secret.reveal());
        let sent = Instant::now();
        let response = get_raw(address, "/", &[&line]).await;
        let came = Instant::now();
        let says_when_to_retry = response.header("retry-after").is_some();
        let status = response.status;
        let answer = Answer { node, who, sent, came, status, says_when_to_retry };
        self.answers.lock().unwrap().push(answer);
    }

    /// Tells whether this node has looked up all keys since then, and accepted valid ones.
    fn was_well(&self, node: usize, since: Instant) -> bool {
        let answers = self.answers.lock().unwrap();
        let mut answers =
            answers.iter().filter(|answer| answer.node == node && answer.sent >= since);
        let mut accepted = 0;
        answers.all(|answer| {
            accepted += usize::from(answer.status == 200 && matches!(answer.who, Who::Valid(_)));
            answer.status != 503
        }) && accepted >= 5
    }
}

/// What every answer is held to.
struct Check<'a> {
    load: &'a Load,
    outages: Vec<Outage>,
    bounds: [Duration; 2],
}

impl Check<'_> {
    fn answer(&self, answer: &Answer) {
        let took = answer.came - answer.sent;
        assert!(took < LOOKUP_TIMEOUT + PATIENCE, "it hung: {answer:?}");
        match answer.status {
            503 => {
                assert!(answer.says_when_to_retry, "{answer:?}");
                assert!(self.is_in_an_outage(answer), "nothing failed: {answer:?}");
            }
            200 => assert!(self.may_be_accepted(answer), "it was accepted: {answer:?}"),
            401 => assert!(self.may_be_refused(answer), "it was refused: {answer:?}"),
            _ => panic!("{answer:?}"),
        }
    }

    fn is_in_an_outage(&self, answer: &Answer) -> bool {
        self.outages.iter().any(|outage| {
            answer.came >= outage.began && outage.ended.is_none_or(|ended| answer.sent < ended)
        })
    }

    fn may_be_accepted(&self, answer: &Answer) -> bool {
        match answer.who {
            Who::Valid(_) => true,
            Who::Doomed(number) => !self.is_over(number, answer),
            Who::Unknown => false,
        }
    }

    /// Tells whether the node had to know of the revocation when it was asked.
    fn is_over(&self, doomed: usize, answer: &Answer) -> bool {
        self.load.doomed[doomed].revoked.get().is_some_and(|revoked| {
            let knows = revoked.by == Some(answer.node);
            let bound = if knows { Duration::ZERO } else { self.bounds[answer.node] };
            answer.sent >= revoked.at + bound
        })
    }

    fn may_be_refused(&self, answer: &Answer) -> bool {
        match answer.who {
            Who::Valid(_) => false,
            Who::Doomed(number) => {
                self.load.doomed[number].began.get().is_some_and(|began| answer.came >= *began)
            }
            Who::Unknown => true,
        }
    }

    /// Checks that each revocation was put to the test on both nodes.
    fn revocations(&self, answers: &[Answer]) {
        let revoked = self.load.revoked.load(Ordering::SeqCst);
        assert!(revoked > 0, "nothing was revoked");
        for (number, node) in (0..revoked).flat_map(|number| [(number, 0), (number, 1)]) {
            let of_it = |answer: &&Answer| answer.node == node && answer.who == Who::Doomed(number);
            let before = answers.iter().filter(of_it).filter(|answer| answer.status == 200);
            let after = answers.iter().filter(of_it).filter(|answer| self.is_over(number, answer));
            assert!(before.count() > 0 && after.count() > 5, "key {number} on node {node}");
        }
    }
}
