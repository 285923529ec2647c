//! `api-keys audit`.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;
use tower_api_key::store::{Actor, AuditEntry, AuditQuery};
use tower_api_key::{KeyId, KeyQuery, KeyRecord, TenantId};

use crate::audit_prune::AuditPrune;
use crate::database::Database;
use crate::exit::{Exit, Failure};
use crate::output::json_line;
use crate::say::say;
use crate::session::Session;
use crate::table::Table;
use crate::time::{earlier, format, format_exact, parse_period, parse_time};

/// How many events are read at once.
const PAGE: usize = 500;

/// List the audit log: which actor changed which key, the oldest event first
///
/// SQLite and PostgreSQL keep an event for each change, in its transaction. Redis keeps none: for it,
/// the command lists when the present keys were issued and revoked, without actors.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  api-keys audit --since 7d
  api-keys audit --key key_… --newest-first
  api-keys audit --tenant acme --by name:alice@acme.example --until 2027-01-31
  api-keys audit --since 2027-01-31T12:00:00Z --json > events.jsonl
  api-keys audit --since 1d --json | jq -r 'select(.action == \"revoked\") | .key_id'
  api-keys audit prune --older-than 730d

With --json, each line is an object with the records before and after, without digests, like those
of `JsonLinesAudit` and --audit-file, and the number of the event.")]
pub(crate) struct Audit {
    #[command(subcommand)]
    command: Option<AuditCommand>,
    /// List only events since a time, or since a period ago, such as `7d`
    #[arg(long, value_name = "TIME|PERIOD", value_parser = parse_when)]
    since: Option<When>,
    /// List only events until a time, or until a period ago, such as `1d`
    #[arg(long, value_name = "TIME|PERIOD", value_parser = parse_when)]
    until: Option<When>,
    /// List only events of this key, even if it was removed
    #[arg(long, value_name = "ID")]
    key: Option<KeyId>,
    /// List only events of keys of this tenant
    #[arg(long)]
    tenant: Option<TenantId>,
    /// List only changes by this actor, written like in the list: `name:cli:alice`, `key:key_…` or `system`
    #[arg(long, value_name = "ACTOR", value_parser = str::parse::<Actor>)]
    by: Option<Actor>,
    /// List the newest event first
    #[arg(long)]
    newest_first: bool,
}

#[derive(Subcommand)]
enum AuditCommand {
    Prune(AuditPrune),
}

#[derive(Clone, Copy)]
enum When {
    Time(SystemTime),
    Ago(std::time::Duration),
}

fn parse_when(text: &str) -> Result<When, String> {
    let time = parse_time(text).map(When::Time);
    time.or_else(|_| parse_period(text).map(When::Ago)).map_err(|_| {
        "invalid time: write it like `2027-01-31` or `2027-01-31T12:00:00Z`, or as a period like `7d`".to_owned()
    })
}

impl When {
    fn time(self, now: SystemTime) -> Result<SystemTime, Failure> {
        match self {
            Self::Time(time) => Ok(time),
            Self::Ago(period) => earlier(now, period),
        }
    }
}

/// An event as JSON.
#[derive(Serialize)]
struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<i64>,
    #[serde(serialize_with = "exact")]
    at: SystemTime,
    /// The actor, if known.
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
        let mut query = self.query(session.now)?;
        if let Some(AuditCommand::Prune(prune)) = self.command {
            return prune.run(session).await;
        }
        let mut printer = Printer::new(session);
        if let Database::Redis(_) = session.database {
            if query.actor.is_some() {
                return Err(Failure::usage(
                    "--by has no meaning for Redis, which keeps no audit log",
                ));
            }
            say(format_args!(
                "Redis keeps no audit log: this list shows when the present keys were issued and revoked."
            ));
            printer.print(of_records(session, &query).await?)?;
            return Ok(Exit::Done);
        }
        loop {
            let page = session.keys.audit_log(&query).await?;
            if !page.entries.is_empty() {
                printer.print(page.entries.into_iter().map(Event::from).collect())?;
            }
            let Some(next) = page.next else { return Ok(Exit::Done) };
            query = query.after(next);
        }
    }

    fn query(&self, now: SystemTime) -> Result<AuditQuery, Failure> {
        let mut query = AuditQuery::new().limit(PAGE);
        query.since = self.since.map(|since| since.time(now)).transpose()?;
        query.until = self.until.map(|until| until.time(now)).transpose()?;
        query.key_id = self.key.clone();
        query.actor = self.by.clone();
        query.newest_first = self.newest_first;
        Ok(match self.tenant.clone() {
            Some(tenant) => query.tenant(tenant),
            None => query,
        })
    }
}

/// The events that follow from the records, in the order of time.
async fn of_records(session: &Session, asked: &AuditQuery) -> Result<Vec<Event>, Failure> {
    let (mut events, mut query) = (Vec::new(), KeyQuery::new().limit(PAGE));
    query.tenant = asked.tenant.clone();
    let is_asked = |at: SystemTime| {
        asked.since.is_none_or(|since| at >= since) && asked.until.is_none_or(|until| at < until)
    };
    loop {
        let page = session.keys.list(&query).await?;
        for key in &page.keys {
            let record = &*key.record;
            let times = [("issued", Some(record.created_at())), ("revoked", record.revoked_at())];
            let times = times.into_iter().filter_map(|(action, at)| Some((action, at?)));
            let is_key = asked.key_id.as_ref().is_none_or(|id| id == record.id());
            let times = times.filter(|(_, at)| is_key && is_asked(*at));
            events.extend(times.map(|(action, at)| Event::of_record(record, action, at)));
        }
        match page.next {
            Some(next) => query = query.after(next),
            None => break,
        }
    }
    events.sort_by_key(|event| event.at);
    if asked.newest_first {
        events.reverse();
    }
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
