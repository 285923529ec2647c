//! Changes as the statements of a transaction.

use std::collections::HashSet;

use super::row::KeyRow;
use super::statements::{Statement, Statements, Verb, constant};
use super::time::{not_after, to_microseconds};
use super::value::Value;
use crate::key::KeyId;
use crate::store::audit::without_digest;
use crate::store::{AuditEvent, CommitError, KeyBound, KeyChange, KeyRecord, StoreError};

/// The most rows that one statement writes. Databases limit the values of a statement, and more
/// rows are hardly faster.
const MOST_ROWS: usize = 250;

/// A statement that must change or find all its rows; otherwise the transaction ends.
pub(in crate::store) struct Step {
    pub(in crate::store) statement: Statement,
    /// Whether it finds its rows.
    pub(in crate::store) finds: bool,
    /// Whether to keep it prepared: it has one row, or as many as fit. Others have many forms.
    pub(in crate::store) is_common: bool,
    pub(super) rows: u64,
    pub(super) refusal: Refusal,
}

/// The meaning of a missing row.
#[derive(Clone, Copy)]
pub(super) enum Refusal {
    Exists,
    Conflict,
    Full(u64),
    Suspended,
    EventLost,
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Exists => Self::Exists,
            Refusal::Conflict => Self::Conflict,
            Refusal::Suspended => Self::Suspended,
            Refusal::Full(at_most) => Self::Full(at_most),
            Refusal::EventLost => StoreError::new("an event was not kept").into(),
        }
    }
}

impl Step {
    /// Judges by the number of changed or found rows.
    pub(in crate::store) fn check(&self, rows: u64) -> Result<(), CommitError> {
        if rows == self.rows { Ok(()) } else { Err(self.refusal.into()) }
    }
}

/// Rows of one statement.
struct Rows<'a> {
    verb: Verb,
    rows: Vec<Vec<Value>>,
    /// The keys of the rows. A change sees the effect of those before it, so no key is in it twice.
    ids: HashSet<&'a KeyId>,
}

impl Statements {
    /// Returns the steps of a transaction. Consecutive changes of one kind are one statement, because each
    /// statement costs a round trip.
    ///
    /// # Errors
    ///
    /// Returns an error, before anything is done, if a record cannot be stored or if the kind of a change
    /// is not known.
    pub(in crate::store) fn steps(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<Vec<Step>, CommitError> {
        let mut steps: Vec<_> = self.tenants_of_new_keys(changes).collect();
        let is_bound = |change: &KeyChange| matches!(change, KeyChange::Bound(_));
        for run in changes.chunk_by(|one, next| !is_bound(one) && !is_bound(next)) {
            match run {
                [KeyChange::Bound(bound)] => steps.push(self.bound(bound)),
                _ => steps.extend(self.together(run)?),
            }
        }
        let mut notes: Vec<Rows<'_>> = Vec::new();
        for event in events {
            add(&mut notes, Verb::Note, row_of_event(event)?, None);
        }
        steps.extend(notes.into_iter().map(|rows| self.step(rows)));
        Ok(steps)
    }

    /// Makes changes of rows, with as many as possible in one statement.
    fn together(&self, changes: &[KeyChange]) -> Result<Vec<Step>, CommitError> {
        let mut all: Vec<Rows<'_>> = Vec::new();
        for change in changes {
            let (verb, row) = row_of_change(change)?;
            add(&mut all, verb, row, Some(&change.record().id));
        }
        Ok(all.into_iter().map(|rows| self.step(rows)).collect())
    }

    fn step(&self, Rows { verb, mut rows, .. }: Rows<'_>) -> Step {
        let refusal = match verb {
            Verb::Insert => Refusal::Exists,
            Verb::Replace | Verb::Remove | Verb::Require => Refusal::Conflict,
            Verb::Note => Refusal::EventLost,
        };
        let (count, width) = (rows.len(), rows.first().map_or(0, Vec::len));
        let statement = match count {
            1 => Statement { sql: self.one(verb).clone(), values: rows.remove(0) },
            _ => {
                let sql = self.many(verb, count, width);
                Statement { sql, values: rows.into_iter().flatten().collect() }
            }
        };
        let (finds, is_common) = (verb == Verb::Require, count == 1 || count == MOST_ROWS);
        Step { statement, finds, is_common, rows: count as u64, refusal }
    }

    /// Finds a row if no more keys count than the bound allows, and looks at one more at most.
    fn bound(&self, bound: &KeyBound) -> Step {
        let keys = self.tables.keys();
        let sql = format!(
            "SELECT 1 WHERE (SELECT count(*) FROM (SELECT 1 FROM {keys} WHERE tenant = $1 \
             AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) LIMIT $3) AS counted) \
             < $3"
        );
        let tenant = bound.record.tenant.as_ref().map(ToString::to_string);
        let one_more = i64::try_from(bound.at_most).unwrap_or(i64::MAX).saturating_add(1);
        let values = vec![
            Value::Text(tenant),
            Value::Time(Some(not_after(bound.at))),
            Value::Number(one_more),
        ];
        let statement = Statement { sql: constant(sql), values };
        Step {
            statement,
            finds: true,
            is_common: true,
            rows: 1,
            refusal: Refusal::Full(bound.at_most),
        }
    }
}

fn add<'a>(all: &mut Vec<Rows<'a>>, verb: Verb, row: Vec<Value>, id: Option<&'a KeyId>) {
    let takes = |last: &&mut Rows<'a>| {
        last.verb == verb
            && last.rows.len() < MOST_ROWS
            && id.is_none_or(|id| !last.ids.contains(id))
    };
    match all.last_mut().filter(takes) {
        Some(last) => {
            last.rows.push(row);
            last.ids.extend(id);
        }
        None => all.push(Rows { verb, rows: vec![row], ids: id.into_iter().collect() }),
    }
}

fn row_of_change(change: &KeyChange) -> Result<(Verb, Vec<Value>), CommitError> {
    let verb = match change {
        KeyChange::Insert(_) => Verb::Insert,
        KeyChange::Replace(_) => Verb::Replace,
        KeyChange::Remove(_) => Verb::Remove,
        KeyChange::Require(_) => Verb::Require,
        KeyChange::Bound(_) | KeyChange::Unknown(_) => return Err(CommitError::Unsupported),
    };
    let row = match verb {
        Verb::Remove | Verb::Require => identity(change.record()),
        _ => KeyRow::of(change.record())?.into_values(),
    };
    Ok((verb, row))
}

fn row_of_event(event: &AuditEvent) -> Result<Vec<Value>, StoreError> {
    let at = to_microseconds(event.at).map_err(StoreError::answered)?;
    let text = |text: &str| Value::Text(Some(text.to_owned()));
    Ok(vec![
        Value::Time(Some(at)),
        text(&event.actor.to_string()),
        text(event.action.as_str()),
        Value::Text(event.key_id().map(ToString::to_string)),
        Value::Text(event.tenant().map(ToString::to_string)),
        Value::Json(event.before.as_deref().map(json).transpose()?),
        Value::Json(event.after.as_deref().map(json).transpose()?),
    ])
}

/// Returns the values that find a record at its revision.
fn identity(record: &KeyRecord) -> Vec<Value> {
    vec![
        Value::Text(Some(record.id.to_string())),
        Value::Bytes(record.digest.as_bytes().to_vec()),
        // No row is at a revision that is too large for one, and none at this.
        Value::Number(i64::try_from(record.revision).unwrap_or(-1)),
    ]
}

fn json(record: &KeyRecord) -> Result<String, StoreError> {
    Ok(without_digest(record).map_err(StoreError::new)?.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::key::KeyHasher;
    use crate::store::{Actor, AuditAction};

    fn record(number: usize) -> Arc<KeyRecord> {
        let digest = KeyHasher::sha256().digest(&number.to_string());
        let id = format!("key_{number}").parse().unwrap();
        Arc::new(KeyRecord::new(id, digest, "name", SystemTime::now()))
    }

    fn steps(changes: &[KeyChange], events: usize) -> Vec<Step> {
        let statements = Statements::of_no_database();
        let event =
            AuditEvent::new(SystemTime::now(), Actor::System, AuditAction::Issued, None, None);
        statements.steps(changes, &vec![event; events]).unwrap_or_else(|_| panic!("refused"))
    }

    #[test]
    fn as_many_changes_as_fit_are_one_statement() {
        for (count, statements) in [(1, 2), (2, 2), (250, 2), (251, 4), (1000, 8)] {
            for change in [KeyChange::Insert, KeyChange::Replace, KeyChange::Remove] {
                let changes: Vec<_> = (0..count).map(|number| change(record(number))).collect();
                let steps = steps(&changes, count);
                assert_eq!(steps.len(), statements, "{count}");
                assert_eq!(steps.iter().map(|step| step.rows).sum::<u64>(), 2 * count as u64);
                assert!(steps.iter().all(|step| step.is_common == matches!(step.rows, 1 | 250)));
            }
        }
    }

    #[test]
    fn changes_of_another_kind_and_of_the_same_key_come_after_the_others() {
        use KeyChange::{Insert, Remove, Replace, Require};
        let [one, other] = [record(1), record(2)];
        let changes = [
            Require(one.clone()),
            Require(other.clone()),
            Replace(one.clone()),
            Replace(other.clone()),
            Replace(one.clone()),
            Remove(one.clone()),
            Insert(one),
        ];
        let rows: Vec<_> = steps(&changes, 0).iter().map(|step| step.rows).collect();
        assert_eq!(rows, [2, 2, 1, 1, 1]);
    }

    #[test]
    fn each_bound_counts_by_itself_what_those_before_it_have_left() {
        use KeyChange::{Bound, Insert};
        let bound = |number| Bound(KeyBound::new(record(number), number as u64, SystemTime::now()));
        let all = [Insert(record(1)), Insert(record(2)), bound(1), bound(2), Insert(record(3))];
        let steps = steps(&all, 0);
        let rows: Vec<_> = steps.iter().map(|step| (step.rows, step.finds)).collect();
        assert_eq!(rows, [(2, false), (1, true), (1, true), (1, false)]);
        assert!(matches!(steps[2].check(0), Err(CommitError::Full(2))));
        assert!(steps[2].check(1).is_ok());
    }

    #[test]
    fn a_statement_that_missed_one_of_its_rows_is_refused() {
        let changes: Vec<_> = (0..3).map(|number| KeyChange::Remove(record(number))).collect();
        let [step] = &steps(&changes, 0)[..] else { panic!("one statement") };
        assert!(step.check(3).is_ok() && step.check(2).is_err() && step.check(4).is_err());
    }
}
