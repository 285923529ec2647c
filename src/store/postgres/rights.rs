//! The rights that look-ups need.

use sqlx::{PgConnection, query_scalar};

use crate::store::StoreError;
use crate::store::sql::{Tables, failed};

/// Refuses to start if every look-up would fail: because a version of this crate has a new table, and
/// the role has no rights to it.
///
/// # Errors
///
/// Returns an error that names the table that cannot be read.
pub(super) async fn check(
    connection: &mut PgConnection,
    tables: &Tables,
) -> Result<(), StoreError> {
    for table in [tables.keys(), tables.suspensions()] {
        let may_read = "SELECT has_table_privilege($1, 'SELECT')";
        let may_read = query_scalar(may_read).bind(&table).persistent(false);
        if !may_read.fetch_one(&mut *connection).await.map_err(failed)? {
            return Err(StoreError::new(format!(
                "the role may not read the table {table}, without which no key is found: run `GRANT SELECT \
                 ON {table} TO …` as its owner"
            )));
        }
    }
    Ok(())
}
