//! `api-keys init`.

use crate::database::{Database, DatabaseArgs, Missing};
use crate::exit::{Exit, Failure};
use crate::say::say;
use crate::text::printable;

pub(crate) async fn run(database: DatabaseArgs) -> Result<Exit, Failure> {
    let database = database.open(Missing::Make).await?;
    match &database {
        Database::Sqlite(_) | Database::Postgres(_) => say(format_args!("The tables are ready.")),
        Database::Redis(store) => {
            say(format_args!("The server answers, and needs no tables."));
            if let Some(why) = store.unchecked() {
                say(format_args!(
                    "Not checked: whether it is a primary, evicts keys or is part of a cluster: \
                     {}",
                    printable(why)
                ));
            }
        }
    }
    database.close().await;
    Ok(Exit::Done)
}
