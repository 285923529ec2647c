//! [`Cli`]: the commands and the global options.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::abilities::abilities;
use crate::audit::Audit;
use crate::checks::Checks;
use crate::database::{DatabaseArgs, Missing};
use crate::docs::{Completions, Man};
use crate::exit::{self, Exit, Failure};
use crate::formats::formats;
use crate::import::Import;
use crate::init;
use crate::invalidate::Invalidate;
use crate::issue::Issue;
use crate::list::{DueForRotation, List};
use crate::output::Output;
use crate::prune::Prune;
use crate::revoke::Revoke;
use crate::rotate::Rotate;
use crate::say::say;
use crate::scanner_rules::ScannerRules;
use crate::session::{Session, actor, actor_name, hasher, max_keys};
use crate::show::Show;
use crate::tenant::Tenant;
use crate::update::Update;
use crate::usage::Usage;
use crate::verify::Verify;

/// Issues, lists and revokes API keys
///
/// The keys are in SQLite, PostgreSQL or Redis, where servers with the crate tower-api-key find them.
/// Results are written to standard output, and messages to standard error. Only `issue` and `rotate`
/// print secrets. Secrets are read from standard input, never from the arguments, which others on
/// the machine can see.
#[derive(Parser)]
#[command(name = "api-keys", version, after_help = HELP, after_long_help = LONG_HELP.as_str())]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const HELP: &str = "\
Examples:
  export DATABASE_URL=sqlite:keys.db
  api-keys init
  SECRET=$(api-keys issue 'nightly import' --tenant acme --ability imports:write --expires-in 90d)
  api-keys list --tenant acme --state active
  api-keys revoke --secret-stdin < leaked.txt";

static LONG_HELP: std::sync::LazyLock<String> =
    std::sync::LazyLock::new(|| format!("{HELP}\n\n{}\n\n{ENVIRONMENT}", exit::HELP));

const ENVIRONMENT: &str = "\
Environment:
  DATABASE_URL              the URL of the database, unless --database is given
  API_KEYS_FORMATS          the formats of the servers' keys: prefixes, each with the settings of
                            the servers' `KeyScheme`, such as
                            `sk_live_,stage=live sk_test_,stage=test pk_,body=hex:40,kind=public`,
                            and `checksum=crc32` or `checksum=keyed`
  API_KEYS_ABILITIES        the abilities that the servers know, such as `bots:read bots:write`;
                            all others are refused
  API_KEYS_PEPPER           the pepper of the servers' `KeyScheme`, if they have one: at least 16
                            bytes, without a line end, spaces or quotes around them
  API_KEYS_PREVIOUS_PEPPER  the previous pepper, while keys that were hashed with it still work
  API_KEYS_CHECKSUM_SECRET  the secret of `--checksum keyed`
  API_KEYS_MAX_PER_TENANT   the limit of keys of a tenant, as in the servers' `KeyManager`; revoked
                            and expired keys do not count
  SUDO_USER, USER           the actor of audit events, unless --actor is given";

#[derive(Args)]
#[command(next_help_heading = "General")]
struct Global {
    /// Print JSON: one object, or one per line for a list; errors stay text
    #[arg(long, global = true)]
    json: bool,
    /// The actor of audit events, which becomes `name:cli:NAME`; by default SUDO_USER or USER
    #[arg(long, global = true, value_name = "NAME", value_parser = actor_name)]
    actor: Option<String>,
    /// Also append the audit event of each change to this file, as a line of JSON; a restore of the
    /// database does not undo it
    #[arg(long, global = true, value_name = "PATH")]
    audit_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Create the tables, or migrate them to the version of this program; no other command does
    #[command(after_help = "\
Examples:
  api-keys init --database sqlite:keys.db
  DATABASE_URL=postgres://owner@host/app api-keys init --schema auth

Only its owner can read a new SQLite file. Redis has no tables: the command checks that its server
answers.")]
    Init,
    Issue(Box<Issue>),
    Import(Box<Import>),
    List(List),
    Show(Show),
    Update(Box<Update>),
    Rotate(Rotate),
    Revoke(Revoke),
    Tenant(Tenant),
    DueForRotation(DueForRotation),
    Usage(Usage),
    Audit(Audit),
    Invalidate(Invalidate),
    Prune(Prune),
    Verify(Box<Verify>),
    ScannerRules(ScannerRules),
    Completions(Completions),
    Man(Man),
}

impl Cli {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let output = Output { json: self.global.json };
        match self.command {
            Command::Completions(completions) => completions.run(Self::command(), output),
            Command::Man(man) => man.run(Self::command(), output),
            Command::ScannerRules(rules) => rules.run(output),
            Command::Init => init::run(self.database).await,
            command => {
                let actor = self.global.actor.unwrap_or_else(actor);
                let (formats, hasher, max_keys) = (formats()?, hasher()?, max_keys()?);
                let abilities = abilities()?;
                command.check(&Checks {
                    formats: &formats,
                    abilities: abilities.as_ref(),
                    now: SystemTime::now(),
                })?;
                let database = self.database.open(Missing::Refuse).await?;
                let mut session = Session::new(database, formats, hasher, &actor, max_keys, output);
                if let Some(abilities) = abilities {
                    session.know_abilities(abilities);
                }
                if let Some(path) = &self.global.audit_file {
                    session.write_events_to(path)?;
                }
                let outcome = command.run(&session).await;
                let events = session.end_events();
                session.database.close().await;
                match (outcome, events) {
                    // Both are reported; the exit status is that of one.
                    (Err(failure), Err(events)) => {
                        say(format_args!("api-keys: {events}"));
                        Err(failure)
                    }
                    (outcome, written) => written.and(outcome),
                }
            }
        }
    }
}

impl Command {
    /// Checks the options that have more rules than the parser of the arguments knows.
    fn check(&self, checks: &Checks<'_>) -> Result<(), Failure> {
        match self {
            Self::Issue(issue) => issue.check(checks),
            Self::Update(update) => update.check(checks),
            _ => Ok(()),
        }
    }

    /// Runs a command that needs the database.
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Issue(issue) => issue.run(session).await,
            Self::Import(import) => import.run(session).await,
            Self::List(list) => list.run(session).await,
            Self::Show(show) => show.run(session).await,
            Self::Update(update) => update.run(session).await,
            Self::Rotate(rotate) => rotate.run(session).await,
            Self::Revoke(revoke) => revoke.run(session).await,
            Self::Tenant(tenant) => tenant.run(session).await,
            Self::DueForRotation(due) => due.run(session).await,
            Self::Usage(usage) => usage.run(session).await,
            Self::Audit(audit) => audit.run(session).await,
            Self::Invalidate(invalidate) => invalidate.run(session).await,
            Self::Prune(prune) => prune.run(session).await,
            Self::Verify(verify) => verify.run(session).await,
            // These need no session.
            Self::Init | Self::Completions(_) | Self::Man(_) | Self::ScannerRules(_) => {
                Ok(Exit::Done)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
