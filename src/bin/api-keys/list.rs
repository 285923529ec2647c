//! `api-keys list` and `api-keys due-for-rotation`.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use tower_api_key::store::{Actor, KeyState, ParseActorError, StoredKey, TenantFilter};
use tower_api_key::{KeyKind, KeyQuery, Stage, TenantId};

use crate::exit::{Exit, Failure};
use crate::issue::Kind;
use crate::output::json_line;
use crate::session::Session;
use crate::table::Table;
use crate::time::{earlier, format, later, parse_period};
use crate::view::Key;

/// How many keys are read at once.
const PAGE: usize = 500;

/// List keys, the newest first
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys list --tenant acme --state active
  api-keys list --unused-for 90d
  api-keys list --name import --created-by name:cli:alice
  api-keys list --json | jq -r 'select(.expires_at == null) | .id'

With --json, each line is an object, so that programs can read a long list as a stream.")]
pub(crate) struct List {
    #[command(flatten)]
    whose: Whose,
    /// List only keys in this state
    #[arg(long)]
    state: Option<State>,
    /// List only keys with this text in their name; the case of A to Z does not matter
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// List only keys of this stage
    #[arg(long)]
    stage: Option<Stage>,
    /// List only keys of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// List only keys that this actor issued: `system`, `key:ID` or `name:NAME`, like in `show`
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    created_by: Option<Actor>,
    /// List only keys that were neither used nor issued within this period, such as `90d`
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    unused_for: Option<Duration>,
    /// List only keys, in any state, that should be replaced within this period, such as `14d`
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    due_within: Option<Duration>,
    /// List at most this number of keys
    #[arg(long = "limit", value_name = "COUNT")]
    count: Option<usize>,
}

/// List active keys that should be replaced soon
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys due-for-rotation --within 14d
  api-keys due-for-rotation --within 0s --json | jq -r .id

Keys have such a date if they were issued with --rotate-in, or by an application with a rotation
period.")]
pub(crate) struct DueForRotation {
    #[command(flatten)]
    whose: Whose,
    /// The period, such as `14d`; `0s` lists keys that should have been replaced by now
    #[arg(long, value_name = "PERIOD", value_parser = parse_period, default_value = "14d")]
    within: Duration,
}

#[derive(Args)]
struct Whose {
    /// List only keys of this tenant
    #[arg(long)]
    tenant: Option<TenantId>,
    /// List only keys without a tenant
    #[arg(long, conflicts_with = "tenant")]
    no_tenant: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum State {
    Active,
    Disabled,
    Expired,
    Revoked,
    Suspended,
}

impl Whose {
    fn query(self) -> KeyQuery {
        let mut query = KeyQuery::new().limit(PAGE);
        query.tenant = match (self.tenant, self.no_tenant) {
            (None, false) => TenantFilter::Any,
            (tenant, _) => tenant.into(),
        };
        query
    }
}

impl List {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut query = self.whose.query();
        query.state = self.state.map(KeyState::from);
        (query.name, query.stage, query.created_by) = (self.name, self.stage, self.created_by);
        query.kind = self.kind.map(KeyKind::from);
        if let Some(period) = self.unused_for {
            query = query.unused_since(earlier(session.now, period)?);
        }
        if let Some(period) = self.due_within {
            query = query.rotation_due_by(later(session.now, period)?);
        }
        let header = ["ID", "NAME", "TENANT", "STATE", "KEY", "LAST USED", "EXPIRES"];
        print(session, query, self.count.unwrap_or(usize::MAX), header, |key| {
            let record = &*key.record;
            [
                record.id().to_string(),
                record.name().to_owned(),
                or_none(record.tenant()),
                record.state(session.now).to_string(),
                record.hint().to_string(),
                time(key.last_used_at),
                time(record.expires_at()),
            ]
        })
        .await
    }
}

impl DueForRotation {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let by = later(session.now, self.within)?;
        let query = self.whose.query().state(KeyState::Active).rotation_due_by(by);
        let header = ["ID", "NAME", "TENANT", "KEY", "LAST USED", "DUE"];
        print(session, query, usize::MAX, header, |key| {
            let record = &*key.record;
            [
                record.id().to_string(),
                record.name().to_owned(),
                or_none(record.tenant()),
                record.hint().to_string(),
                time(key.last_used_at),
                time(record.rotation_due_at()),
            ]
        })
        .await
    }
}

/// Prints keys page by page.
async fn print<const N: usize>(
    session: &Session,
    mut query: KeyQuery,
    mut count: usize,
    header: [&'static str; N],
    row: impl Fn(&StoredKey) -> [String; N],
) -> Result<Exit, Failure> {
    let output = session.output;
    let mut table = Table::new(header, output.is_terminal());
    loop {
        let page = session.keys.list(&query).await?;
        // A page can be empty before the end of the list.
        if page.keys.is_empty()
            && let Some(next) = page.next
        {
            query = query.after(next);
            continue;
        }
        let keys = &page.keys[..page.keys.len().min(count)];
        if output.json {
            let lines = keys.iter().map(|key| json_line(&Key::new(key, session.now)));
            let lines: Vec<_> = lines.collect::<Result<_, _>>()?;
            let lines: String = lines.iter().map(|line| line.as_str()).collect();
            output.write(lines)?;
        } else {
            output.write(table.page(keys.iter().map(&row).collect()))?;
        }
        count -= keys.len();
        match page.next {
            Some(next) if count > 0 => query = query.after(next),
            _ => return Ok(Exit::Done),
        }
    }
}

/// Reads an actor. The error does not repeat a text that may be a secret in the wrong place.
fn actor(text: &str) -> Result<Actor, String> {
    text.parse().map_err(|error: ParseActorError| error.to_string())
}

fn or_none(tenant: Option<&TenantId>) -> String {
    tenant.map_or("-", |tenant| tenant.as_str()).to_owned()
}

fn time(time: Option<SystemTime>) -> String {
    time.map_or_else(|| "-".to_owned(), format)
}

impl From<State> for KeyState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Disabled => Self::Disabled,
            State::Expired => Self::Expired,
            State::Revoked => Self::Revoked,
            State::Suspended => Self::Suspended,
        }
    }
}
