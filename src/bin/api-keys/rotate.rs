//! `api-keys rotate`.

use std::time::Duration;

use clap::Args;
use tower_api_key::store::StoredKey;

use crate::exit::{Exit, Failure};
use crate::format::BodyArgs;
use crate::formats::refuse_options;
use crate::id::IdArg;
use crate::issued::Issued;
use crate::say::say;
use crate::session::Session;
use crate::time::{format_relative, later, parse_period};

/// Replace a key by a successor with the same abilities, and print its secret, which is not shown again
///
/// The old key still works for the grace period. Standard output has only the secret.
#[derive(Args)]
#[command(after_help = "\
Examples:
  SECRET=$(api-keys rotate key_4SnPgVzDkgSrTyBgzJxQ --grace 24h)
  api-keys rotate key_4SnPgVzDkgSrTyBgzJxQ --grace 0s    # the old one is revoked at once
  api-keys rotate key_4SnPgVzDkgSrTyBgzJxQ --grace 7d --body hex:40    # of `hania_sk_`")]
pub(crate) struct Rotate {
    #[command(flatten)]
    id: IdArg,
    /// The grace period, in which the old key still works, such as `24h`; `0s` revokes it at once
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    grace: Duration,
    #[command(flatten)]
    body: BodyArgs,
}

impl Rotate {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let id = self.id.parse()?;
        // Beyond that, the old key would never expire.
        later(session.now, self.grace)?;
        let old = session.keys.get(&id).await?;
        let options = "--body and --checksum";
        refuse_options(&session.formats, options, self.body.is_given())?;
        let keys = match session.formats.is_empty() {
            true => {
                let format =
                    self.body.format_of_old(old.record.hint().prefix().unwrap_or_default())?;
                session.keys.clone().scheme(session.scheme(format))
            }
            false => session.keys.clone(),
        };
        let rotated = keys.rotate(&id, self.grace).await?;
        let predecessor = StoredKey::new(rotated.predecessor.clone(), old.last_used_at);
        let new = Issued {
            record: &rotated.record,
            secret: &rotated.secret,
            predecessor: Some(&predecessor),
        };
        let exit = new.print(session)?;
        let old = &*rotated.predecessor;
        match (old.revoked_at(), old.expires_at()) {
            (Some(_), _) => say(format_args!("{id} is revoked.")),
            (None, Some(end)) => {
                say(format_args!("{id} works until {}.", format_relative(end, session.now)));
            }
            (None, None) => say(format_args!("{id} still works.")),
        }
        say(format_args!("{}", session.database.when_seen(rotated.propagation)));
        Ok(exit)
    }
}
