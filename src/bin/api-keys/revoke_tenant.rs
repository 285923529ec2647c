//! `api-keys revoke --tenant`: all keys of a tenant.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use serde_json::json;
use tower_api_key::TenantId;

use crate::exit::{Exit, Failure};
use crate::say::say;
use crate::session::Session;

/// The interval of progress messages.
const PERIOD: Duration = Duration::from_secs(1);

/// Revokes all keys of a tenant, after a confirmation.
pub(crate) async fn run(
    session: &Session,
    tenant: &TenantId,
    is_sure: bool,
) -> Result<Exit, Failure> {
    if !is_sure {
        ask(tenant)?;
    }
    let suspended = session.keys.suspended_tenants().await?;
    if !suspended.iter().any(|suspended| suspended.tenant == *tenant) {
        say(format_args!(
            "{tenant} is not suspended: its keys work until they are revoked, and new ones can be issued \
             in the meantime. `api-keys tenant suspend {tenant}` stops both at once."
        ));
    }
    let mut said_at = Instant::now();
    let revoked = session
        .keys
        .revoke_all(tenant, |revoked| {
            if said_at.elapsed() >= PERIOD {
                said_at = Instant::now();
                say(format_args!("{revoked} revoked …"));
            }
        })
        .await?;
    let keys = if revoked.revoked == 1 { "key" } else { "keys" };
    say(format_args!("Revoked {} {keys} of {tenant}; none is left.", revoked.revoked));
    say(format_args!("{}", session.database.when_seen(revoked.propagation)));
    let tenant = tenant.as_str();
    session.output.json(&json!({ "tenant": tenant, "revoked": revoked.revoked }))?;
    Ok(Exit::Done)
}

/// Asks at the terminal for the name of the tenant again.
fn ask(tenant: &TenantId) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "--tenant revokes all keys of a tenant, which cannot be undone, and there is no terminal to confirm it: \
             add --yes",
        ));
    }
    say(format_args!(
        "This revokes all keys of {tenant}, and cannot be undone. Type the name of the tenant again:"
    ));
    let mut typed = String::new();
    io::stdin().read_line(&mut typed)?;
    match typed.trim() == tenant.as_str() {
        true => Ok(()),
        false => Err(Failure::usage("the name is another one: nothing was revoked")),
    }
}
