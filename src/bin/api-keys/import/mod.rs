//! `api-keys import`.

mod columns;
mod report;
mod rows;
mod values;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tower_api_key::KeyRecord;

use self::columns::Columns;
use self::report::Report;
use self::rows::{Row, csv_rows, json_rows};
use crate::exit::{Exit, Failure};
use crate::say::say;
use crate::session::Session;

/// How many lines are imported in one transaction.
const BATCH: usize = 250;

/// Import the keys of another system by their hashes, from a table in CSV or JSON Lines
///
/// The import can be repeated: a key that exists already stays as it is. A refused line does not stop the
/// others. Try it with --dry-run first.
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys import keys.csv --dry-run
  api-keys import keys.csv --hash-column key_hash --tenant-column user_id --abilities-column scopes
  psql -c '\\copy personal_access_tokens TO STDOUT CSV HEADER' app |
      api-keys import - --format csv --hash sha256-after-id --hash-column token --id-prefix sanctum- \\
          --tenant-column tokenable_id --abilities-column abilities \\
          --created-column created_at --expires-column expires_at

The first line of CSV has the names of the columns; JSON Lines has an object in each line. Hashes are 64
hexadecimal digits or base64. Times are like `2027-01-31T12:00:00Z`, `2027-01-31 12:00:00` (in UTC), or
seconds since 1970. Abilities are a JSON list, or words that are separated by commas or spaces. Empty
values, `NULL` and `\\N` mean no value.

Salted hashes, such as those of bcrypt and Argon2, cannot be imported, because no key can be found by
them. Use `ApiKeyLayer::fallback` in the servers for such keys: it adopts each key at its first use.")]
pub(crate) struct Import {
    /// The file, or `-` for standard input
    file: PathBuf,
    /// The format; by default from the extension of the file: `.csv`, `.jsonl` or `.ndjson`
    #[arg(long)]
    format: Option<Format>,
    /// The separator of the columns of CSV
    #[arg(long, value_name = "CHARACTER", default_value = ",")]
    delimiter: char,
    /// Change nothing, and print the outcome that each line would have
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    columns: Columns,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Jsonl,
}

impl Import {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let format = self.format()?;
        self.columns.check()?;
        let input = open(&self.file)?;
        let mut rows = match format {
            Format::Csv => {
                let delimiter = u8::try_from(self.delimiter);
                let delimiter = delimiter.ok().filter(u8::is_ascii);
                let delimiter = delimiter.ok_or_else(|| {
                    Failure::usage("invalid --delimiter: use one ASCII character")
                })?;
                csv_rows(input, delimiter, &self.columns.wanted())?
            }
            Format::Jsonl => json_rows(BufReader::new(input)),
        };
        let mut importer = session.keys.importer();
        if self.dry_run {
            importer = importer.dry_run();
        }
        let mut report = Report::new(session, self.dry_run);
        loop {
            let batch: Vec<_> = rows.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let mut lines = Vec::with_capacity(batch.len());
            let mut records: Vec<KeyRecord> = Vec::with_capacity(batch.len());
            for row in batch {
                let Row { line, fields } = row?;
                let record = fields.and_then(|fields| self.columns.record(&fields, session.now));
                lines.push((
                    line,
                    record.as_ref().map(|record| record.id().clone()).map_err(Clone::clone),
                ));
                records.extend(record);
            }
            match importer.add(records).await {
                Ok(outcomes) => report.tell(&lines, outcomes)?,
                Err(error) => {
                    let first = lines.first().map_or(0, |(line, _)| *line);
                    say(format_args!(
                        "{} It stopped at line {first}: run it again to go on.",
                        report.summary()
                    ));
                    return Err(error.into());
                }
            }
        }
        report.end(self.columns.what_servers_need())
    }

    fn format(&self) -> Result<Format, Failure> {
        let extension = self.file.extension().and_then(|extension| extension.to_str());
        match (self.format, extension) {
            (Some(format), _) => Ok(format),
            (None, Some("csv")) => Ok(Format::Csv),
            (None, Some("jsonl" | "ndjson")) => Ok(Format::Jsonl),
            _ => Err(Failure::usage("unknown format: use --format csv or --format jsonl")),
        }
    }
}

fn open(path: &Path) -> Result<Box<dyn Read>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let wrong = |error| Failure::usage(format!("{}: {error}", path.display()));
    Ok(Box::new(File::open(path).map_err(wrong)?))
}
