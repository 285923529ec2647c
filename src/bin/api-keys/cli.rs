//! [`Cli`]: what can be typed, and what is done then.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::abilities::abilities;
use crate::audit::Audit;
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

/// Issues, reviews and revokes API keys.
///
/// The keys are in SQLite, PostgreSQL or Redis, where servers with the crate tower-api-key find them.
/// What is asked for goes to standard output, and what is said of it to standard error.
/// Secrets are printed by `issue` and `rotate` alone, and are read from standard input, never from
/// the arguments, which others on the machine can see.
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
  DATABASE_URL              the database, unless --database names it
  API_KEYS_FORMATS          what the keys of the servers look like: prefixes, each with what the
                            servers' `KeyScheme` says of it, such as
                            `sk_live_,stage=live sk_test_,stage=test pk_,body=hex:40,kind=public`,
                            and `checksum=crc32` or `checksum=keyed`
  API_KEYS_ABILITIES        the abilities that the servers know, such as `bots:read bots:write`, so
                            that a misspelt one is refused
  API_KEYS_PEPPER           the pepper of the servers' `KeyScheme`, if they have one; its bytes as
                            they are, at least 16, without a line end, spaces or quotes around them
  API_KEYS_PREVIOUS_PEPPER  the one before, while keys that were hashed with it still work
  API_KEYS_CHECKSUM_SECRET  the secret of `--checksum keyed`
  API_KEYS_MAX_PER_TENANT   how many keys a tenant has at most, as the servers' `KeyManager` says;
                            those that were revoked or have expired do not count
  SUDO_USER, USER           who asks, for the audit events, unless --actor says so";

#[derive(Args)]
#[command(next_help_heading = "General")]
struct Global {
    /// Print JSON for programs: one object, or one in each line of a list; errors stay text
    #[arg(long, global = true)]
    json: bool,
    /// Who asks, for the audit events, where it becomes `name:cli:NAME`; by default SUDO_USER or
    /// USER
    #[arg(long, global = true, value_name = "NAME", value_parser = actor_name)]
    actor: Option<String>,
    /// Write an event for each change to this file too, as a line of JSON, which no restore of the
    /// database undoes
    #[arg(long, global = true, value_name = "PATH")]
    audit_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Make the tables, or bring them to the version of this program; no other command does
    #[command(after_help = "\
Examples:
  api-keys init --database sqlite:keys.db
  DATABASE_URL=postgres://owner@host/app api-keys init --schema auth

A new SQLite file can be read by its owner only. Redis has no tables: its server is asked whether
it is there.")]
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
                    // Both are to be known, and one is what the process ends with.
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
    /// Does what works with keys.
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
            // Done without a session.
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
