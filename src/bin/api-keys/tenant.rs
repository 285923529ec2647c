//! `api-keys tenant`.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use tower_api_key::TenantId;
use tower_api_key::manage::ChangedTenant;
use tower_api_key::store::SuspendedTenant;

use crate::exit::{Exit, Failure};
use crate::output::json_line;
use crate::say::say;
use crate::session::Session;
use crate::time::{format, format_relative};

/// Suspend a tenant, so that all its keys are refused, resume it, or list suspended tenants
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys tenant suspend acme
  api-keys tenant resume acme
  api-keys tenant list
  api-keys tenant suspend acme && api-keys revoke --tenant acme    # cannot be undone

The records of the keys stay as they are. While their tenant is suspended, keys can be revoked, disabled
and removed, but not issued, rotated or updated.")]
pub(crate) struct Tenant {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Refuse all keys of a tenant until it is resumed
    Suspend(Name),
    /// Accept the keys of a suspended tenant again
    Resume(Name),
    /// List suspended tenants
    List,
}

#[derive(Args)]
struct Name {
    /// The tenant
    #[arg(value_name = "TENANT")]
    tenant: TenantId,
}

/// A suspended tenant as JSON.
#[derive(Serialize)]
struct Listed<'a> {
    tenant: &'a str,
    suspended_at: String,
}

impl Tenant {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self.action {
            Action::Suspend(Name { tenant }) => {
                let changed = session.keys.suspend(&tenant).await?;
                let done = if changed.has_changed { "Suspended" } else { "Already suspended:" };
                tell(session, done, &tenant, &changed, true)
            }
            Action::Resume(Name { tenant }) => {
                let changed = session.keys.resume(&tenant).await?;
                let done = if changed.has_changed { "Resumed" } else { "Not suspended:" };
                tell(session, done, &tenant, &changed, false)
            }
            Action::List => list(session).await,
        }
    }
}

/// Prints the outcome, also if nothing changed.
fn tell(
    session: &Session,
    done: &str,
    tenant: &TenantId,
    changed: &ChangedTenant,
    suspended: bool,
) -> Result<Exit, Failure> {
    say(format_args!("{done} {tenant}."));
    say(format_args!("{}", session.database.when_seen(changed.propagation)));
    let tenant = tenant.as_str();
    let changed = changed.has_changed;
    session
        .output
        .json(&json!({ "tenant": tenant, "suspended": suspended, "changed": changed }))?;
    Ok(Exit::Done)
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let suspended = session.keys.suspended_tenants().await?;
    if session.output.json {
        for SuspendedTenant { tenant, since, .. } in &suspended {
            let listed = Listed { tenant: tenant.as_str(), suspended_at: format(*since) };
            session.output.write(json_line(&listed)?.as_bytes())?;
        }
        return Ok(Exit::Done);
    }
    for SuspendedTenant { tenant, since, .. } in &suspended {
        session.output.write(format!("{tenant}  {}\n", format_relative(*since, session.now)))?;
    }
    if suspended.is_empty() {
        say(format_args!("No tenant is suspended."));
    }
    Ok(Exit::Done)
}
