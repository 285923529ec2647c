//! The names of the tables.

use thiserror::Error;

/// The longest prefix: PostgreSQL cuts names after 63 bytes.
const MAX_PREFIX: usize = 32;

/// The names of the tables, and of their indexes and triggers.
#[derive(Clone, Debug)]
pub(in crate::store) struct Tables {
    /// Quoted and with a dot, or nothing.
    schema: String,
    prefix: String,
}

/// The error of a prefix or a schema that cannot be part of a table's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(in crate::store) enum NameError {
    #[error(
        "a table prefix has at most 32 of the characters A-Z, a-z, 0-9 and `_`, and \
         does not start with a digit"
    )]
    Prefix,
    #[error("the name of a schema has 1 to 63 bytes, none of which is zero")]
    Schema,
}

impl Tables {
    /// Names the tables, in `schema` if it is set.
    pub(in crate::store) fn new(schema: Option<&str>, prefix: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let starts_well = !prefix.starts_with(|first: char| first.is_ascii_digit());
        if prefix.len() > MAX_PREFIX || !prefix.bytes().all(plain) || !starts_well {
            return Err(NameError::Prefix);
        }
        let names = |schema: &str| (1..=63).contains(&schema.len()) && !schema.contains('\0');
        if !schema.is_none_or(names) {
            return Err(NameError::Schema);
        }
        let schema = schema.map(|schema| format!("{}.", quoted(schema))).unwrap_or_default();
        Ok(Self { schema, prefix: prefix.to_owned() })
    }

    pub(in crate::store) fn keys(&self) -> String {
        self.name("api_keys")
    }

    pub(in crate::store) fn uses(&self) -> String {
        self.name("api_key_uses")
    }

    pub(in crate::store) fn usage(&self) -> String {
        self.name("api_key_usage")
    }

    pub(in crate::store) fn usage_days(&self) -> String {
        self.name("api_key_usage_days")
    }

    pub(in crate::store) fn usage_writers(&self) -> String {
        self.name("api_key_usage_writers")
    }

    pub(in crate::store) fn audit(&self) -> String {
        self.name("api_key_audit")
    }

    /// Returns the name of the log of changes, which only SQLite has.
    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn changes(&self) -> String {
        self.name("api_key_changes")
    }

    /// The suspended tenants.
    pub(in crate::store) fn suspensions(&self) -> String {
        self.name("api_key_suspensions")
    }

    pub(in crate::store) fn migrations(&self) -> String {
        self.name("api_key_migrations")
    }

    /// Returns the names of all tables, unquoted.
    #[cfg(feature = "postgres")]
    pub(in crate::store) fn all_bare(&self) -> [String; 8] {
        [
            "api_keys",
            "api_key_uses",
            "api_key_usage",
            "api_key_usage_days",
            "api_key_usage_writers",
            "api_key_audit",
            "api_key_suspensions",
            "api_key_migrations",
        ]
        .map(|name| self.bare(name))
    }

    /// Returns the statements that make the partial indexes by which keys are listed that are few among
    /// many: of all tenants by age, and of each by `by_age_of_tenant`, which may end with what else
    /// an index has. `list.rs` asks by these conditions.
    pub(in crate::store) fn partial_indexes(&self, by_age_of_tenant: &str) -> String {
        let parts = [
            ("revoked", "revoked_at IS NOT NULL"),
            ("disabled", "revoked_at IS NULL AND disabled"),
            ("expiring", "revoked_at IS NULL AND expires_at IS NOT NULL"),
            ("rotating", "rotation_due_at IS NOT NULL"),
        ];
        let index = |name: &str, columns: &str, condition: &str| {
            let (index, keys) = (self.part(&format!("api_keys_{name}")), self.keys());
            format!("CREATE INDEX {index} ON {keys} {columns} WHERE {condition};\n")
        };
        let each = parts.iter().map(|(name, condition)| {
            let of_tenant = index(&format!("{name}_by_tenant"), by_age_of_tenant, condition);
            index(name, "(created_at DESC, id DESC)", condition) + &of_tenant
        });
        let not_revoked = index("not_revoked_by_tenant", by_age_of_tenant, "revoked_at IS NULL");
        each.chain([not_revoked]).collect()
    }

    /// Returns the name of something in the schema, quoted.
    pub(in crate::store) fn name(&self, name: &str) -> String {
        format!("{}{}", self.schema, self.part(name))
    }

    /// Returns the quoted name of an index or a trigger, which are in the schema of their table.
    pub(in crate::store) fn part(&self, name: &str) -> String {
        quoted(&self.bare(name))
    }

    /// Returns a name with the prefix, unquoted.
    pub(in crate::store) fn bare(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Quotes a name, whatever it contains.
pub(in crate::store) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let tables = Tables::new(Some("my \"odd\" schema"), "Acme_").unwrap();
        assert_eq!(tables.keys(), r#""my ""odd"" schema"."Acme_api_keys""#);
        assert_eq!(Tables::new(None, "").unwrap().uses(), r#""api_key_uses""#);
        assert_eq!(tables.part("api_keys_by_age"), r#""Acme_api_keys_by_age""#);
    }

    #[test]
    fn a_prefix_that_is_no_plain_name_is_refused() {
        for prefix in ["1a", "a-b", "a.b", "a b", "a\"", "a;", "\u{e4}", "a\0", &"x".repeat(33)] {
            assert_eq!(Tables::new(None, prefix).unwrap_err(), NameError::Prefix, "{prefix:?}");
        }
        for schema in ["", "a\0b", &"x".repeat(64)] {
            assert_eq!(Tables::new(Some(schema), "").unwrap_err(), NameError::Schema);
        }
        assert!(Tables::new(Some(&"x".repeat(63)), &"x".repeat(32)).is_ok());
    }
}
