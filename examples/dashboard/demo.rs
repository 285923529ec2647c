//! Demo keys with a history and usage.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_api_key::store::{
    KeyUsage, KeyUse, RecordUses as _, SqliteStore, UsageBatch, UsageCounts, UsageKind,
    UsageRetention, UsageStore as _,
};
use tower_api_key::{Clock, IssuedKey, KeyKind, KeyManager, NewKey};

use crate::support;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A clock that stands still, for changes in the past.
struct At(SystemTime);

impl Clock for At {
    fn now(&self) -> SystemTime {
        self.0
    }
}

/// Fills the store, unless it has keys already.
pub(crate) async fn fill(store: &SqliteStore, keys: &KeyManager) -> support::Result<()> {
    if !keys.list(&Default::default()).await?.keys.is_empty() {
        return Ok(());
    }
    let now = SystemTime::now();
    let issue = async |days: u32, key: NewKey| ago(keys, days).issue(key).await;
    let acme = |name: &str, stage: &str, abilities: &[&str]| {
        let key = NewKey::named(name).tenant("acme").stage(stage.to_owned());
        key.kind(KeyKind::Secret).abilities(abilities.to_vec())
    };

    let import = acme("Nightly import", "live", &["bots:read", "bots:write"]);
    let import = issue(140, import).await?;
    support::print_key("import", &import);
    used(store, &import, now - 4 * HOUR, 480, 3).await?;

    let reports = acme("Monthly reporting", "live", &["reports:read"]).expires_at(now + 6 * DAY);
    let reports = issue(84, reports).await?;
    used(store, &reports, now - 3 * DAY, 35, 0).await?;

    let sandbox = acme("Sandbox", "test", &["bots:read", "bots:write", "bots:delete", "chat:read"]);
    let sandbox = issue(30, sandbox).await?;
    used(store, &sandbox, now - HOUR / 2, 120, 22).await?;

    let widget = acme("Support widget", "live", &["chat:send"])
        .kind(KeyKind::Public)
        .keep_public_text()
        .origins(["https://www.acme.example"]);
    let widget = issue(21, widget).await?;
    support::print_key("widget", &widget);
    used(store, &widget, now - HOUR / 20, 900, 9).await?;

    let old = issue(200, acme("Old CRM bridge", "live", &["chat:read"])).await?;
    used(store, &old, now - 12 * DAY, 60, 5).await?;
    ago(keys, 10).rotate(old.record.id(), Duration::ZERO).await?;

    let leaked = issue(60, acme("Laptop script", "test", &["bots:read"])).await?;
    ago(keys, 8).revoke(leaked.record.id()).await?;
    let paused = issue(45, acme("Partner trial", "test", &["bots:read"])).await?;
    ago(keys, 2).disable(paused.record.id()).await?;

    let globex = NewKey::named("Globex chat").tenant("globex").stage("live").kind(KeyKind::Secret);
    keys.acting_as("bob@globex.example").issue(globex.abilities(["chat:send"])).await?;
    Ok(())
}

/// Returns a manager whose clock is that many days in the past.
fn ago(keys: &KeyManager, days: u32) -> KeyManager {
    keys.acting_as("alice@acme.example").clock(At(SystemTime::now() - days * DAY))
}

/// Invents the usage of a key until `last`, and writes it to the store like a recorder.
async fn used(
    store: &SqliteStore,
    key: &IssuedKey,
    last: SystemTime,
    per_hour: u64,
    refused: u64,
) -> support::Result<()> {
    let (id, tenant) = (key.record.id(), key.record.tenant());
    let first = key.record.created_at();
    let mut random = u64::from(id.as_str().as_bytes()[5]) + per_hour;
    let (mut rows, mut at) = (Vec::new(), last);
    while at > first && at > last - 360 * DAY {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let noise = (random >> 33) % 100;
        let hour = at.duration_since(UNIX_EPOCH)?.as_secs() / 3600;
        // More by day than by night, and less at the weekend.
        let by_day =
            [2, 1, 1, 1, 2, 4, 7, 11, 15, 17, 18, 18, 16, 17, 18, 17, 15, 12, 9, 7, 6, 5, 4, 3];
        let weekend = if matches!((hour / 24 + 3) % 7, 5 | 6) { 3 } else { 10 };
        let count = per_hour * by_day[(hour % 24) as usize] * weekend * (60 + noise) / 18_000;
        let wrong = if noise > 80 { refused * (noise - 80) / 10 } else { 0 };
        let mut counts = UsageCounts::default();
        counts.add(UsageKind::Accepted, count);
        counts.add(UsageKind::RateLimited, wrong * 2 / 3);
        counts.add(UsageKind::MissingAbility, wrong - wrong * 2 / 3);
        rows.push(KeyUsage::new(id.clone(), tenant.cloned(), at, counts));
        at -= HOUR;
    }
    // Each key has a writer of its own, and this is its first batch.
    let batch = UsageBatch::new(id.as_str(), 1, UsageRetention::default(), rows);
    store.add_usage(&batch).await?;
    Ok(store.record_uses(&[KeyUse::new(id.clone(), last)]).await?)
}
