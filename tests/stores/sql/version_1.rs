//! Tables of version 1, and the statements of the version of this crate that made them.

use std::time::Duration;

use tower_api_key::key::RateLimits;
use tower_api_key::store::{KeyChange, KeyQuery, KeyState, KeyUse, RecordUses};
use tower_api_key::{KeyDigest, KeyManager, KeyRecord, KeyRepository, KeyUpdate, NewKey};

use super::{at, got, inserted, record, replace};

/// The columns that version 1 knows.
const COLUMNS: &str = "id, digest, hint, name, tenant, stage, kind, abilities, created_at, \
                       expires_at, revoked_at, disabled, rotation_due_at, successor, limits, \
                       restrictions, metadata, revision";

/// A connection of a node of version 1, and how its database writes values.
pub trait Old {
    /// Runs a statement, and returns how many rows it changed.
    async fn change(&self, sql: String) -> u64;
    /// Asks for one text.
    async fn text(&self, sql: String) -> Option<String>;
    fn digest(&self, digest: &KeyDigest) -> String;
    fn time(&self, microseconds: i64) -> String;
    fn texts(&self, texts: &[&str]) -> String;
    fn flag(&self, flag: bool) -> String;
    /// Notes that a key was used.
    fn note(&self, id: &str, microseconds: i64) -> String;

    /// The values of a record in the order of [`COLUMNS`]. Of its fields, these tests change the
    /// name and the revision.
    fn values(&self, record: &KeyRecord) -> Vec<String> {
        let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let id = record.successor().map(|id| id.as_str());
        vec![
            text(record.id().as_str()),
            self.digest(&record.digest()),
            text(record.hint().as_str()),
            text(record.name()),
            text("acme"),
            "NULL".to_owned(),
            text("secret"),
            self.texts(&["bots:read"]),
            self.time(1_700_000_000_123_456),
            "NULL".to_owned(),
            "NULL".to_owned(),
            self.flag(record.is_disabled()),
            "NULL".to_owned(),
            id.map_or_else(|| "NULL".to_owned(), text),
            text(r#"["100 per hour"]"#),
            text(r#"{"addresses":null,"origins":null,"referrers":null,"endpoints":null}"#),
            text("{}"),
            record.revision().to_string(),
        ]
    }

    async fn insert(&self, record: &KeyRecord) -> u64 {
        let values = self.values(record).join(", ");
        let insert = format!("INSERT INTO api_keys ({COLUMNS}) VALUES ({values})");
        self.change(format!("{insert} ON CONFLICT DO NOTHING")).await
    }

    async fn replace(&self, record: &KeyRecord) -> u64 {
        let values = self.values(record);
        let (id, digest, revision) = (&values[0], &values[1], &values[17]);
        let set = COLUMNS.split(", ").zip(&values).skip(2);
        let set: Vec<_> = set.map(|(column, value)| format!("{column} = {value}")).collect();
        self.change(format!(
            "UPDATE api_keys SET {} WHERE id = {id} AND digest = {digest} AND revision = \
             {revision} - 1 AND (revoked_at IS NULL OR revoked_at = NULL)",
            set.join(", ")
        ))
        .await
    }

    /// Returns the name of the key with this digest.
    async fn find(&self, digest: &KeyDigest) -> Option<String> {
        let digest = self.digest(digest);
        let find = format!("SELECT {COLUMNS} FROM api_keys WHERE digest = {digest}");
        self.text(format!("SELECT name FROM ({find}) AS found")).await
    }
}

/// Asserts that all is read that version 1 kept.
pub async fn check_keys(keys: &impl KeyRepository) {
    let all = keys.list(&KeyQuery::new()).await.unwrap().keys;
    let now = at(1_800_000_000_000_000);
    let shown: Vec<_> = all.iter().map(|key| (key.record.name(), key.record.state(now))).collect();
    assert_eq!(
        shown,
        [
            ("an old job", KeyState::Revoked),
            ("a widget", KeyState::Disabled),
            ("nightly import", KeyState::Active),
            ("nightly import", KeyState::Active),
        ]
    );
    let (new, old) = (&all[2].record, &all[3].record);
    assert_eq!(old.successor(), Some(new.id()));
    for record in [old, new] {
        let limits: Vec<_> = record.limits().iter().map(ToString::to_string).collect();
        assert_eq!(limits, ["100 per hour", "pool: 10000 per day, shared by tenant"]);
        assert_eq!((record.tenant().unwrap().as_str(), record.counted_as()), ("acme", None));
        assert_eq!(record.metadata()["plan"], "paid");
        let found = keys.find(&record.digest()).await.unwrap();
        assert_eq!(found.as_ref(), Some(record));
    }
}

/// A node of version 1 goes on over the tables of `keys`, which are of today.
pub async fn check_both(
    keys: &(impl KeyRepository + RecordUses + Clone + 'static),
    old: &impl Old,
) {
    // It starts: it asks for the largest version, and knows 1.
    let largest = "SELECT CAST(coalesce(max(version), 0) AS text) FROM api_key_migrations";
    assert_eq!(old.text(largest.to_owned()).await.as_deref(), Some("1"));

    // What it writes is read.
    let mut by_old = record();
    by_old.set_limits(RateLimits::new(["100 per hour".parse().unwrap()]).unwrap());
    assert_eq!(old.insert(&by_old).await, 1);
    assert_eq!(old.insert(&by_old).await, 0, "it is there already");
    assert_eq!(got(keys, &by_old).await, by_old);
    // What is written is read by it.
    let by_new = inserted(keys).await;
    assert_eq!(old.find(&by_new.digest()).await.as_deref(), Some("a key"));

    // Each changes what the other wrote, and neither what the other changed meanwhile.
    let mut first = by_old.clone();
    first.set_revision(1);
    first.set_name("changed by both");
    keys.commit(&[KeyChange::Replace(first.clone().into())], &[]).await.unwrap();
    assert_eq!(old.find(&first.digest()).await.as_deref(), Some("changed by both"));
    assert_eq!(old.replace(&first).await, 0, "a change to an old revision");
    let mut second = first.clone();
    second.set_revision(2);
    second.set_name("changed by the old");
    assert_eq!(old.replace(&second).await, 1);
    assert_eq!(got(keys, &second).await, second);
    keys.commit(&[replace(&first, |_| {})], &[]).await.unwrap_err();

    // It keeps what it does not know.
    let manager = KeyManager::new(keys.clone());
    let key = NewKey::named("nightly import").tenant("acme").abilities(["bots:read"]);
    let issued = manager.issue(key.limit("100 per hour")).await.unwrap().record;
    let rotated = manager.rotate(issued.id(), Duration::from_secs(60)).await.unwrap().record;
    assert_eq!(rotated.counted_as(), Some(issued.id()));
    let event = "SELECT after ->> 'counted_as' FROM api_key_audit WHERE action = 'issued' AND";
    let event = old.text(format!("{event} key_id = '{}'", rotated.id())).await;
    assert_eq!(event.as_deref(), Some(issued.id().as_str()));
    let mut renamed = KeyRecord::clone(&rotated);
    renamed.set_revision(renamed.revision() + 1);
    renamed.set_name("renamed by the old");
    assert_eq!(old.replace(&renamed).await, 1);
    let kept = got(keys, &renamed).await;
    assert_eq!((kept.name(), kept.revision()), ("renamed by the old", 1));
    assert_eq!(kept.counted_as(), Some(issued.id()));
    let update = KeyUpdate::new().name("renamed by the new");
    let updated = manager.update(rotated.id(), &update).await.unwrap().record;
    assert_eq!(updated.counted_as(), Some(issued.id()));

    // Uses, and the end of a key.
    assert_eq!(old.change(old.note(by_new.id().as_str(), 7)).await, 1);
    keys.record_uses(&[KeyUse::new(by_new.id().clone(), at(9))]).await.unwrap();
    assert_eq!(old.change(old.note(by_new.id().as_str(), 8)).await, 0, "it went back");
    assert_eq!(keys.get(by_new.id()).await.unwrap().unwrap().last_used_at, Some(at(9)));
    let (id, digest) = (by_new.id().as_str(), old.digest(&by_new.digest()));
    let remove =
        format!("DELETE FROM api_keys WHERE id = '{id}' AND digest = {digest} AND revision = 0");
    assert_eq!(old.change(remove).await, 1);
    assert_eq!(keys.get(by_new.id()).await.unwrap(), None);
}
