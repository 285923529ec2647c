//! SQLite on a disk that is full, and has room again: the next write works.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use futures_util::future::join_all;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tower_api_key::store::RecordUses;
use tower_api_key::store::{KeyQuery, KeyUse};
use tower_api_key::{KeyManager, KeyRepository, KeyStore as _, NewKey, SqliteStore};

use crate::common::in_time;

/// A file system of eight megabytes of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Returns nothing where mounting is not permitted.
    fn mount(directory: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(directory);
        let output = mount.output();
        if output.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(directory.to_owned()));
        }
        eprintln!(
            "NOT CHECKED OVER A REAL FILE SYSTEM, but by `max_page_count`: no tmpfs can be mounted \
             here: {output:?}"
        );
        None
    }

    fn fill(&self) {
        let mut filler = std::fs::File::create(self.0.join("filler")).unwrap();
        for size in [4096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Changes keys until nothing can be written any more, has room made, and checks that each of the
/// writes after that is made, and that none is lost that was acknowledged.
async fn check(keys: &SqliteStore, fill: impl AsyncFnOnce(), make_room: impl AsyncFnOnce()) {
    let manager = KeyManager::new(keys.clone());
    let mut acknowledged = Vec::new();
    for _ in 0..20 {
        acknowledged.push(manager.issue(NewKey::named("before")).await.unwrap().record);
    }
    fill().await;
    let mut failures = 0;
    for round in 0..200 {
        // Of several at once, also those that share connections with those who read.
        let issue = || manager.issue(NewKey::named("x".repeat(200)));
        let revoke = manager.revoke(acknowledged[round % 20].id());
        let digest = acknowledged[0].digest();
        let uses = [KeyUse::new(acknowledged[0].id().clone(), SystemTime::now())];
        let (issued, revoked, noted, found) = in_time(async {
            tokio::join!(
                join_all((0..4).map(|_| issue())),
                revoke,
                keys.record_uses(&uses),
                keys.find(&digest),
            )
        })
        .await;
        assert!(found.unwrap().is_some(), "a full disk hides a key");
        failures += issued.iter().filter(|issued| issued.is_err()).count();
        failures += usize::from(revoked.is_err()) + usize::from(noted.is_err());
        acknowledged.extend(issued.into_iter().flatten().map(|issued| issued.record));
        if failures > 40 {
            break;
        }
    }
    assert!(failures > 40, "the disk was never full");

    make_room().await;
    for round in 0..50 {
        let issued = in_time(manager.issue(NewKey::named("after"))).await;
        let issued = issued.unwrap_or_else(|error| panic!("write {round} after it: {error}"));
        manager.revoke(issued.record.id()).await.unwrap();
        let uses = [KeyUse::new(issued.record.id().clone(), SystemTime::now())];
        keys.record_uses(&uses).await.unwrap();
        let found = keys.find(&issued.record.digest()).await.unwrap().unwrap();
        assert!(found.revoked_at().is_some());
    }
    for key in &acknowledged {
        assert!(keys.get(key.id()).await.unwrap().is_some(), "{} is lost", key.id());
    }
    assert!(!keys.list(&KeyQuery::new()).await.unwrap().keys.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_full_disk_has_room_again_every_write_works() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path()) else {
        return by_page_count().await;
    };
    let keys = SqliteStore::open(directory.path().join("keys.db")).await.unwrap();
    check(&keys, async || disk.fill(), async || disk.make_room()).await;
    keys.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_database_may_grow_again_every_write_works() {
    by_page_count().await;
}

/// SQLite says that the disk is full if a database has as many pages as it may have.
async fn by_page_count() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(directory.path().join("keys.db"));
    let limit = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(1 << 20));
    let now = std::sync::Arc::clone(&limit);
    // It is a setting of each connection.
    let pool = SqlitePoolOptions::new().max_connections(4).before_acquire(move |connection, _| {
        let limit = now.load(std::sync::atomic::Ordering::SeqCst);
        Box::pin(async move {
            let set = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {limit}"));
            sqlx::raw_sql(set).execute(connection).await.map(|_| true)
        })
    });
    let pool = pool.connect_with(options.create_if_missing(true)).await.unwrap();
    let keys = SqliteStore::from_pool(pool).await.unwrap();
    let set = |pages| limit.store(pages, std::sync::atomic::Ordering::SeqCst);
    check(&keys, async || set(1), async || set(1 << 20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_memory_outlives_a_write_that_fails() {
    let options = SqliteConnectOptions::new().in_memory(true);
    let pool = SqlitePoolOptions::new().max_connections(1).min_connections(1);
    let pool = pool.idle_timeout(None).max_lifetime(None).connect_with(options).await.unwrap();
    let keys = SqliteStore::from_pool(pool.clone()).await.unwrap();
    let limit = async |pages: u32| {
        let set = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::raw_sql(set).execute(&pool).await.unwrap();
    };
    check(&keys, async || limit(1).await, async || limit(1 << 20).await).await;
}
