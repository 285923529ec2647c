//! `api-keys show`.

use clap::Args;

use crate::exit::{Exit, Failure};
use crate::id::IdArg;
use crate::session::Session;
use crate::view::{Key, details};

/// Show a key
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys show key_4SnPgVzDkgSrTyBgzJxQ
  api-keys show key_4SnPgVzDkgSrTyBgzJxQ --json | jq .restrictions")]
pub(crate) struct Show {
    #[command(flatten)]
    id: IdArg,
}

impl Show {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let key = session.keys.get(&self.id.parse()?).await?;
        match session.output.json {
            true => session.output.json(&Key::new(&key, session.now))?,
            false => session.output.write(details(&key, session.now))?,
        }
        Ok(Exit::Done)
    }
}
