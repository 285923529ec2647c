//! Whose tables in PostgreSQL are taken as one's own.

use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tower_api_key::store::PostgresStoreBuilder;
use tower_api_key::{KeyManager, NewKey, PostgresStore};

use crate::common::in_time;
use crate::common::servers::database_url;

/// Roles and schemas of a test's own, of which the names have its number.
pub struct World {
    pub admin: PgPool,
    number: String,
}

impl World {
    /// With these roles. None may create schemas; who may create what in which is for a test to say.
    pub async fn new(roles: &[&str]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);

        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let number = format!("{}_{number}", std::process::id());
        let admin = PgPool::connect(&database_url()).await.unwrap();
        let world = Self { admin, number };
        for role in roles {
            world.run(&format!("CREATE ROLE {role}_# LOGIN")).await;
        }
        world
    }

    /// Runs a script as the superuser, in which `#` is the number.
    pub async fn run(&self, script: &str) {
        let script = AssertSqlSafe(script.replace('#', &self.number));
        sqlx::raw_sql(script).execute(&self.admin).await.unwrap();
    }

    /// Runs a script as a role.
    pub async fn run_as(&self, role: &str, script: &str) {
        let script = AssertSqlSafe(script.replace('#', &self.number));
        sqlx::raw_sql(script).execute(&self.pool(role)).await.unwrap();
    }

    pub fn options(&self, role: &str) -> PgConnectOptions {
        let options: PgConnectOptions = database_url().parse().unwrap();
        options.username(&self.name(role))
    }

    pub fn pool(&self, role: &str) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect_lazy_with(self.options(role))
    }

    pub fn name(&self, role: &str) -> String {
        format!("{role}_{}", self.number)
    }

    /// Connects as a role, with the tables in the schema `keys_#`.
    pub fn connect(&self, role: &str) -> PostgresStoreBuilder {
        PostgresStore::from_pool(self.pool(role)).schema(self.name("keys"))
    }

    /// Lets a role use the tables.
    async fn grant_to(&self, role: &str) {
        self.run(&format!(
            "GRANT USAGE ON SCHEMA keys_# TO {role}_#; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA keys_# TO {role}_#"
        ))
        .await;
    }

    /// Asserts that a store works.
    async fn accepts(&self, builder: PostgresStoreBuilder) {
        let keys = KeyManager::new(in_time(builder.into_future()).await.unwrap());
        let issued = keys.issue(NewKey::named("a key")).await.unwrap();
        keys.revoke(issued.record.id()).await.unwrap();
    }

    /// Asserts that a store is refused because of what a role owns.
    async fn refuses(&self, builder: PostgresStoreBuilder, what: &str, owner: &str) {
        let error = in_time(builder.into_future()).await.unwrap_err().to_string();
        let owner = format!("belongs to the role \"{}\"", self.name(owner));
        assert!(error.contains(what) && error.contains(&owner), "{error}");
        assert!(error.contains("name it as the table owner"), "{error}");
    }

    async fn tables(&self) -> i64 {
        let count =
            "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = $1::regnamespace";
        let count = sqlx::query_scalar(count).bind(self.name("keys"));
        count.fetch_one(&self.admin).await.unwrap()
    }

    pub async fn end(self, roles: &[&str]) {
        for role in roles {
            self.run(&format!("DROP OWNED BY {role}_# CASCADE")).await;
        }
        self.run("DROP SCHEMA IF EXISTS keys_# CASCADE").await;
        for role in roles {
            self.run(&format!("DROP ROLE {role}_#")).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn tables_that_another_role_made_first_are_refused_unless_it_is_named() {
    let world = World::new(&["app", "mallory"]).await;
    // As `public` is before PostgreSQL 15.
    world.run("CREATE SCHEMA keys_#; GRANT ALL ON SCHEMA keys_# TO PUBLIC").await;
    world.accepts(world.connect("mallory")).await;
    world.grant_to("app").await;
    let superuser = || PostgresStore::connect(&database_url()).schema(world.name("keys"));
    for builder in [
        world.connect("app"),
        world.connect("app").without_migration(),
        world.connect("app").table_owner("nobody_at_all"),
        superuser(),
    ] {
        world.refuses(builder, "the table \"api_key", "mallory").await;
    }
    world.accepts(world.connect("app").table_owner(world.name("mallory"))).await;
    world.accepts(superuser().table_owner(world.name("mallory")).without_migration()).await;
    // A prefix has tables of its own.
    world.accepts(world.connect("app").table_prefix("own_")).await;
    world.end(&["app", "mallory"]).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn one_foreign_table_is_enough_and_nothing_is_made_beside_it() {
    for name in
        ["api_keys", "api_key_uses", "api_key_audit", "api_key_suspensions", "api_key_migrations"]
    {
        let world = World::new(&["app", "mallory"]).await;
        world.run("CREATE SCHEMA keys_#; GRANT ALL ON SCHEMA keys_# TO PUBLIC").await;
        world.run_as("mallory", &format!("CREATE TABLE keys_#.{name} (version bigint)")).await;
        let what = format!("the table \"{name}\"");
        world.refuses(world.connect("app"), &what, "mallory").await;
        assert_eq!(world.tables().await, 1);
        world.end(&["app", "mallory"]).await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn nothing_is_read_from_a_foreign_view() {
    let world = World::new(&["app", "mallory"]).await;
    world.run("CREATE SCHEMA keys_#; GRANT ALL ON SCHEMA keys_# TO PUBLIC").await;
    world
        .run_as(
            "mallory",
            "CREATE TABLE keys_#.seen (who text);
             GRANT INSERT ON keys_#.seen TO PUBLIC;
             CREATE FUNCTION keys_#.spy() RETURNS bigint LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO keys_#.seen VALUES (current_user); RETURN 1; END $$;
             CREATE VIEW keys_#.api_key_migrations AS SELECT keys_#.spy() AS version;
             GRANT SELECT ON keys_#.api_key_migrations TO PUBLIC",
        )
        .await;
    for builder in [world.connect("app"), world.connect("app").without_migration()] {
        world.refuses(builder, "the table \"api_key_migrations\"", "mallory").await;
    }
    let seen = AssertSqlSafe(format!("SELECT count(*) FROM {}.seen", world.name("keys")));
    let seen: i64 = sqlx::query_scalar(seen).fetch_one(&world.admin).await.unwrap();
    assert_eq!(seen, 0);
    world.end(&["app", "mallory"]).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_role_that_owns_nothing_uses_the_tables_of_who_owns_the_schema() {
    let world = World::new(&["app", "owner", "group"]).await;
    world.run("CREATE SCHEMA keys_# AUTHORIZATION owner_#").await;
    world.accepts(world.connect("owner")).await;
    world.grant_to("app").await;
    world.accepts(world.connect("app")).await;
    world.accepts(world.connect("app").without_migration()).await;
    // Also if a group owns the schema.
    world.run("GRANT group_# TO owner_#; ALTER SCHEMA keys_# OWNER TO group_#").await;
    world.accepts(world.connect("app").without_migration()).await;
    // But not if the schema is somebody else's, unless the owner or its group is named.
    world.run("ALTER SCHEMA keys_# OWNER TO postgres").await;
    world.refuses(world.connect("app"), "the table", "owner").await;
    for named in ["owner", "group"] {
        world.accepts(world.connect("app").table_owner(world.name(named))).await;
    }
    world.end(&["app", "owner", "group"]).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_member_of_the_role_that_connects_is_trusted_and_not_the_other_way_round() {
    let world = World::new(&["app", "other"]).await;
    world.run("CREATE SCHEMA keys_#; GRANT ALL ON SCHEMA keys_# TO PUBLIC").await;
    world.accepts(world.connect("other")).await;
    world.grant_to("app").await;
    // As any role can do for itself before PostgreSQL 16.
    world.run("GRANT other_# TO app_#").await;
    world.refuses(world.connect("app"), "the table", "other").await;
    world.run("REVOKE other_# FROM app_#; GRANT app_# TO other_#").await;
    world.accepts(world.connect("app")).await;
    world.run("REVOKE app_# FROM other_#").await;
    world.refuses(world.connect("app"), "the table", "other").await;
    world.run("ALTER ROLE other_# SUPERUSER").await;
    world.accepts(world.connect("app")).await;
    world.run("ALTER ROLE other_# NOSUPERUSER").await;
    world.end(&["app", "other"]).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn tables_are_not_made_in_a_schema_of_which_somebody_else_can_replace_them() {
    let world = World::new(&["app", "mallory"]).await;
    let schema =
        "CREATE SCHEMA keys_# AUTHORIZATION mallory_#; GRANT ALL ON SCHEMA keys_# TO app_#";
    world.run(schema).await;
    world.refuses(world.connect("app"), "the schema \"keys_", "mallory").await;
    assert_eq!(world.tables().await, 0);
    world.accepts(world.connect("app").table_owner(world.name("mallory"))).await;
    // They are there now, and its own.
    world.accepts(world.connect("app")).await;
    world.end(&["app", "mallory"]).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn the_owner_of_the_database_is_trusted() {
    let world = World::new(&["app", "owner"]).await;
    world.run("CREATE DATABASE keys_# OWNER owner_#").await;
    let builder = |role: &str| {
        let options = world.options(role).database(&world.name("keys"));
        let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(options);
        (PostgresStore::from_pool(pool.clone()), pool)
    };
    // In `public`, which belongs to `pg_database_owner` since PostgreSQL 15.
    let (owner, owners) = builder("owner");
    world.accepts(owner).await;
    let grant = "GRANT USAGE, CREATE ON SCHEMA public TO app_#; \
                 GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app_#";
    let grant = AssertSqlSafe(grant.replace('#', &world.number));
    sqlx::raw_sql(grant).execute(&owners).await.unwrap();
    let (app, apps) = builder("app");
    world.accepts(app).await;
    let (app, others) = builder("app");
    world.accepts(app.table_prefix("own_")).await;
    for pool in [owners, apps, others] {
        pool.close().await;
    }
    world.run("DROP DATABASE keys_# WITH (FORCE)").await;
    world.end(&["app", "owner"]).await;
}
