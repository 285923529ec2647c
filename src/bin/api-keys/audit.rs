//! `api-keys audit`.

use std::time::SystemTime;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use tower_api_key::KeyRecord;
use tower_api_key::store::{AuditEntry, AuditQuery, KeyQuery, StoreError};

use crate::database::Database;
use crate::exit::{Exit, Failure};
use crate::output::json_line;
use crate::say::say;
use crate::session::Session;
use crate::table::Table;
use crate::time::{earlier, format, format_exact, parse_period, parse_time};

/// How many events are read in one go.
const PAGE: u32 = 500;

/// List who changed what of which key, the oldest event first
///
/// SQLite and PostgreSQL keep an event for each change, in its transaction. Redis keeps none: there, it
/// is listed when the keys that there are were issued and revoked, and not by whom.
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys audit --since 7d
  api-keys audit --since 2027-01-31T12:00:00Z --json > events.jsonl
  api-keys audit --since 1d --json | jq -r 'select(.action == \"revoked\") | .key_id'

With --json, each line is an object with the records before and after, without digests: what
`JsonLinesAudit` and --audit-file write, and the number of the event.")]
pub(crate) struct Audit {
    /// From when on: a time, or how long ago, such as `7d`
    #[arg(long, value_name = "TIME|PERIOD", value_parser = parse_since)]
    since: Since,
}

#[derive(Clone, Copy)]
enum Since {
    Time(SystemTime),
    Ago(std::time::Duration),
}

fn parse_since(text: &str) -> Result<Since, String> {
    let time = parse_time(text).map(Since::Time);
    time.or_else(|_| parse_period(text).map(Since::Ago)).map_err(|_| {
        "it is a time like `2027-01-31` or `2027-01-31T12:00:00Z`, or a period like `7d`".to_owned()
    })
}

/// An event, as programs see it.
#[derive(Serialize)]
struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<i64>,
    #[serde(serialize_with = "exact")]
    at: SystemTime,
    /// None if it is not known.
    actor: Option<String>,
    action: String,
    key_id: Option<String>,
    tenant: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
}

fn exact<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_exact(*time))
}

impl Audit {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let since = match self.since {
            Since::Time(time) => time,
            Since::Ago(period) => earlier(session.now, period)?,
        };
        let mut printer = Printer::new(session);
        if let Database::Redis(_) = session.database {
            say(format_args!(
                "Redis keeps no events: this is when the keys that there are were issued and revoked."
            ));
            printer.print(of_records(session, since).await?)?;
            return Ok(Exit::Done);
        }
        let mut query = AuditQuery::new().since(since).limit(PAGE);
        loop {
            let page = kept(&session.database, &query).await?;
            let Some(last) = page.last() else { return Ok(Exit::Done) };
            query = query.after(last.number);
            printer.print(page.into_iter().map(Event::from).collect())?;
        }
    }
}

async fn kept(database: &Database, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
    match database {
        Database::Sqlite(store) => store.audit_log(query).await,
        Database::Postgres(store) => store.audit_log(query).await,
        Database::Redis(_) => Ok(Vec::new()),
    }
}

/// What the records say, in the order in which it happened.
async fn of_records(session: &Session, since: SystemTime) -> Result<Vec<Event>, Failure> {
    let (mut events, mut query) = (Vec::new(), KeyQuery::new().limit(PAGE as usize));
    loop {
        let page = session.keys.list(&query).await?;
        for key in &page.keys {
            let record = &*key.record;
            let times = [("issued", Some(record.created_at())), ("revoked", record.revoked_at())];
            let times = times.into_iter().filter_map(|(action, at)| Some((action, at?)));
            let recent = times.filter(|(_, at)| *at >= since);
            events.extend(recent.map(|(action, at)| Event::of_record(record, action, at)));
        }
        match page.next {
            Some(next) => query = query.after(next),
            None => break,
        }
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

impl Event {
    fn of_record(record: &KeyRecord, action: &str, at: SystemTime) -> Self {
        Self {
            number: None,
            at,
            actor: None,
            action: action.to_owned(),
            key_id: Some(record.id().to_string()),
            tenant: record.tenant().map(ToString::to_string),
            before: None,
            after: None,
        }
    }
}

impl From<AuditEntry> for Event {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { number, at, actor, action, key_id, tenant, before, after, .. } = entry;
        let (number, actor) = (Some(number), Some(actor));
        Self { number, at, actor, action, key_id, tenant, before, after }
    }
}

struct Printer<'a> {
    session: &'a Session,
    table: Table<6>,
}

impl<'a> Printer<'a> {
    fn new(session: &'a Session) -> Self {
        let header = ["TIME", "ACTOR", "ACTION", "ID", "TENANT", "NAME"];
        Self { session, table: Table::new(header, session.output.is_terminal()) }
    }

    fn print(&mut self, events: Vec<Event>) -> Result<(), Failure> {
        let output = self.session.output;
        if output.json {
            for event in &events {
                output.write(json_line(event)?.as_bytes())?;
            }
            return Ok(());
        }
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let rows = events.into_iter().map(|event| {
            let record = event.after.as_ref().or(event.before.as_ref());
            let name = record.and_then(|record| record.get("name")?.as_str().map(str::to_owned));
            [
                format(event.at),
                or_none(event.actor),
                event.action,
                or_none(event.key_id),
                or_none(event.tenant),
                or_none(name),
            ]
        });
        Ok(output.write(self.table.page(rows.collect()))?)
    }
}
