//! The lines of a table in CSV or JSON Lines.

use std::collections::HashMap;
use std::io::{BufRead, Read};

use serde_json::Value;

use crate::exit::Failure;

/// The most bytes that a line of JSON has.
const LIMIT: usize = 1 << 20;

/// A line, or its error.
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) fields: Result<Fields, String>,
}

/// The values of a line, without empty ones.
pub(super) type Fields = HashMap<String, Field>;

pub(super) enum Field {
    Text(String),
    List(Vec<String>),
}

type Rows = Box<dyn Iterator<Item = Result<Row, Failure>>>;

/// Reads CSV, whose first line has to have the required columns.
pub(super) fn csv_rows(
    input: impl Read + 'static,
    delimiter: u8,
    wanted: &[(&'static str, &str)],
) -> Result<Rows, Failure> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(input);
    let header = reader.headers().map_err(|error| failed(&error))?.clone();
    for (option, column) in wanted {
        if !header.iter().any(|name| name == *column) {
            let names: Vec<_> = header.iter().collect();
            return Err(Failure::usage(format!(
                "there is no column `{column}`: name one of these with {option}: {}",
                names.join(", ")
            )));
        }
    }
    Ok(Box::new(reader.into_records().map(move |record| {
        let record = match record {
            Ok(record) => record,
            Err(error) if error.is_io_error() => return Err(failed(&error)),
            // It goes on with the next line.
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                return Ok(Row { line, fields: Err(what_is_wrong(error.kind())) });
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let cells = header.iter().zip(&record).filter(|(_, text)| !is_none(text));
        let fields = cells.map(|(name, text)| (name.to_owned(), Field::Text(text.to_owned())));
        Ok(Row { line, fields: Ok(fields.collect()) })
    })))
}

fn failed(error: &csv::Error) -> Failure {
    Failure::usage(format!("the table cannot be read: {}", what_is_wrong(error.kind())))
}

/// Describes an error without the content of the file.
fn what_is_wrong(kind: &csv::ErrorKind) -> String {
    match kind {
        csv::ErrorKind::Io(error) => error.to_string(),
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} values, but the first line has {expected_len} columns")
        }
        _ => "it is not CSV".to_owned(),
    }
}

/// Reads an object in each line that is not empty.
pub(super) fn json_rows(mut input: impl BufRead + 'static) -> Rows {
    let mut line = 0;
    Box::new(std::iter::from_fn(move || {
        loop {
            let mut bytes = Vec::new();
            let read = input.by_ref().take(LIMIT as u64 + 1).read_until(b'\n', &mut bytes);
            line += 1;
            match read {
                Err(error) => {
                    let error = format!("the table cannot be read: {error}");
                    return Some(Err(Failure::usage(error)));
                }
                Ok(0) => return None,
                Ok(read) if read > LIMIT && !bytes.ends_with(b"\n") => {
                    let error = format!("line {line} is longer than {LIMIT} bytes");
                    return Some(Err(Failure::usage(error)));
                }
                Ok(_) if bytes.trim_ascii().is_empty() => {}
                Ok(_) => return Some(Ok(Row { line, fields: object(&bytes) })),
            }
        }
    }))
}

fn object(bytes: &[u8]) -> Result<Fields, String> {
    let object: serde_json::Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|_| "it is not a JSON object".to_owned())?;
    let mut fields = Fields::new();
    for (name, value) in object {
        let field = match value {
            Value::String(text) if is_none(text.trim()) => continue,
            Value::Null => continue,
            Value::String(text) => Field::Text(text.trim().to_owned()),
            Value::Bool(_) | Value::Number(_) => Field::Text(value.to_string()),
            Value::Array(items) => {
                let texts = items.into_iter().map(|item| match item {
                    Value::String(text) => Some(text),
                    _ => None,
                });
                match texts.collect() {
                    Some(texts) => Field::List(texts),
                    // It may belong to another column.
                    None => continue,
                }
            }
            Value::Object(_) => continue,
        };
        fields.insert(name, field);
    }
    Ok(fields)
}

/// Returns whether a text is what exports write for an empty value.
fn is_none(text: &str) -> bool {
    text.is_empty() || text == r"\N" || text.eq_ignore_ascii_case("null")
}
