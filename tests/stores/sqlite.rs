//! Keys in SQLite.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, SqlitePool};
use tempfile::TempDir;
use tower_api_key::store::{CommitError, KeyUse, RecordUses, TablesError};
use tower_api_key::{KeyDigest, KeyQuery, KeyRepository, KeyStore, SqliteStore};

use crate::common::in_time;
use crate::common::with_id;
use crate::sql::usage;
use crate::sql::version_1::{self, Old};
use crate::sql::{
    Count, Server, at, check, check_all_or_nothing, check_cancelled, check_many, check_refusals,
    check_round_trip, check_server, event, got, insert, inserted, record, replace,
};

/// A file in a directory that goes with it.
struct File {
    path: std::path::PathBuf,
    _directory: TempDir,
}

impl File {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Not a URI, whatever it looks like.
        let path = directory.path().join("keys?mode=memory#%41 \u{fc}.db");
        Self { path, _directory: directory }
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path).await.unwrap()
    }

    /// Connects to it as another program would.
    async fn plain(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(&self.path);
        SqlitePool::connect_with(options).await.unwrap()
    }
}

impl Count for SqlitePool {
    async fn count(&self, table: &str) -> i64 {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count).fetch_one(self).await.unwrap()
    }
}

/// Runs plain SQL.
async fn run(pool: &SqlitePool, script: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(script.into())).execute(pool).await.unwrap();
}

#[tokio::test]
async fn usage_is_kept_in_a_file_and_in_memory() {
    usage::check_usage(&File::new().open().await).await;
    usage::check_usage(&SqliteStore::in_memory().await.unwrap()).await;
}

#[tokio::test]
async fn a_store_in_memory_keeps_the_contract() {
    check(&SqliteStore::in_memory().await.unwrap()).await;
}

#[tokio::test]
async fn more_keys_are_found_at_once_than_a_statement_has_values_for() {
    check_many(&SqliteStore::in_memory().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_a_file_keeps_the_contract() {
    check(&File::new().open().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_over_an_own_pool_with_a_prefix_keeps_the_contract() {
    let file = File::new();
    let options = SqliteConnectOptions::new().filename(&file.path).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    let keys = SqliteStore::from_pool(pool).table_prefix("_9Acme").await.unwrap();
    check(&keys).await;
}

#[test]
fn a_record_is_read_back_as_it_was_whatever_it_holds() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let keys = runtime.block_on(async { SqliteStore::in_memory().await.unwrap() });
    check_round_trip(&runtime, &keys, "[\\PC\0\n]{0,20}");
}

#[tokio::test]
async fn changes_and_events_are_kept_together_or_not_at_all() {
    let file = File::new();
    check_all_or_nothing(&file.open().await, &file.plain().await).await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused() {
    let file = File::new();
    check_refusals(&file.open().await, &file.plain().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_commit_leaves_nothing_half_done() {
    check_cancelled(&File::new().open().await, async || {}).await;
    check_cancelled(&SqliteStore::in_memory().await.unwrap(), async || {}).await;
}

#[tokio::test]
async fn a_key_works_until_it_is_revoked_and_an_outage_is_no_wrong_key() {
    let file = File::new();
    let (keys, pool) = (file.open().await, file.plain().await);
    check_server(&keys, async || run(&pool, "DROP TABLE api_key_uses; DROP TABLE api_keys").await)
        .await;
}

#[tokio::test]
async fn a_writer_waits_only_for_those_before_it() {
    let file = File::new();
    let keys = file.open().await;
    let made = Arc::new(AtomicUsize::new(0));
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let (keys, made) = (keys.clone(), Arc::clone(&made));
            tokio::spawn(async move {
                // Bounded, should nobody else have a turn.
                for _ in 0..100 {
                    keys.commit(&[insert(&record())], &[]).await.unwrap();
                    made.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    while made.load(Ordering::SeqCst) < 8 {
        tokio::task::yield_now().await;
    }
    let before = made.load(Ordering::SeqCst);
    in_time(keys.commit(&[insert(&record())], &[])).await.unwrap();
    let meanwhile = made.load(Ordering::SeqCst) - before;
    assert!(meanwhile <= 2 * busy.len(), "{meanwhile} others had their turn");
    for writer in busy {
        in_time(writer).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_open_a_new_file_at_once_find_the_same_tables() {
    for _ in 0..5 {
        let file = File::new();
        let opened = (0..12).map(|_| {
            let path = file.path.clone();
            tokio::spawn(async move { SqliteStore::open(path).await.unwrap() })
        });
        let mut stores = Vec::new();
        for store in opened.collect::<Vec<_>>() {
            stores.push(in_time(store).await.unwrap());
        }
        let record = inserted(&stores[0]).await;
        for store in &stores {
            assert_eq!(got(store, &record).await, record);
        }
        assert_eq!(file.plain().await.count("api_key_migrations").await, 1);
    }
}

const SHARED_FILE: &str = "TOWER_API_KEY_TEST_FILE";

#[tokio::test]
#[ignore = "is a process of `processes_share_a_file`"]
async fn a_process_that_shares_a_file() {
    let Ok(path) = std::env::var(SHARED_FILE) else { return };
    let keys = SqliteStore::open(path).await.unwrap();
    let mut counted = with_id(&record(), &"key_counted".parse().unwrap());
    counted.set_name("");
    counted.set_digest(tower_api_key::KeyDigest::from_bytes([1; 32]));
    match keys.commit(&[insert(&counted)], &[]).await {
        Ok(()) | Err(CommitError::Exists) => {}
        Err(error) => panic!("{error}"),
    }
    for _ in 0..20 {
        inserted(&keys).await;
        loop {
            let current = got(&keys, &counted).await;
            let change = replace(&current, |record| record.set_name(format!("{}+", record.name())));
            match keys.commit(&[change], &[event(Some(&current), None)]).await {
                Ok(()) => break,
                Err(CommitError::Conflict) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn processes_share_a_file() {
    let file = File::new();
    let test = std::env::current_exe().unwrap();
    let start = |_| {
        let mut command = Command::new(&test);
        command.args(["--exact", "--ignored", "sqlite::a_process_that_shares_a_file"]);
        command.env(SHARED_FILE, &file.path).stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let processes: Vec<_> = (0..4).map(start).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    let keys = file.open().await;
    let counted = keys.get(&"key_counted".parse().unwrap()).await.unwrap().unwrap().record;
    assert_eq!((counted.name().len(), counted.revision()), (80, 80));
    let plain = file.plain().await;
    assert_eq!((plain.count("api_keys").await, plain.count("api_key_audit").await), (81, 80));
}

#[tokio::test]
async fn keys_outlive_the_process() {
    let file = File::new();
    let keys = file.open().await;
    let record = inserted(&keys).await;
    keys.record_uses(&[KeyUse::new(record.id().clone(), at(7))]).await.unwrap();
    drop(keys);
    let key = file.open().await.get(record.id()).await.unwrap().unwrap();
    assert_eq!((&*key.record, key.last_used_at), (&record, Some(at(7))));
    let mode: String =
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&file.plain().await).await.unwrap();
    assert_eq!(mode, "wal");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_a_new_file() {
    use std::os::unix::fs::PermissionsExt as _;

    let file = File::new();
    let keys = file.open().await;
    inserted(&keys).await;
    let files = std::fs::read_dir(file.path.parent().unwrap()).unwrap();
    let modes = files.map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777);
    assert_eq!(modes.collect::<Vec<_>>(), [0o600; 3]);
}

#[tokio::test]
async fn a_database_that_a_newer_version_left_nothing_in_is_refused() {
    let file = File::new();
    file.open().await;
    run(&file.plain().await, "INSERT INTO api_key_migrations (version) VALUES (7)").await;
    for builder in
        [SqliteStore::open(&file.path), SqliteStore::open(&file.path).without_migration()]
    {
        let error = builder.await.unwrap_err().to_string();
        assert!(error.contains("are of version 7") && error.contains("up to 3"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_a_newer_version_expanded_is_used() {
    let file = File::new();
    file.open().await;
    let plain = file.plain().await;
    let expand = "ALTER TABLE api_keys ADD COLUMN later TEXT NOT NULL DEFAULT 'later'; \
                  CREATE TABLE api_key_later (id TEXT); \
                  UPDATE api_key_migrations SET level = 9 WHERE version = 1";
    run(&plain, expand).await;
    for builder in
        [SqliteStore::open(&file.path), SqliteStore::open(&file.path).without_migration()]
    {
        check(&builder.await.unwrap()).await;
    }
    let levels: (i64, i64) = sqlx::query_as("SELECT version, level FROM api_key_migrations")
        .fetch_one(&plain)
        .await
        .unwrap();
    assert_eq!(levels, (1, 9), "nothing was migrated");
    // Until one needs more than this version knows.
    run(&plain, "INSERT INTO api_key_migrations VALUES (4, '', 10)").await;
    let error = SqliteStore::open(&file.path).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().downcast_ref();
    assert_eq!(source, Some(&TablesError::Newer(10, 3)));
}

const VERSION_1: &str = include_str!("sql/version_1.sqlite.sql");

impl Old for SqlitePool {
    async fn change(&self, sql: String) -> u64 {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self).await.unwrap().rows_affected()
    }

    async fn text(&self, sql: String) -> Option<String> {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(self).await.unwrap()
    }

    fn digest(&self, digest: &KeyDigest) -> String {
        format!("X'{digest}'")
    }

    fn time(&self, microseconds: i64) -> String {
        microseconds.to_string()
    }

    fn texts(&self, texts: &[&str]) -> String {
        format!("'{}'", serde_json::Value::from(texts))
    }

    fn flag(&self, flag: bool) -> String {
        i32::from(flag).to_string()
    }

    fn note(&self, id: &str, microseconds: i64) -> String {
        format!(
            "INSERT INTO api_key_uses (key_id, last_used_at) SELECT known.id, max(times.value) \
             FROM api_keys AS known JOIN json_each('[\"{id}\"]') AS ids ON ids.value = known.id \
             JOIN json_each('[{microseconds}]') AS times ON times.key = ids.key \
             WHERE true GROUP BY known.id \
             ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at \
             WHERE excluded.last_used_at > last_used_at"
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_version_1_are_migrated_and_nodes_of_both_versions_use_them_at_once() {
    let file = File::new();
    let options = SqliteConnectOptions::new().filename(&file.path).create_if_missing(true);
    let old = SqlitePool::connect_with(options).await.unwrap();
    run(&old, VERSION_1).await;
    let error = SqliteStore::open(&file.path).without_migration().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().downcast_ref();
    assert_eq!(source, Some(&TablesError::Older(1, 3)));
    // A node that runs has read, and goes on to read, while another migrates.
    let digest: KeyDigest = NIGHTLY_IMPORT.parse().unwrap();
    assert_eq!(old.find(&digest).await.as_deref(), Some("nightly import"));
    let keys = file.open().await;
    assert_eq!(old.find(&digest).await.as_deref(), Some("nightly import"));
    version_1::check_keys(&keys).await;
    version_1::check_both(&keys, &old).await;
    check(&keys).await;
}

/// The digest of a key in the tables of version 1.
const NIGHTLY_IMPORT: &str = "7d47443b4a85ea5bf64c52f15c705cba23945c33c305d5912f78c78056a395c9";

#[tokio::test]
async fn migrated_tables_are_like_new_ones() {
    let (old, new) = (File::new(), File::new());
    let options = SqliteConnectOptions::new().filename(&old.path).create_if_missing(true);
    run(&SqlitePool::connect_with(options).await.unwrap(), VERSION_1).await;
    let mut columns = Vec::new();
    for file in [old, new] {
        file.open().await;
        let all = "SELECT concat_ws(' ', tables.type, tables.name, columns.name, columns.type, \
                   columns.\"notnull\", columns.dflt_value, columns.pk) \
                   FROM sqlite_schema AS tables \
                   LEFT JOIN pragma_table_info(tables.name) AS columns \
                   ORDER BY tables.name, columns.cid";
        let all: Vec<String> =
            sqlx::query_scalar(all).fetch_all(&file.plain().await).await.unwrap();
        columns.push(all);
    }
    assert!(columns[0].len() > 30);
    assert_eq!(columns[0], columns[1]);
}

#[tokio::test]
async fn a_migrated_database_needs_no_right_to_change_its_tables() {
    let file = File::new();
    let error = SqliteStore::open(&file.path).without_migration().await.unwrap_err().to_string();
    assert!(error.contains("cannot be opened") && !file.path.exists(), "{error}");
    std::fs::write(&file.path, "").unwrap();
    let error = SqliteStore::open(&file.path).without_migration().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().downcast_ref();
    assert!(matches!(source, Some(TablesError::Older(0, 3))), "{error:?}");
    assert_eq!(std::fs::metadata(&file.path).unwrap().len(), 0);
    let error = error.to_string();
    assert!(error.contains("version 0") && error.contains("version 3 is needed"), "{error}");
    let record = inserted(&file.open().await).await;
    let options = SqliteConnectOptions::new().filename(&file.path).read_only(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    for builder in
        [SqliteStore::from_pool(pool.clone()), SqliteStore::from_pool(pool).without_migration()]
    {
        let keys = builder.await.unwrap();
        assert_eq!(keys.find(&record.digest()).await.unwrap().as_deref(), Some(&record));
        let error = keys.commit(&[insert(&self::record())], &[]).await.unwrap_err();
        assert!(matches!(error, CommitError::Store(_)), "{error}");
    }
}

#[tokio::test]
async fn prefixes_keep_keys_apart() {
    let file = File::new();
    let one = SqliteStore::open(&file.path).table_prefix("acme_").await.unwrap();
    let other = SqliteStore::open(&file.path).table_prefix("group").await.unwrap();
    let record = inserted(&one).await;
    assert_eq!(other.find(&record.digest()).await.unwrap(), None);
    other.commit(&[insert(&record)], &[]).await.unwrap();
    // SQLite takes names in upper and lower case for the same.
    let same = SqliteStore::open(&file.path).table_prefix("ACME_").await.unwrap();
    assert_eq!(got(&same, &record).await, record);
    for prefix in ["1", "a-", "x\"; DROP TABLE acme_api_keys; --"] {
        let error = SqliteStore::open(&file.path).table_prefix(prefix).await.unwrap_err();
        assert!(error.to_string().contains("a table prefix has"), "{error}");
    }
}

#[tokio::test]
async fn a_revocation_by_plain_sql_is_not_lost() {
    let file = File::new();
    let (keys, plain) = (file.open().await, file.plain().await);
    let revoke = "UPDATE api_keys SET revoked_at = 1700000000000000";
    // Even if it leaves no trace in the revision.
    for script in [
        revoke.to_owned(),
        format!("{revoke}, revision = 0"),
        format!("PRAGMA recursive_triggers = ON; {revoke}; PRAGMA recursive_triggers = OFF"),
        format!("DROP TRIGGER api_keys_raise_revision; {revoke}"),
    ] {
        let record = inserted(&keys).await;
        let update = replace(&record, |record| record.set_name(format!("{}!", record.name())));
        run(&plain, script.clone()).await;
        let error = keys.commit(&[update], &[]).await.unwrap_err();
        assert!(matches!(error, CommitError::Conflict), "{script}: {error}");
        let revoked = got(&keys, &record).await;
        assert_eq!(revoked.revoked_at(), Some(at(1_700_000_000_000_000)));
        assert_eq!(revoked.revision(), u64::from(!script.starts_with("DROP")), "{script}");
        run(&plain, "DELETE FROM api_keys").await;
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_no_missing_key() {
    let file = File::new();
    let (keys, plain) = (file.open().await, file.plain().await);
    let (server, record) = Server::start(&keys).await;
    for (column, value) in [
        ("restrictions", r#"'{"adresses":["10.0.0.0/8"]}'"#),
        ("restrictions", r#"'{"addresses":["10.0.0.1/8"]}'"#),
        ("restrictions", "'null'"),
        ("abilities", r#"'["admin:"]'"#),
        ("abilities", r#"'"bots:read"'"#),
        ("limits", r#"'["1 per month"]'"#),
        ("metadata", "'[]'"),
        ("kind", "'PUBLIC'"),
        ("tenant", "''"),
        ("stage", "'a b'"),
        ("name", "CAST(x'ff' AS TEXT)"),
        ("created_at", "-1"),
        ("expires_at", "9223372036854775807"),
        ("revoked_at", "253402300800000000"),
    ] {
        server.assert_kind(200, None).await;
        let copy = "CREATE TABLE copy AS SELECT * FROM api_keys";
        run(&plain, format!("{copy}; UPDATE api_keys SET {column} = {value}")).await;
        let error = keys.find(&record.digest()).await.unwrap_err().to_string();
        assert!(error.contains(column), "{error}");
        assert!(keys.get(record.id()).await.is_err() && keys.list(&KeyQuery::new()).await.is_err());
        server.assert_kind(503, Some("unavailable")).await;
        let back = "DELETE FROM api_keys; INSERT INTO api_keys SELECT * FROM copy; DROP TABLE copy";
        run(&plain, back).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_to_write_do_not_keep_others_from_reading() {
    let file = File::new();
    let (keys, plain) = (file.open().await, file.plain().await);
    let record = inserted(&keys).await;
    let other_process = plain.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let writers: Vec<_> = (0..20)
        .map(|_| {
            let keys = keys.clone();
            tokio::spawn(async move { drop(inserted(&keys).await) })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..20 {
        assert_eq!(keys.find(&record.digest()).await.unwrap().as_deref(), Some(&record));
    }
    other_process.rollback().await.unwrap();
    for writer in writers {
        in_time(writer).await.unwrap();
    }
    assert_eq!(plain.count("api_keys").await, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_changes_that_share_one_connection_have_it_in_turn() {
    let file = File::new();
    let keys = SqliteStore::open(&file.path).management_connections(1).await.unwrap();
    for keys in [keys, SqliteStore::in_memory().await.unwrap()] {
        let lists = (0..20).map(|_| {
            let keys = keys.clone();
            tokio::spawn(async move { drop(keys.list(&KeyQuery::new().name("x")).await.unwrap()) })
        });
        let writers = (0..20).map(|_| {
            let keys = keys.clone();
            tokio::spawn(async move { drop(inserted(&keys).await) })
        });
        let all: Vec<_> = lists.chain(writers).collect();
        for one in all {
            in_time(one).await.unwrap();
        }
        assert_eq!(keys.list(&KeyQuery::new()).await.unwrap().keys.len(), 20);
    }
}

#[tokio::test]
async fn a_database_that_is_locked_too_long_is_a_failure_and_no_conflict() {
    let file = File::new();
    let options = SqliteConnectOptions::new().filename(&file.path).create_if_missing(true);
    let options = options.busy_timeout(Duration::from_millis(50));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let (keys, plain) = (SqliteStore::from_pool(pool).await.unwrap(), file.plain().await);
    let record = inserted(&keys).await;
    let other_process = plain.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let change = replace(&record, |record| record.set_disabled(true));
    let error = keys.commit(std::slice::from_ref(&change), &[]).await.unwrap_err();
    assert!(matches!(error, CommitError::Store(_)), "{error}");
    assert!(keys.record_uses(&[KeyUse::new(record.id().clone(), at(7))]).await.is_err());
    other_process.rollback().await.unwrap();
    keys.commit(&[change], &[]).await.unwrap();
}

#[tokio::test]
async fn a_store_in_memory_is_one_database() {
    let keys = SqliteStore::open(":memory:").await.unwrap();
    let record = inserted(&keys).await;
    for _ in 0..20 {
        let (keys, digest) = (keys.clone(), record.digest());
        let found = tokio::spawn(async move { keys.find(&digest).await.unwrap() });
        assert_eq!(found.await.unwrap().as_deref(), Some(&record));
    }
    assert!(!Path::new(":memory:").exists());
    let other = SqliteStore::in_memory().await.unwrap();
    assert_eq!(other.find(&record.digest()).await.unwrap(), None);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let file = File::new();
    std::fs::write(&file.path, "not a database, and long enough to be told from one".repeat(20))
        .unwrap();
    let below = file.path.join("below");
    for (path, builder) in [
        (&file.path, SqliteStore::open(&file.path)),
        (&file.path, SqliteStore::open(&file.path).without_migration()),
        (&below, SqliteStore::open(&below)),
    ] {
        let error = builder.await.unwrap_err().to_string();
        let named = format!("the database {path:?} cannot be opened: ");
        assert!(error.contains(&named), "{error}");
    }
    assert!(SqliteStore::open("").await.is_err());
}

#[tokio::test]
async fn debug_says_where_the_keys_are() {
    let keys = SqliteStore::in_memory().table_prefix("acme_").await.unwrap();
    assert_eq!(format!("{keys:?}"), r#"SqliteStore { table: "\"acme_api_keys\"", .. }"#);
}
