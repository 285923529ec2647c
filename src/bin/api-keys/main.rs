//! `api-keys`: issues, lists and revokes API keys in a database. Start reading in `cli`.

mod abilities;
mod arguments;
mod audit;
mod audit_prune;
mod checks;
mod cli;
mod database;
mod docs;
mod exit;
mod explain;
mod format;
mod formats;
mod grants;
mod id;
mod import;
mod init;
mod input;
mod interrupt;
mod invalidate;
mod issue;
mod issue_names;
mod issued;
mod judge;
// The same file as that of the library.
#[path = "../../line.rs"]
mod line;
mod list;
mod mistakes;
mod output;
mod progress;
mod prune;
mod request;
mod revoke;
mod revoke_list;
mod revoke_tenant;
// The same file as that of the library, whose public API has no texts of times.
#[path = "../../rfc3339.rs"]
mod rfc3339;
mod rotate;
mod say;
mod scanner_rules;
// The same file as that of the library.
#[path = "../../secrecy.rs"]
mod secrecy;
mod session;
mod show;
mod surplus;
mod table;
mod tenant;
mod text;
mod time;
mod update;
mod url;
mod usage;
mod verify;
mod view;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match arguments::parse() {
        Ok(cli) => exit::report(cli.run().await),
        Err(exit) => exit,
    }
}
