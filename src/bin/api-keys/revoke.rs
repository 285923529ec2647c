//! `api-keys revoke`.

use clap::Args;
use tower_api_key::ManageError;
use tower_api_key::manage::ChangedKey;

use crate::exit::{Exit, Failure};
use crate::output::say;
use crate::session::{Session, pepper_advice};
use crate::{id, input};

/// Revoke a key for good, by its id or by its secret
///
/// Revoking a key that is revoked changes nothing, and is a success.
#[derive(Args)]
#[command(override_usage = "api-keys revoke <ID>\n       api-keys revoke --secret-stdin")]
#[command(after_help = "\
Examples:
  api-keys revoke key_4SnPgVzDkgSrTyBgzJxQ
  api-keys revoke --secret-stdin < leaked.txt
  api-keys revoke --secret-stdin    # asks for it, and does not show what is typed")]
pub(crate) struct Revoke {
    /// The id of the key
    ///
    /// What looks like a secret is refused; if it is an id, write `id:` before it.
    #[arg(required_unless_present = "secret_stdin", conflicts_with = "secret_stdin")]
    id: Option<String>,
    /// Read the secret of the key from standard input, one line; white space around it is ignored
    #[arg(long)]
    secret_stdin: bool,
}

impl Revoke {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let revoked = match &self.id {
            Some(id) => session.keys.revoke(&id::parse(id)?).await?,
            None => revoke_leaked(session).await?,
        };
        session.changed("Revoked", revoked).await
    }
}

async fn revoke_leaked(session: &Session) -> Result<ChangedKey, Failure> {
    let secret = input::secret()?;
    // Also if it was issued before there was a pepper.
    let keys = session.keys.clone().hasher(session.hasher.clone().or_sha256());
    let revoked = keys.revoke_presented(&secret).await;
    if let Err(ManageError::NotFound) = revoked {
        say(format_args!("api-keys: {}", pepper_advice()));
    }
    Ok(revoked?)
}
