//! [`Session`]: an open database, and the actor.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tower_api_key::key::{AbilityCatalogue, KeyFormats};
use tower_api_key::manage::ChangedKey;
use tower_api_key::store::{ActorName, AuditEvent, AuditSink as _, JsonLinesAudit, StoredKey};
use tower_api_key::{KeyHasher, KeyId, KeyManager, KeyScheme};
use zeroize::Zeroizing;

use crate::checks::Checks;
use crate::database::Database;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::say::say;
use crate::surplus::Surplus;
use crate::text::printable;
use crate::view::Key;

/// The session of a command.
pub(crate) struct Session {
    pub(crate) database: Database,
    pub(crate) keys: KeyManager,
    /// The formats of keys, if the environment has them.
    pub(crate) formats: KeyFormats,
    pub(crate) hasher: KeyHasher,
    pub(crate) output: Output,
    pub(crate) now: SystemTime,
    /// The sink that also writes events to a file.
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

    /// Returns what options are checked against. Abilities are checked by the manager, which knows what a key has.
    pub(crate) const fn checks(&self) -> Checks<'_> {
        Checks { formats: &self.formats, abilities: None, now: self.now }
    }

    /// Returns the scheme of keys with these formats.
    pub(crate) fn scheme(&self, formats: impl Into<KeyFormats>) -> KeyScheme {
        KeyScheme::new(formats).hasher(self.hasher.clone())
    }

    /// Returns the key that has this secret but was hashed without a pepper, so that servers with one do not find
    /// it.
    pub(crate) async fn find_without_pepper(&self, secret: &str) -> Result<Option<KeyId>, Failure> {
        let digest = KeyHasher::sha256().digest(secret);
        if self.hasher.digests(secret).any(|known| known == digest) {
            return Ok(None);
        }
        let record = self.database.repository().find_stored(&digest).await?;
        Ok(record.map(|record| record.id().clone()))
    }

    /// Refuses abilities that are not in the catalogue.
    pub(crate) fn know_abilities(&mut self, abilities: AbilityCatalogue) {
        self.keys = self.keys.clone().abilities(abilities);
    }

    /// Also writes the events of changes to a file.
    pub(crate) fn write_events_to(&mut self, path: &Path) -> Result<(), Failure> {
        let sink = JsonLinesAudit::open(path)
            .map_err(|error| Failure::usage(format!("--audit-file: {error}")))?;
        let sink = Arc::new(sink);
        let writes = Arc::clone(&sink);
        self.keys = self.keys.clone().audit(move |event: &AuditEvent| writes.record(event));
        self.events = Some(sink);
        Ok(())
    }

    /// Returns an error if events could not be written to the file.
    pub(crate) fn end_events(&self) -> Result<(), Failure> {
        let Some(sink) = &self.events else { return Ok(()) };
        sink.flush().map_err(Failure::Events)
    }

    /// Prints a changed key: its new state as JSON, or a message about the change.
    pub(crate) async fn changed(&self, done: &str, changed: ChangedKey) -> Result<Exit, Failure> {
        let ChangedKey { record, propagation, .. } = changed;
        say(format_args!("{done} {} ({}).", record.id(), printable(record.name())));
        say(format_args!("{}", self.database.when_seen(propagation)));
        if self.output.json {
            let last_used_at = self.keys.get(record.id()).await?.last_used_at;
            self.output.json(&Key::new(&StoredKey::new(record, last_used_at), self.now))?;
        }
        Ok(Exit::Done)
    }
}

/// Returns the hasher with the peppers of the environment. It also finds imported keys whose text contains the
/// id.
pub(crate) fn hasher() -> Result<KeyHasher, Failure> {
    Ok(peppered()?.or_sha256_after_id())
}

fn peppered() -> Result<KeyHasher, Failure> {
    let (pepper, previous) =
        (secret_variable("API_KEYS_PEPPER")?, secret_variable("API_KEYS_PREVIOUS_PEPPER")?);
    match (pepper, previous) {
        (None, None) => Ok(KeyHasher::sha256()),
        (None, Some(_)) => {
            Err(Failure::usage("API_KEYS_PREVIOUS_PEPPER is set without API_KEYS_PEPPER: set both"))
        }
        (Some(pepper), None) => Ok(KeyHasher::hmac_sha256(pepper.as_bytes())),
        (Some(pepper), Some(previous)) => {
            let hasher = KeyHasher::hmac_sha256(pepper.as_bytes());
            Ok(hasher.or_hmac_sha256(previous.as_bytes()))
        }
    }
}

/// Returns a hint about the pepper, for a key that is not found.
pub(crate) fn pepper_advice() -> &'static str {
    match env::var_os("API_KEYS_PEPPER") {
        Some(_) => {
            "API_KEYS_PEPPER is set: keys that were hashed with another pepper, or without one, are not found"
        }
        None => "API_KEYS_PEPPER is not set: keys that were hashed with a pepper are not found",
    }
}

/// Reads a secret of at least 16 bytes. A shorter one is a typing error.
///
/// A line end, spaces or quotes around it are refused: no server would accept keys of such a secret.
pub(crate) fn secret_variable(name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    match env::var(name).map(Zeroizing::new) {
        Ok(secret) if secret.len() < 16 => {
            Err(Failure::usage(format!("{name} is too short: use at least 16 bytes")))
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

/// Returns the limit of keys of a tenant, if the environment has it.
pub(crate) fn max_keys() -> Result<Option<u64>, Failure> {
    let Some(text) = env::var_os("API_KEYS_MAX_PER_TENANT") else { return Ok(None) };
    let number = text.to_str().and_then(|text| text.parse().ok());
    let error = || Failure::usage("API_KEYS_MAX_PER_TENANT is not a whole number");
    number.map(Some).ok_or_else(error)
}

/// Returns the name of the user in the system; behind `sudo`, the user who called it.
pub(crate) fn actor() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME", "USERNAME"].into_iter();
    let name = names.filter_map(|name| env::var(name).ok()).find_map(|name| actor_name(&name).ok());
    name.unwrap_or_else(|| "unknown".to_owned())
}

/// Reads the name of the actor.
pub(crate) fn actor_name(name: &str) -> Result<String, String> {
    match name.chars().count() <= 100 && name.parse::<ActorName>().is_ok() {
        true => Ok(name.to_owned()),
        false => Err("invalid name: use 1 to 100 visible characters".to_owned()),
    }
}
