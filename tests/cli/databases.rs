//! SQLite, PostgreSQL and Redis.

use std::os::unix::fs::PermissionsExt as _;

use sqlx::{AssertSqlSafe, Row as _, SqlitePool};

use crate::common::servers::{database_url, redis_url};
use crate::operator::Operator;

#[test]
fn only_init_makes_a_file() {
    let operator = Operator::without_tables();
    for arguments in [
        &["list"][..],
        &["issue", "a key"],
        &["show", "key_1"],
        &["revoke", "key_1"],
        &["prune", "--older-than=1d"],
        &["due-for-rotation"],
    ] {
        operator.run(arguments).refuses(1, "`api-keys init`");
    }
    operator.pipe("ak_1", &["verify"]).refuses(1, "there is no database keys.db");
    assert_eq!(std::fs::read_dir(operator.directory()).unwrap().count(), 0);
    for _ in 0..2 {
        let ran = operator.run(&["init"]).succeeds();
        assert_eq!((&*ran.out, &*ran.err), ("", "The tables are ready.\n"));
    }
    operator.run(&["list"]).succeeds();
    // Nothing is left beside the file.
    assert_eq!(std::fs::read_dir(operator.directory()).unwrap().count(), 1);
    let mode = std::fs::metadata(operator.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_without_tables_is_left_as_it_is() {
    let operator = Operator::without_tables();
    std::fs::write(operator.file(), "").unwrap();
    let ran = operator.run(&["issue", "a key"]).refuses(1, "version 3 is needed");
    assert!(ran.err.contains("run `api-keys init` to create or migrate the tables"), "{ran:?}");
    assert_eq!(std::fs::metadata(operator.file()).unwrap().len(), 0);
    let garbage = "no database at all ".repeat(100);
    std::fs::write(operator.file(), &garbage).unwrap();
    for arguments in [&["list"][..], &["init"]] {
        operator.run(arguments).refuses(1, "file is not a database");
    }
    assert_eq!(std::fs::read_to_string(operator.file()).unwrap(), garbage);
    std::fs::remove_file(operator.file()).unwrap();
    std::fs::create_dir(operator.file()).unwrap();
    operator.run(&["list"]).refuses(1, "cannot be opened");
    let operator = operator.with("DATABASE_URL", "sqlite:missing/keys.db");
    operator.run(&["init"]).refuses(1, "cannot be opened");
}

#[tokio::test]
async fn rows_that_cannot_be_read_and_newer_tables_are_errors() {
    let operator = Operator::new();
    let (id, secret) = operator.issue("a key", &[]);
    let url = format!("sqlite:{}", operator.file().display());
    let run = async |script: &str| {
        let pool = SqlitePool::connect(&url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(script.to_owned())).execute(&pool).await.unwrap();
        pool.close().await;
    };
    run("UPDATE api_keys SET abilities = '[\"admin:\"]'").await;
    operator.run(&["list"]).refuses(1, "cannot be read");
    operator.run(&["show", &id]).refuses(1, "cannot be read");
    operator.run(&["revoke", &id]).refuses(1, "cannot be read");
    // Not an invalid key: nothing is known of it.
    operator.pipe(secret, &["verify"]).refuses(1, "cannot be read");
    run("UPDATE api_keys SET abilities = '[]'; UPDATE api_key_migrations SET level = 7").await;
    // A newer version added to them.
    operator.run(&["list"]).succeeds();
    operator.run(&["init"]).succeeds();
    operator.run(&["revoke", &id]).succeeds();
    run("INSERT INTO api_key_migrations (version) VALUES (7)").await;
    let ran = operator.run(&["list"]).refuses(1, "are of version 7");
    assert!(ran.err.contains("update `api-keys`"), "{ran:?}");
}

#[tokio::test]
async fn changes_are_noted_as_those_of_the_operator() {
    let operator = Operator::new();
    let (id, _) = operator.issue("a key", &[]);
    operator.run(&["update", &id, "--name=by alice", "--actor=alice"]).succeeds();
    let operator = operator.with("SUDO_USER", "bob");
    operator.run(&["update", &id, "--disable"]).succeeds();
    operator.run(&["update", &id, "--enable"]).succeeds();
    operator.run(&["revoke", &id]).succeeds();
    let pool = SqlitePool::connect(&format!("sqlite:{}", operator.file().display())).await.unwrap();
    let events = sqlx::query("SELECT actor, action FROM api_key_audit ORDER BY id");
    let events = events.fetch_all(&pool).await.unwrap();
    let events: Vec<(String, String)> =
        events.iter().map(|event| (event.get(0), event.get(1))).collect();
    let events: Vec<_> = events.iter().map(|(actor, action)| (&**actor, &**action)).collect();
    assert_eq!(
        events,
        [
            ("name:cli:operator", "issued"),
            ("name:cli:alice", "updated"),
            ("name:cli:bob", "disabled"),
            ("name:cli:bob", "enabled"),
            ("name:cli:bob", "revoked"),
        ]
    );
    pool.close().await;
}

#[test]
fn the_database_is_named_by_an_option_or_the_environment() {
    let operator = Operator::new();
    operator.issue("of the environment", &[]);
    let other = ["--database", "sqlite:other.db"];
    operator.run(&[&other[..], &["init"]].concat()).succeeds();
    let listed = operator.run(&[&["list", "--json"], &other[..]].concat()).succeeds();
    assert!(listed.out.is_empty(), "{listed:?}");
    assert_eq!(operator.run(&["list", "--json"]).json_lines().len(), 1);
    for (url, said) in [
        ("keys.db", "begin it with `sqlite:`, `postgres://` or `redis://`"),
        ("mysql://localhost/keys", "begin it with `sqlite:`, `postgres://` or `redis://`"),
        ("", "--database is empty"),
        ("sqlite:", "has no path"),
        ("sqlite::memory:", "in memory"),
    ] {
        operator.run(&["init", "--database", url]).refuses(2, said);
    }
    let mut without = operator.command(&["list"]);
    without.env_remove("DATABASE_URL");
    crate::operator::Ran::of(without).refuses(2, "set DATABASE_URL");
}

#[test]
fn a_table_prefix_has_tables_of_its_own_and_options_of_others_are_refused() {
    let operator = Operator::new();
    operator.issue("without a prefix", &[]);
    let prefix = "--table-prefix=acme_";
    operator.run(&["list", prefix]).refuses(1, "version 3 is needed");
    operator.run(&["init", prefix]).succeeds();
    assert!(operator.run(&["list", "--json", prefix]).succeeds().out.is_empty());
    operator.run(&["list", "--table-prefix=a-b"]).refuses(1, "a table prefix has");
    operator.run(&["list", "--schema=auth"]).refuses(2, "--schema has no meaning for SQLite");
    operator.run(&["list", "--key-prefix=x"]).refuses(2, "--key-prefix has no meaning for SQLite");
    let owner = ["list", "--table-owner=app"];
    operator.run(&owner).refuses(2, "--table-owner has no meaning for SQLite");
    let redis = operator.with("DATABASE_URL", "redis://127.0.0.1:9");
    redis.run(&["list", "--schema=auth"]).refuses(2, "has no meaning for Redis");
    redis.run(&["list", prefix]).refuses(2, "has no meaning for Redis");
    redis.run(&owner).refuses(2, "--table-owner has no meaning for Redis");
    let postgres = redis.with("DATABASE_URL", "postgres://127.0.0.1:9/app");
    postgres.run(&["list", "--key-prefix=x"]).refuses(2, "has no meaning for PostgreSQL");
    postgres.run(&["list"]).refuses(1, "the key store failed");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn keys_are_managed_in_postgres() {
    let schema = format!("Test of a command line {}", std::process::id());
    let operator = Operator::without_tables().with("DATABASE_URL", &database_url());
    let option = format!("--schema={schema}");
    operator
        .run(&["list", &option])
        .refuses(1, "run `api-keys init` to create or migrate the tables");
    let outcome = std::panic::catch_unwind(|| manage(&operator, &option));
    let pool = sqlx::PgPool::connect(&database_url()).await.unwrap();
    let drop = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE"));
    sqlx::raw_sql(drop).execute(&pool).await.unwrap();
    outcome.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run tests/all"]
async fn keys_are_managed_in_redis() {
    let operator = Operator::without_tables().with("DATABASE_URL", &redis_url());
    let prefix = format!("--key-prefix=test:cli:{}:", std::process::id());
    operator.issue("of others", &["--tenant=acme", &format!("{prefix}others:")]);
    manage(&operator, &prefix);
}

/// Goes through the life of a key.
fn manage(operator: &Operator, option: &str) {
    operator.run(&["init", option]).succeeds();
    let (old, secret) =
        operator.issue("nightly import", &["--tenant=acme", "--rotate-in=1d", option]);
    assert_eq!(operator.run(&["list", "--tenant=acme", "--json", option]).json()["id"], *old);
    assert_eq!(operator.run(&["due-for-rotation", "--json", option]).json()["id"], *old);
    operator.pipe(&*secret, &["verify", option]).succeeds();
    let ran = operator.run(&["update", &old, "--name=hourly import", option]).succeeds();
    assert!(ran.err.contains("as soon as they are notified"), "{ran:?}");
    let rotated = operator.run(&["rotate", &old, "--grace=1h", option]).succeeds();
    let new_secret = rotated.out.trim_end();
    operator.pipe(new_secret, &["verify", option]).succeeds();
    operator.pipe(new_secret, &["revoke", "--secret-stdin", option]).succeeds();
    operator.pipe(new_secret, &["verify", option]).exits(5);
    operator.run(&["revoke", &old, option]).succeeds();
    operator.pipe(&*secret, &["verify", option]).exits(5);
    let pruned = operator.run(&["prune", "--older-than=0s", "--json", option]).succeeds();
    assert_eq!(pruned.json()["removed"], 2);
    operator.run(&["show", &old, option]).refuses(3, "there is no such key");
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_redis_that_may_not_be_asked_what_it_is_is_said_to_be_unchecked() {
    let user = format!("user-{}", std::process::id());
    let url = redis_url();
    let client = redis::Client::open(&*url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let acl = |words: &[&str]| redis::cmd("ACL").arg(words).to_owned();
    let set = acl(&["SETUSER", &user, "on", ">x", "~*", "&*", "+@all", "-info"]);
    set.exec_async(&mut connection).await.unwrap();
    let as_user = url.replace("redis://", &format!("redis://{user}:x@"));
    let ran = Operator::without_tables().with("DATABASE_URL", &as_user).run(&["init"]);
    acl(&["DELUSER", &user]).exec_async(&mut connection).await.unwrap();
    let ran = ran.succeeds();
    assert!(ran.err.contains("Not checked") && ran.err.contains("'info'"), "{ran:?}");
    let ran = Operator::without_tables().with("DATABASE_URL", &url).run(&["init"]).succeeds();
    assert_eq!(ran.err, "The server answers, and needs no tables.\n");
}
