//! [`Session`]: an open database, and who asks.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tower_api_key::key::{AbilityCatalogue, KeyFormats};
use tower_api_key::manage::ChangedKey;
use tower_api_key::store::{ActorName, AuditEvent, AuditSink as _, JsonLinesAudit, StoredKey};
use tower_api_key::{KeyHasher, KeyId, KeyManager, KeyScheme};
use zeroize::Zeroizing;

use crate::database::Database;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::say::say;
use crate::surplus::Surplus;
use crate::text::printable;
use crate::view::Key;

/// What a command works with.
pub(crate) struct Session {
    pub(crate) database: Database,
    pub(crate) keys: KeyManager,
    /// What keys look like, if the environment says so.
    pub(crate) formats: KeyFormats,
    pub(crate) hasher: KeyHasher,
    pub(crate) output: Output,
    pub(crate) now: SystemTime,
    /// What writes events to a file as well.
    events: Option<Arc<JsonLinesAudit>>,
}

impl Session {
    pub(crate) fn new(
        database: Database,
        formats: KeyFormats,
        hasher: KeyHasher,
        actor: &str,
        max_keys: Option<u64>,
        output: Output,
    ) -> Self {
        let scheme = KeyScheme::new(formats.clone()).hasher(hasher.clone());
        let keys = KeyManager::new(database.repository()).scheme(scheme);
        let mut keys = keys.acting_as(&*format!("cli:{actor}"));
        if let Some(most) = max_keys {
            keys = keys.max_keys_per_tenant(most);
        }
        Self { database, keys, formats, hasher, output, now: SystemTime::now(), events: None }
    }

    /// Returns what keys of these formats look like, and how they are hashed.
    pub(crate) fn scheme(&self, formats: impl Into<KeyFormats>) -> KeyScheme {
        KeyScheme::new(formats).hasher(self.hasher.clone())
    }

    /// Returns which key has this secret and was hashed without a pepper, so that servers with one
    /// do not find it.
    pub(crate) async fn find_without_pepper(&self, secret: &str) -> Result<Option<KeyId>, Failure> {
        let digest = KeyHasher::sha256().digest(secret);
        if self.hasher.digests(secret).any(|known| known == digest) {
            return Ok(None);
        }
        let record = self.database.repository().find_stored(&digest).await?;
        Ok(record.map(|record| record.id().clone()))
    }

    /// Refuses to grant abilities that there are not.
    pub(crate) fn know_abilities(&mut self, abilities: AbilityCatalogue) {
        self.keys = self.keys.clone().abilities(abilities);
    }

    /// Has events of changes written to a file as well.
    pub(crate) fn write_events_to(&mut self, path: &Path) -> Result<(), Failure> {
        let sink = JsonLinesAudit::open(path)
            .map_err(|error| Failure::usage(format!("--audit-file {}: {error}", path.display())))?;
        let sink = Arc::new(sink);
        let writes = Arc::clone(&sink);
        self.keys = self.keys.clone().audit(move |event: &AuditEvent| writes.record(event));
        self.events = Some(sink);
        Ok(())
    }

    /// Says if events of what was done are not in the file that was to have them.
    pub(crate) fn end_events(&self) -> Result<(), Failure> {
        let Some(sink) = &self.events else { return Ok(()) };
        sink.flush().map_err(Failure::Events)
    }

    /// Shows a key that was changed: to programs what it is now, and to people what was done.
    pub(crate) async fn changed(&self, done: &str, changed: ChangedKey) -> Result<Exit, Failure> {
        let ChangedKey { record, propagation, .. } = changed;
        say(format_args!("{done} {} ({}).", record.id(), printable(record.name())));
        say(format_args!("{}", self.database.heeded(propagation)));
        if self.output.json {
            let last_used_at = self.keys.get(record.id()).await?.last_used_at;
            self.output.json(&Key::new(&StoredKey::new(record, last_used_at), self.now))?;
        }
        Ok(Exit::Done)
    }
}

/// Returns how the keys are hashed, by the peppers of the environment. Those that were imported with the
/// id as a part of their text are found as well.
pub(crate) fn hasher() -> Result<KeyHasher, Failure> {
    Ok(peppered()?.or_sha256_after_id())
}

fn peppered() -> Result<KeyHasher, Failure> {
    let (pepper, previous) =
        (secret_variable("API_KEYS_PEPPER")?, secret_variable("API_KEYS_PREVIOUS_PEPPER")?);
    match (pepper, previous) {
        (None, None) => Ok(KeyHasher::sha256()),
        (None, Some(_)) => {
            Err(Failure::usage("API_KEYS_PREVIOUS_PEPPER is set, and API_KEYS_PEPPER is not"))
        }
        (Some(pepper), None) => Ok(KeyHasher::hmac_sha256(pepper.as_bytes())),
        (Some(pepper), Some(previous)) => {
            let hasher = KeyHasher::hmac_sha256(pepper.as_bytes());
            Ok(hasher.or_hmac_sha256(previous.as_bytes()))
        }
    }
}

/// Returns what may be wrong where a key is not found.
pub(crate) fn pepper_advice() -> &'static str {
    match env::var_os("API_KEYS_PEPPER") {
        Some(_) => "API_KEYS_PEPPER is set, and keys that were hashed otherwise are not found",
        None => "API_KEYS_PEPPER is not set, without which keys with a pepper are not found",
    }
}

/// Reads a secret of at least 16 bytes, for which shorter ones would be a typing error.
///
/// A line end, spaces or quotes around it are refused: the keys of another secret are keys that no
/// server accepts.
pub(crate) fn secret_variable(name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    match env::var(name).map(Zeroizing::new) {
        Ok(secret) if secret.len() < 16 => {
            Err(Failure::usage(format!("{name} has fewer than 16 bytes")))
        }
        Ok(secret) => match Surplus::check(&secret) {
            Ok(()) => Ok(Some(secret)),
            Err(surplus) => Err(Failure::usage(format!("{name} {surplus}"))),
        },
        Err(env::VarError::NotPresent) => Ok(None),
        // Not with the error, which has the value.
        Err(env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{name} is not text"))),
    }
}

/// Returns how many keys a tenant has at most, if the environment says so.
pub(crate) fn max_keys() -> Result<Option<u64>, Failure> {
    let Some(text) = env::var_os("API_KEYS_MAX_PER_TENANT") else { return Ok(None) };
    let number = text.to_str().and_then(|text| text.parse().ok());
    let error = || Failure::usage("API_KEYS_MAX_PER_TENANT is no whole number");
    number.map(Some).ok_or_else(error)
}

/// Returns who asks, by the name that the system knows; behind `sudo`, the one who typed it.
pub(crate) fn actor() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME", "USERNAME"].into_iter();
    let name = names.filter_map(|name| env::var(name).ok()).find_map(|name| actor_name(&name).ok());
    name.unwrap_or_else(|| "unknown".to_owned())
}

/// Reads the name of who asks.
pub(crate) fn actor_name(name: &str) -> Result<String, String> {
    match name.chars().count() <= 100 && name.parse::<ActorName>().is_ok() {
        true => Ok(name.to_owned()),
        false => Err("a name has 1 to 100 characters, all of which can be seen".to_owned()),
    }
}
