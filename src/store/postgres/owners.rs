//! The owners of the tables.
//!
//! Before PostgreSQL 15, every role may create tables in the schema `public`. A role that created these
//! tables first could read all digests, issue keys to itself, and have its triggers run with the rights
//! of every writer.

use sqlx::{PgConnection, query_as};
use thiserror::Error;

use crate::store::StoreError;
use crate::store::sql::{Tables, failed};

/// Lists the schema, if it exists, and the existing tables, each with its owner and whether that is
/// trusted:
///
/// * it is a role that can act as the current one, or as the owner of the database. These roles
///   themselves and superusers can do so;
/// * it can act as the named role;
/// * it can act as the owner of the schema, who could replace the tables. This does not apply to the
///   schema itself.
///
/// A role as which the current one can act is not trusted for that reason: before PostgreSQL 16, every
/// role can grant itself to others.
const OWNERS: &str = "
    WITH owned AS (
        SELECT NULL::text AS table_name, nspowner AS owner, NULL::oid AS schema_owner
            FROM pg_catalog.pg_namespace WHERE nspname = $1
        UNION ALL
        SELECT relname::text, relowner, nspowner
            FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
            WHERE nspname = $1 AND relname = ANY ($2)
    )
    SELECT table_name, pg_get_userbyid(owner)::text,
        pg_has_role(owner, current_user, 'MEMBER')
        OR pg_has_role(owner, datdba, 'MEMBER')
        OR pg_get_userbyid(owner) = 'pg_database_owner'
        OR EXISTS (
            SELECT FROM pg_catalog.pg_roles
                WHERE rolname = $3 AND pg_has_role(owner, oid, 'MEMBER')
        )
        OR coalesce(pg_has_role(owner, schema_owner, 'MEMBER'), false)
        FROM owned, pg_catalog.pg_database WHERE datname = current_database()
        ORDER BY table_name
";

/// The error of tables that an untrusted role created, or could replace.
#[derive(Debug, Error)]
enum OwnerError {
    #[error(
        "the table {table:?} in the schema {schema:?} belongs to the role {owner:?}, which could \
         read and change every key: if it made the tables for this application, name it as the \
         table owner; if not, use another schema, or drop its tables"
    )]
    Table { table: String, schema: String, owner: String },
    #[error(
        "the schema {schema:?} belongs to the role {owner:?}, which could replace the tables: if \
         that may be, name it as the table owner; if not, use a schema that belongs to the current \
         role or to the owner of the database"
    )]
    Schema { schema: String, owner: String },
}

/// Refuses tables of an untrusted role and, if tables are to be created, a schema of one. Nothing is
/// read from them, because even that may run code of their owner.
pub(super) async fn check(
    connection: &mut PgConnection,
    tables: &Tables,
    schema: &str,
    named: Option<&str>,
    may_create: bool,
) -> Result<(), StoreError> {
    let names = tables.all_bare();
    let owners = query_as(OWNERS).bind(schema).bind(&names[..]).bind(named).persistent(false);
    let owners: Vec<(Option<String>, String, bool)> =
        owners.fetch_all(connection).await.map_err(failed)?;
    let is_complete = owners.iter().filter(|(table, ..)| table.is_some()).count() == names.len();
    for (table, owner, is_trusted) in owners {
        let schema = schema.to_owned();
        match table {
            _ if is_trusted => {}
            Some(table) => {
                return Err(StoreError::new(OwnerError::Table { table, schema, owner }));
            }
            None if may_create && !is_complete => {
                return Err(StoreError::new(OwnerError::Schema { schema, owner }));
            }
            None => {}
        }
    }
    Ok(())
}
