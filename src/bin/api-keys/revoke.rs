//! `api-keys revoke`.

use clap::Args;
use serde::Serialize;
use tower_api_key::manage::RevokedKey;
use tower_api_key::store::StoredKey;
use tower_api_key::{KeyId, KeyScheme, ManageError, TenantId};

use crate::exit::{Exit, Failure};
use crate::say::say;
use crate::session::{Session, pepper_advice};
use crate::text::printable;
use crate::view::Key;
use crate::{id, input, revoke_list, revoke_tenant};

/// Revoke a key by its id or its secret, many keys by their ids, or all keys of a tenant
///
/// A revocation cannot be undone. Revoking a revoked key succeeds and changes nothing. The successor
/// of a rotated key still works, unless `--with-successors` is given.
#[derive(Args)]
#[command(override_usage = "api-keys revoke [OPTIONS] <ID>\n       \
                            api-keys revoke [OPTIONS] --secret-stdin\n       \
                            api-keys revoke [OPTIONS] --ids-stdin\n       \
                            api-keys revoke [OPTIONS] --tenant <NAME>")]
#[command(after_help = "\
Examples:
  api-keys revoke key_4SnPgVzDkgSrTyBgzJxQ
  api-keys revoke key_4SnPgVzDkgSrTyBgzJxQ --with-successors
  api-keys revoke --secret-stdin < leaked.txt
  api-keys revoke --secret-stdin    # asks for it, and does not show what is typed
  api-keys revoke --tenant acme     # asks for the name again
  jq -r 'select(.action == \"revoked\") | .key_id' audit.jsonl | api-keys revoke --ids-stdin

With --tenant, keys that can manage keys are revoked first. Keys that are issued in the meantime are
revoked, too. If the command is stopped, run it again to go on. Suspend the tenant first.

With --ids-stdin, standard output has a line with the outcome of each line of the input: revoked,
unknown, not an id, or failed. All ids are tried, even if others fail. The exit status is 0 if
all were revoked, else 1 if one failed, else 2 if one was not an id, else 3 if one is unknown.")]
pub(crate) struct Revoke {
    /// The id of the key
    ///
    /// Text that looks like a secret is refused. If it is an id, write `id:` before it.
    #[arg(required_unless_present_any = ["secret_stdin", "ids_stdin", "tenant"], conflicts_with = "secret_stdin")]
    id: Option<String>,
    /// Read the secret of the key from standard input, one line; white space around it is ignored
    #[arg(long)]
    secret_stdin: bool,
    /// Read the ids of keys from standard input, one per line; empty lines and lines that begin with
    /// `#` are ignored
    #[arg(long, conflicts_with_all = ["id", "secret_stdin"])]
    ids_stdin: bool,
    /// Revoke all keys of this tenant
    #[arg(long, value_name = "NAME", conflicts_with_all = ["id", "secret_stdin", "ids_stdin", "with_successors"])]
    tenant: Option<TenantId>,
    /// Do not ask for confirmation
    #[arg(long, requires = "tenant", conflicts_with_all = ["id", "secret_stdin", "ids_stdin"])]
    yes: bool,
    /// Also revoke its successors: the key that replaced it, and so on; either all or none
    #[arg(long)]
    with_successors: bool,
}

/// A revoked key, as JSON.
#[derive(Serialize)]
struct Revoked<'a> {
    #[serde(flatten)]
    key: Key,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    revoked_successors: &'a [KeyId],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    working_successors: &'a [KeyId],
}

impl Revoke {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        if self.ids_stdin {
            return revoke_list::run(session, self.with_successors).await;
        }
        if let Some(tenant) = &self.tenant {
            return revoke_tenant::run(session, tenant, self.yes).await;
        }
        let keys = &session.keys;
        let revoked = match &self.id {
            Some(id) if self.with_successors => {
                keys.revoke_with_successors(&id::parse(id)?).await?
            }
            Some(id) => keys.revoke(&id::parse(id)?).await?,
            None => self.revoke_leaked(session).await?,
        };
        say_what_was_done(session, &revoked);
        if session.output.json {
            let RevokedKey { record, revoked_successors, working_successors, .. } = &revoked;
            let last_used_at = keys.get(record.id()).await?.last_used_at;
            let key = StoredKey::new(record.clone(), last_used_at);
            let key = Key::new(&key, session.now);
            session.output.json(&Revoked { key, revoked_successors, working_successors })?;
        }
        Ok(Exit::Done)
    }

    async fn revoke_leaked(&self, session: &Session) -> Result<RevokedKey, Failure> {
        let secret = input::secret()?;
        // A key that was issued before there was a pepper is found, too.
        let scheme = KeyScheme::default().hasher(session.hasher.clone().or_sha256());
        let keys = session.keys.clone().scheme(scheme);
        let revoked = match self.with_successors {
            true => keys.revoke_presented_with_successors(&secret).await,
            false => keys.revoke_presented(&secret).await,
        };
        if let Err(ManageError::NotFound) = revoked {
            say(format_args!("api-keys: {}", pepper_advice()));
        }
        Ok(revoked?)
    }
}

fn say_what_was_done(session: &Session, revoked: &RevokedKey) {
    let record = &revoked.record;
    say(format_args!("Revoked {} ({}).", record.id(), printable(record.name())));
    for id in &revoked.revoked_successors {
        say(format_args!("Revoked its successor {id}."));
    }
    for id in &revoked.working_successors {
        say(format_args!("Its successor {id} still works."));
    }
    if !revoked.working_successors.is_empty() {
        say(format_args!(
            "`api-keys revoke {} --with-successors` also revokes the keys that replaced it.",
            record.id()
        ));
    }
    say(format_args!("{}", session.database.when_seen(revoked.propagation)));
}
