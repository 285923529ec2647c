//! A cache that serves records while its store cannot be reached, for as long as it is told to.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tower_api_key::store::{
    AuditEvent, CommitError, Invalidation, KeyChange, KeyPage, KeyQuery, KeyUse, RecordUses,
    StoredKey,
};
use tower_api_key::{
    CachedStore, KeyDigest, KeyHasher, KeyId, KeyRecord, KeyRepository, KeyStore, MemoryStore,
    NewKey, StoreError,
};

use crate::common::MemoryKeys as _;
use crate::common::caching::{ScriptedSource, advance, cache, next, settle};
use crate::common::{logged, start_log};

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(20);
const MAX_STALENESS: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mood {
    #[default]
    Works,
    Fails,
    Hangs,
    /// It is reached, and says that it cannot tell.
    Answers,
    Panics,
}

#[derive(Clone, Default)]
struct Moody {
    keys: MemoryStore,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicUsize>,
}

impl Moody {
    async fn answer(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Works => Ok(()),
            Mood::Fails => Err(StoreError::new("the database is away")),
            Mood::Hangs => pending().await,
            Mood::Answers => Err(StoreError::answered("the row cannot be read")),
            // Without the message that a panic prints.
            Mood::Panics => std::panic::resume_unwind(Box::new("the store panics")),
        }
    }
}

#[async_trait]
impl KeyStore for Moody {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.answer().await?;
        self.keys.find(digest).await
    }
}

#[async_trait]
impl KeyRepository for Moody {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        KeyRepository::get(&self.keys, id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        KeyRepository::list(&self.keys, query).await
    }

    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        self.answer().await?;
        self.keys.commit(changes, events).await
    }

    async fn invalidate_everywhere(&self) -> Result<(), StoreError> {
        self.answer().await
    }
}

#[async_trait]
impl RecordUses for Moody {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        self.keys.record_uses(uses).await
    }
}

struct Test {
    store: Moody,
    source: ScriptedSource,
    cached: CachedStore<Moody>,
    record: Arc<KeyRecord>,
    /// When the outage began.
    began: Instant,
}

impl Test {
    /// A cache that has heard a heartbeat a moment before an outage, and has loaded a key long before.
    async fn start(grace: Option<Duration>, mood: Mood) -> Self {
        start_log();
        let (store, source) = (Moody::default(), ScriptedSource::default());
        let record = store.keys.issue(NewKey::named("robot")).unwrap().record;
        let cached = cache(store.clone()).invalidated_by(source.clone()).heartbeat(SECOND);
        let cached = cached.ttl(MAX_STALENESS).max_staleness(MAX_STALENESS);
        let cached = match grace {
            Some(grace) => cached.serve_while_unreachable(grace),
            None => cached,
        };
        let cached = cached.build();
        settle().await;
        cached.find(&record.digest()).await.unwrap().unwrap();
        for _ in 0..10 {
            advance(SECOND).await;
        }
        assert!(cached.is_live());
        let test = Self { store, source, cached, record, began: Instant::now() };
        test.source.set_away(true);
        test.source.lose();
        test.set(mood);
        settle().await;
        assert!(!test.cached.is_live());
        test
    }

    fn set(&self, mood: Mood) {
        *self.store.mood.lock().unwrap() = mood;
    }

    /// Asks as a layer does, which does not wait for ever.
    async fn find(&self) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let digest = self.record.digest();
        let find = tokio::time::timeout(5 * SECOND, self.cached.find(&digest));
        find.await.unwrap_or_else(|elapsed| Err(StoreError::new(elapsed)))
    }

    async fn assert_served(&self) {
        let found = self.find().await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found.as_ref(), Some(&self.record));
    }

    fn asked(&self) -> usize {
        self.store.asked.load(Ordering::SeqCst)
    }

    /// Asks until nothing is served any more, and returns how long that took.
    async fn is_served_for(&self) -> Duration {
        let mut served_for = Duration::ZERO;
        while self.find().await.is_ok() {
            served_for = self.began.elapsed();
            advance(SECOND / 10).await;
            assert!(served_for < 10 * MAX_STALENESS, "it is served for ever");
        }
        for _ in 0..20 {
            advance(SECOND).await;
            assert!(self.find().await.is_err(), "it is served again");
        }
        served_for
    }
}

#[tokio::test(start_paused = true)]
async fn by_default_nothing_is_served_while_the_store_cannot_be_reached() {
    let test = Test::start(None, Mood::Fails).await;
    assert!(test.find().await.unwrap_err().to_string().contains("the database is away"));
}

#[tokio::test(start_paused = true)]
async fn a_record_is_served_for_as_long_as_is_set_after_it_was_known_to_be_true() {
    for mood in [Mood::Fails, Mood::Hangs] {
        let test = Test::start(Some(GRACE), mood).await;
        let served_for = test.is_served_for().await;
        // The last heartbeat was heard up to a second before, and a store that hangs is waited for.
        assert!(served_for <= GRACE + 2 * SECOND, "{mood:?}: {served_for:?}");
        assert!(served_for >= GRACE - 2 * SECOND, "{mood:?}: {served_for:?}");
    }
    let events = logged("records in memory are served meanwhile");
    let of_failure: Vec<_> =
        events.iter().filter(|event| event.contains("the database is away")).collect();
    // The first time, and then every ten seconds how often.
    assert!(of_failure[0].contains("key_"), "{events:?}");
    assert!(of_failure[1].contains(" more in 1"), "{events:?}");
    assert!(events.iter().all(|event| event.contains(" WARN ")), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_record_is_never_served_beyond_the_maximal_staleness() {
    let test = Test::start(Some(10 * MAX_STALENESS), Mood::Fails).await;
    // It was loaded ten seconds before.
    let served_for = test.is_served_for().await;
    assert!(served_for <= MAX_STALENESS - 9 * SECOND, "{served_for:?}");
    assert!(served_for >= MAX_STALENESS - 12 * SECOND, "{served_for:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_asked_once_a_second_for_a_key() {
    let test = Test::start(Some(GRACE), Mood::Hangs).await;
    let before = test.asked();
    test.assert_served().await;
    assert_eq!(test.began.elapsed(), SECOND, "it is not waited for longer");
    for _ in 0..50 {
        // At once, as from memory.
        assert!(test.cached.find_now(&test.record.digest()).answer().is_some());
        test.assert_served().await;
    }
    assert_eq!((test.asked(), test.began.elapsed()), (before + 1, SECOND));
    advance(SECOND).await;
    assert!(test.cached.find_now(&test.record.digest()).answer().is_none());
    test.assert_served().await;
    assert_eq!(test.asked(), before + 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_store_answers_counts() {
    let test = Test::start(Some(GRACE), Mood::Fails).await;
    test.assert_served().await;
    // It was revoked by another node, and can be asked again.
    let revoked = next(&test.record, |record| record.set_revoked_at(Some(record.created_at())));
    test.store.keys.commit(&[KeyChange::Replace(revoked.clone())], &[]).await.unwrap();
    test.set(Mood::Works);
    advance(SECOND).await;
    assert_eq!(test.find().await.unwrap(), Some(revoked.clone()));
    test.store.keys.commit(&[KeyChange::Remove(revoked)], &[]).await.unwrap();
    assert_eq!(test.find().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_answers_that_it_cannot_tell_or_panics_is_no_outage() {
    for mood in [Mood::Answers, Mood::Panics] {
        let test = Test::start(Some(GRACE), mood).await;
        test.find().await.unwrap_err();
        test.find().await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn what_this_node_changed_or_tried_to_change_is_not_served() {
    for mood in [Mood::Works, Mood::Fails] {
        let test = Test::start(Some(GRACE), mood).await;
        let revoked = next(&test.record, |record| record.set_revoked_at(Some(record.created_at())));
        // Whether a change that failed was made is not known.
        let _ = test.cached.commit(&[KeyChange::Replace(revoked)], &[]).await;
        test.set(Mood::Fails);
        test.find().await.unwrap_err();
    }
    let test = Test::start(Some(GRACE), Mood::Fails).await;
    test.assert_served().await;
    let revoked = next(&test.record, |record| record.set_revoked_at(Some(record.created_at())));
    test.cached.record_changed(&revoked);
    test.find().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_is_not_served() {
    let forget: [fn(&Test); 2] =
        [|test| test.cached.invalidate(&test.record.digest()), |test| test.cached.invalidate_all()];
    for forget in forget {
        let test = Test::start(Some(GRACE), Mood::Fails).await;
        test.assert_served().await;
        forget(&test);
        test.find().await.unwrap_err();
    }
    // By a subscription that is back before the store is.
    let test = Test::start(Some(GRACE), Mood::Fails).await;
    test.assert_served().await;
    test.source.set_away(false);
    for _ in 0..3 {
        advance(SECOND).await;
    }
    assert!(test.cached.is_live());
    test.find().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn what_all_are_to_forget_is_forgotten_here_also_if_nobody_waits_for_the_others() {
    for mood in [Mood::Fails, Mood::Hangs] {
        let test = Test::start(Some(GRACE), mood).await;
        test.assert_served().await;
        let invalidated = tokio::time::timeout(SECOND, test.cached.invalidate_everywhere()).await;
        assert!(!matches!(invalidated, Ok(Ok(()))));
        test.find().await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_not_known_to_be_unknown() {
    let test = Test::start(Some(GRACE), Mood::Works).await;
    let unknown = KeyHasher::sha256().digest("unknown");
    test.source.set_away(false);
    for _ in 0..3 {
        advance(SECOND).await;
    }
    assert_eq!(test.cached.find(&unknown).await.unwrap(), None);
    assert!(test.cached.find_now(&unknown).answer().is_some());
    test.source.set_away(true);
    test.source.lose();
    test.set(Mood::Fails);
    settle().await;
    test.cached.find(&unknown).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_looked_up_says_nothing_of_others() {
    let test = Test::start(Some(GRACE), Mood::Works).await;
    let other = test.store.keys.issue(NewKey::named("other")).unwrap().record;
    test.set(Mood::Fails);
    test.assert_served().await;
    test.set(Mood::Works);
    // The other one is asked for, though the first failed a moment ago.
    let before = test.asked();
    assert!(test.cached.find(&other.digest()).await.unwrap().is_some());
    assert_eq!(test.asked(), before + 1);
    test.source.send(Invalidation::Key(other.digest()));
}
