//! `api-keys usage`.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use tower_api_key::TenantId;
use tower_api_key::manage::{Usage as Usages, UsagePeriod, UsageView};
use tower_api_key::store::{UsageBucket, UsageKind};

use crate::exit::{Exit, Failure};
use crate::id;
use crate::session::Session;
use crate::table::Table;
use crate::time::{earlier, format, parse_period};

/// The width of the bars.
const WIDTH: usize = 30;

/// Show the usage of a key, or of all keys of a tenant: accepted and refused requests
///
/// Servers with a `UsageRecorder` count requests. By default, hours are kept for 90 days, and days for 400.
/// The last minutes may not be written yet.
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys usage key_4SnPgVzDkgSrTyBgzJxQ
  api-keys usage key_4SnPgVzDkgSrTyBgzJxQ --last 24h --by hour
  api-keys usage --tenant acme --last 365d --by month
  api-keys usage key_4SnPgVzDkgSrTyBgzJxQ --json | jq .total.reasons")]
pub(crate) struct Usage {
    /// The id of the key, also of a removed one
    #[arg(required_unless_present = "tenant")]
    id: Option<String>,
    /// Show all keys of this tenant together
    #[arg(long, conflicts_with = "id")]
    tenant: Option<TenantId>,
    /// The period up to now
    #[arg(long, value_name = "PERIOD", value_parser = parse_period, default_value = "30d")]
    last: Duration,
    /// The length of the times, in UTC
    #[arg(long, value_enum, default_value = "day")]
    by: By,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Hour,
    Day,
    Month,
}

impl Usage {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let range = earlier(session.now, self.last)?..session.now;
        let period = match self.by {
            By::Hour => UsagePeriod::Hour,
            By::Day => UsagePeriod::Day,
            By::Month => UsagePeriod::Month,
        };
        let usage = match (&self.id, &self.tenant) {
            (_, Some(tenant)) => session.keys.tenant_usage(tenant, range, period).await?,
            (id, None) => {
                let id = id::parse(id.as_deref().unwrap_or_default())?;
                session.keys.usage(&id, range, period).await?
            }
        };
        match session.output.json {
            true => session.output.json(&UsageView::new(&usage, period))?,
            false => session.output.write(self.table(&usage, session.output.is_terminal()))?,
        }
        Ok(Exit::Done)
    }

    fn table(&self, usage: &Usages, is_terminal: bool) -> String {
        let most = usage.buckets.iter().map(|bucket| bucket.counts.total()).max().unwrap_or(0);
        let row = |start: String, bucket: &UsageBucket, bar: String| {
            let counts = &bucket.counts;
            let reasons = counts.iter().filter(|(kind, _)| *kind != UsageKind::Accepted);
            let reasons = reasons.map(|(kind, count)| format!("{kind} {count}"));
            let numbers = [counts.accepted(), counts.refused()].map(|count| count.to_string());
            let [accepted, refused] = numbers;
            [start, accepted, refused, bar, reasons.collect::<Vec<_>>().join(", ")]
        };
        let mut rows: Vec<_> = usage
            .buckets
            .iter()
            .map(|bucket| row(self.start(bucket.start), bucket, bar(bucket.counts.total(), most)))
            .collect();
        let total = UsageBucket::new(SystemTime::UNIX_EPOCH, usage.total);
        rows.push(row("TOTAL".to_owned(), &total, String::new()));
        Table::new(["FROM", "ACCEPTED", "REFUSED", "", "REASONS"], is_terminal).page(rows)
    }

    /// Shortens a time to the length of the periods.
    fn start(&self, time: SystemTime) -> String {
        let length = match self.by {
            By::Hour => "2027-01-31T12:00Z".len() - 1,
            By::Day => "2027-01-31".len(),
            By::Month => "2027-01".len(),
        };
        let time = format(time);
        let start = time.get(..length).unwrap_or(&time);
        if matches!(self.by, By::Hour) { format!("{start}Z") } else { start.to_owned() }
    }
}

/// Draws a number, in eighths of characters.
fn bar(count: u64, most: u64) -> String {
    const EIGHTHS: [&str; 8] =
        ["", "\u{258f}", "\u{258e}", "\u{258d}", "\u{258c}", "\u{258b}", "\u{258a}", "\u{2589}"];
    let width = u128::from(count) * (WIDTH as u128 * 8) / u128::from(most.max(1));
    // A small number is visible, too.
    let width = usize::try_from(width).unwrap_or(0).max(usize::from(count > 0));
    format!("{}{}", "\u{2588}".repeat(width / 8), EIGHTHS[width % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_that_of_the_largest_number() {
        assert_eq!(bar(100, 100), "\u{2588}".repeat(WIDTH));
        assert_eq!(bar(50, 100), "\u{2588}".repeat(WIDTH / 2));
        assert_eq!(bar(1, 1_000_000), "\u{258f}");
        assert_eq!((bar(0, 100), bar(0, 0)), (String::new(), String::new()));
        assert_eq!(bar(u64::MAX, u64::MAX).chars().count(), WIDTH);
    }
}
