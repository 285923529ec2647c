//! Roles in PostgreSQL with exactly the rights that the documentation gives them.

use std::time::{Duration, SystemTime};

use tower_api_key::manage::UsagePeriod;
use tower_api_key::store::{
    KeyUsage, KeyUse, PostgresStoreBuilder, RecordUses as _, UsageBatch, UsageCounts, UsageKind,
    UsageRetention, UsageStore as _,
};
use tower_api_key::{
    CachedStore, KeyManager, KeyRecord, KeyStore as _, KeyUpdate, NewKey, PostgresStore,
};

use crate::common::in_time;
use crate::postgres_owners::World;

const ROLES: [&str; 3] = ["api_verify", "api_manage", "api_migrate"];
const VERIFY: &str = include_str!("../../src/guide/roles/verify.sql");
const USAGE: &str = include_str!("../../src/guide/roles/usage.sql");
const PRUNE_USAGE: &str = include_str!("../../src/guide/roles/prune_usage.sql");
const MANAGE: &str = include_str!("../../src/guide/roles/manage.sql");
const MIGRATE: &str = include_str!("../../src/guide/roles/migrate.sql");

/// Returns statements of the documentation for the roles and the schema of a test.
fn of_test(script: &str) -> String {
    let roles = ROLES.iter().fold(script.to_owned(), |script, role| {
        script.replace(&format!(" {role};"), &format!(" {role}_#;"))
    });
    roles.replace("SCHEMA auth", "SCHEMA keys_#").replace("auth.", "keys_#.")
}

/// Connects as the documentation says.
fn connect(world: &World, role: &str) -> PostgresStoreBuilder {
    world.connect(role).table_owner(world.name("api_migrate")).without_migration()
}

async fn connected(world: &World, role: &str) -> PostgresStore {
    in_time(connect(world, role).into_future()).await.unwrap()
}

/// Makes the tables, as `api-keys init` does.
async fn migrated() -> World {
    let world = World::new(&ROLES).await;
    world.run(&of_test(MIGRATE)).await;
    in_time(world.connect("api_migrate").into_future()).await.unwrap();
    world
}

/// Tells whether a role may run a statement.
async fn may(world: &World, role: &str, statement: &str) -> bool {
    let pool = world.pool(role);
    let statement = statement.replace("keys_#", &world.name("keys"));
    let statement = sqlx::AssertSqlSafe(format!("BEGIN; {statement}; ROLLBACK"));
    match sqlx::raw_sql(statement).execute(&pool).await {
        Ok(_) => true,
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code());
            // `insufficient_privilege`
            assert_eq!(code.as_deref(), Some("42501"), "{error}");
            false
        }
    }
}

const TABLES: [&str; 8] = [
    "api_keys",
    "api_key_uses",
    "api_key_usage",
    "api_key_usage_days",
    "api_key_usage_writers",
    "api_key_audit",
    "api_key_suspensions",
    "api_key_migrations",
];

fn used(record: &KeyRecord) -> [KeyUse; 1] {
    [KeyUse::new(record.id().clone(), SystemTime::now())]
}

/// One accepted request, in 2001: too old by any retention.
fn usage(record: &KeyRecord, number: u64) -> UsageBatch {
    let mut counts = UsageCounts::default();
    counts.add(UsageKind::Accepted, 1);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let row = KeyUsage::new(record.id().clone(), record.tenant().cloned(), time, counts);
    UsageBatch::new("a node", number, UsageRetention::default(), [row])
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn who_verifies_reads_what_it_needs_hears_of_changes_and_changes_nothing() {
    let world = migrated().await;
    world.run(&of_test(VERIFY)).await;
    let keys = KeyManager::new(world.connect("api_migrate").await.unwrap());
    let record = keys.issue(NewKey::named("a key").tenant("acme")).await.unwrap().record;
    let other = keys.issue(NewKey::named("another").tenant("other")).await.unwrap().record;
    let store = connected(&world, "api_verify").await;
    let cached = CachedStore::builder(store.clone())
        .invalidated_by(store.invalidations())
        .heartbeat(Duration::from_millis(200))
        .build();
    in_time(async {
        while !cached.is_live() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    for store in [&cached as &dyn tower_api_key::KeyStore, &store] {
        let found = store.find(&record.digest()).await.unwrap().unwrap();
        assert!(!found.is_suspended() && found == record);
        let found = store.find_many(&[record.digest(), other.digest()]).await.unwrap();
        assert_eq!(found.iter().flatten().count(), 2);
    }
    // Notified, and not by the age of what it knows.
    keys.suspend(&"acme".parse().unwrap()).await.unwrap();
    keys.revoke(other.id()).await.unwrap();
    in_time(async {
        loop {
            let ours = cached.find(&record.digest()).await.unwrap().unwrap();
            let theirs = cached.find(&other.digest()).await.unwrap().unwrap();
            if ours.is_suspended() && theirs.revoked_at().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(store.find(&record.digest()).await.unwrap().unwrap().is_suspended());

    let manager = KeyManager::new(store.clone());
    for refused in [
        manager.issue(NewKey::named("one more")).await.map(drop),
        manager.resume(&"acme".parse().unwrap()).await.map(drop),
        manager.suspend(&"other".parse().unwrap()).await.map(drop),
        manager.get(record.id()).await.map(drop),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("permission denied for table"), "{error}");
    }
    let error = store.record_uses(&used(&record)).await.unwrap_err().to_string();
    assert!(error.contains("permission denied for table api_key_uses"), "{error}");
    let error = store.add_usage(&usage(&record, 1)).await.unwrap_err().to_string();
    assert!(error.contains("permission denied for table api_key_usage"), "{error}");
    for table in TABLES {
        let reads = ["api_keys", "api_key_suspensions", "api_key_migrations"].contains(&table);
        let select = format!("SELECT FROM keys_#.{table}");
        assert_eq!(may(&world, "api_verify", &select).await, reads, "{select}");
        for statement in ["DELETE FROM", "TRUNCATE", "SELECT FROM"] {
            let lock = if statement == "SELECT FROM" { " FOR KEY SHARE" } else { "" };
            let statement = format!("{statement} keys_#.{table}{lock}");
            assert!(!may(&world, "api_verify", &statement).await, "{statement}");
        }
    }
    for statement in [
        "UPDATE keys_#.api_keys SET name = 'x'",
        "INSERT INTO keys_#.api_keys (id) VALUES ('key_1')",
        "CREATE TABLE keys_#.api_key_later (id text)",
        "DROP TABLE keys_#.api_keys",
    ] {
        assert!(!may(&world, "api_verify", statement).await, "{statement}");
    }

    // And with the rights to count and to note uses.
    world.run(&of_test(USAGE)).await;
    for _ in 0..2 {
        store.record_uses(&used(&record)).await.unwrap();
    }
    assert!(keys.get(record.id()).await.unwrap().last_used_at.is_some());
    let unknown = KeyUse::new("key_unknown".parse().unwrap(), SystemTime::now());
    store.record_uses(&[unknown]).await.unwrap();
    for number in [1, 2, 2] {
        store.add_usage(&usage(&record, number)).await.unwrap();
    }
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let used = keys.usage(record.id(), at..at + Duration::from_secs(1), UsagePeriod::Hour).await;
    assert_eq!(used.unwrap().total.accepted(), 2);

    // To prune is a right of its own.
    let prune =
        async || store.prune_usage(UsageRetention::default(), SystemTime::now(), 1000).await;
    let error = prune().await.unwrap_err().to_string();
    assert!(error.contains("permission denied for table api_key_usage"), "{error}");
    world.run(&of_test(PRUNE_USAGE)).await;
    // The hour becomes a day, which goes at once or the next time.
    assert!(prune().await.unwrap() + prune().await.unwrap() >= 1);
    for statement in ["TRUNCATE keys_#.api_key_usage", "DELETE FROM keys_#.api_key_uses"] {
        assert!(!may(&world, "api_verify", statement).await, "{statement}");
    }
    world.end(&ROLES).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn who_manages_does_all_that_a_manager_does_and_alters_no_table() {
    let world = migrated().await;
    world.run(&of_test(MANAGE)).await;
    let store = connected(&world, "api_manage").await;
    let keys = KeyManager::new(store.clone());
    let tenant = "acme".parse().unwrap();
    let issued = keys.issue(NewKey::named("a key").tenant("acme")).await.unwrap();
    let id = issued.record.id();
    keys.update(id, &KeyUpdate::new().name("renamed")).await.unwrap();
    let rotated = keys.rotate(id, Duration::from_secs(60)).await.unwrap();
    keys.suspend(&tenant).await.unwrap();
    assert_eq!(keys.suspended_tenants().await.unwrap().len(), 1);
    keys.resume(&tenant).await.unwrap();
    assert_eq!(keys.list(&tower_api_key::store::KeyQuery::new()).await.unwrap().keys.len(), 2);
    keys.revoke(rotated.record.id()).await.unwrap();
    keys.revoke_all(&tenant, |_| ()).await.unwrap();
    world.connect("api_migrate").await.unwrap().add_usage(&usage(&issued.record, 1)).await.unwrap();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let usage = keys.usage(id, at..at + Duration::from_secs(1), UsagePeriod::Day).await.unwrap();
    assert_eq!(usage.total.accepted(), 1);
    assert!(keys.prune_usage(UsageRetention::default()).await.unwrap() >= 1);
    let events = keys.audit_log(&tower_api_key::store::AuditQuery::default()).await.unwrap();
    assert!(events.entries.len() >= 6, "{events:?}");
    let later = SystemTime::now() + Duration::from_secs(1);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(keys.prune(later).await.unwrap(), 2);
    assert!(keys.prune_audit_log(later).await.unwrap() >= 6);
    tower_api_key::KeyRepository::invalidate_everywhere(&store).await.unwrap();
    let error = store.record_uses(&used(&issued.record)).await.unwrap_err().to_string();
    assert!(error.contains("permission denied for table api_key_uses"), "{error}");
    for statement in [
        "UPDATE keys_#.api_key_audit SET actor = 'x'",
        "TRUNCATE keys_#.api_keys",
        "UPDATE keys_#.api_key_migrations SET level = 9",
        "ALTER TABLE keys_#.api_keys DISABLE TRIGGER ALL",
        "CREATE TABLE keys_#.api_key_later (id text)",
    ] {
        assert!(!may(&world, "api_manage", statement).await, "{statement}");
    }
    world.end(&ROLES).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_table_that_a_migration_has_made_is_named_until_the_rights_are_given_again() {
    let world = World::new(&ROLES).await;
    let tables = include_str!("sql/version_1.postgres.sql");
    let tables = tables.replace("'public.", "'keys_#.").replace("public.", "keys_#.");
    world.run(&of_test(MIGRATE)).await;
    world.run_as("api_migrate", &tables).await;
    // As the version before had them.
    world
        .run(
            "GRANT USAGE ON SCHEMA keys_# TO api_verify_#; \
             GRANT SELECT ON keys_#.api_keys, keys_#.api_key_migrations TO api_verify_#",
        )
        .await;
    let error = connect(&world, "api_verify").await.unwrap_err().to_string();
    assert!(error.contains("version 3 is needed"), "{error}");
    // It may not migrate either, and has changed nothing.
    let builder = world.connect("api_verify").table_owner(world.name("api_migrate"));
    let error = in_time(builder.into_future()).await.unwrap_err().to_string();
    assert!(error.contains("must be owner") || error.contains("permission denied"), "{error}");
    in_time(world.connect("api_migrate").into_future()).await.unwrap();
    let error = connect(&world, "api_verify").await.unwrap_err().to_string();
    assert!(error.contains("api_key_suspensions") && error.contains("GRANT SELECT"), "{error}");
    world.run(&of_test(VERIFY)).await;
    connect(&world, "api_verify").await.unwrap();
    world.end(&ROLES).await;
}
