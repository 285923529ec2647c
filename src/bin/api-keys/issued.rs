//! The output of a new key: its secret on standard output, and messages on standard error.

use std::sync::Arc;

use tower_api_key::store::StoredKey;
use tower_api_key::{KeyKind, KeyRecord, Secret};
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};
use crate::output::json_line;
use crate::say::say;
use crate::session::Session;
use crate::text::printable;
use crate::time::format_relative;
use crate::view::{Key, NewKey};

/// A new key, and the one that it replaces.
pub(crate) struct Issued<'a> {
    pub(crate) record: &'a Arc<KeyRecord>,
    pub(crate) secret: &'a Secret,
    pub(crate) predecessor: Option<&'a StoredKey>,
}

impl Issued<'_> {
    /// Prints the secret, alone on its line or in an object of JSON.
    pub(crate) fn print(&self, session: &Session) -> Result<Exit, Failure> {
        let record = self.record;
        self.line(session)
            .and_then(|line| session.output.write(line.as_bytes()))
            .map_err(|source| Failure::SecretLost { id: record.id().clone(), source })?;
        let (name, hint) = (printable(record.name()), printable(record.hint().as_str()));
        say(format_args!("Issued {} ({name}), {hint}.", record.id()));
        say(format_args!("Its secret is on standard output. It is not shown again."));
        if let Some(time) = record.expires_at() {
            say(format_args!("It expires at {}.", format_relative(time, session.now)));
        }
        for warning in warnings(record) {
            say(format_args!("{warning}"));
        }
        Ok(Exit::Done)
    }

    fn line(&self, session: &Session) -> std::io::Result<Zeroizing<String>> {
        match session.output.json {
            true => self.json(session),
            false => Ok(Zeroizing::new(format!("{}\n", self.secret.reveal()))),
        }
    }

    /// Returns an object of JSON with the secret, on a line.
    pub(crate) fn json(&self, session: &Session) -> std::io::Result<Zeroizing<String>> {
        let secret = self.secret.reveal();
        let new = StoredKey::new(Arc::clone(self.record), None);
        let predecessor = self.predecessor.map(|key| Key::new(key, session.now));
        json_line(&NewKey { key: Key::new(&new, session.now), secret, predecessor })
    }
}

/// Returns warnings about a key that cannot do what its owner may expect.
pub(crate) fn warnings(record: &KeyRecord) -> impl Iterator<Item = &'static str> {
    let restrictions = record.restrictions();
    let names_sites = restrictions.origins.is_some() || restrictions.referrers.is_some();
    [
        (record.abilities().is_empty(), "It has no ability: routes that require one refuse it."),
        (
            record.kind() == KeyKind::Public && !names_sites,
            "It is public and has no --origin and no --referrer: every request is refused.",
        ),
    ]
    .into_iter()
    .filter_map(|(applies, warning)| applies.then_some(warning))
}
