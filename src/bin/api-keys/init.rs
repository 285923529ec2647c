//! `api-keys init`.

use crate::database::{Database, DatabaseArgs, Missing};
use crate::exit::{Exit, Failure};
use crate::say::say;

pub(crate) async fn run(database: DatabaseArgs) -> Result<Exit, Failure> {
    let database = database.open(Missing::Make).await?;
    match &database {
        Database::Sqlite(_) | Database::Postgres(_) => say(format_args!("The tables are ready.")),
        Database::Redis(_) => say(format_args!("The server answers, and needs no tables.")),
    }
    database.close().await;
    Ok(Exit::Done)
}
