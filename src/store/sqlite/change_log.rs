//! The log of changes: which keys other processes have changed.

use crate::store::sql::Tables;

/// How many changes the log keeps at least. A cache that missed more is cleared.
const KEPT: u32 = 4096;

/// After how many changes old ones are removed.
const REMOVED_AT_ONCE: u32 = 256;

/// Adds the log. Triggers write it, so that it has changes by plain SQL and by the previous version, too.
///
/// A change of a key is the digest of the key, one of all keys of a tenant is the tenant, and one of all keys
/// is neither. Numbers follow one another; where one is missing, changes were removed or undone by a restore.
pub(super) fn add(tables: &Tables) -> String {
    let (keys, changes, suspensions) = (tables.keys(), tables.changes(), tables.suspensions());
    format!(
        "
        CREATE TABLE {changes} (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            digest BLOB CHECK (digest IS NULL OR length(digest) = 32),
            tenant TEXT
        ) STRICT;

        -- `INSERT OR REPLACE` removes rows without a trigger.
        CREATE TRIGGER {log_replace} BEFORE INSERT ON {keys}
        BEGIN
            INSERT INTO {changes} (digest) SELECT digest FROM {keys} WHERE id = NEW.id;
        END;
        CREATE TRIGGER {log_insert} AFTER INSERT ON {keys}
        BEGIN
            INSERT INTO {changes} (digest) VALUES (NEW.digest);
        END;
        CREATE TRIGGER {log_update} AFTER UPDATE ON {keys}
        BEGIN
            INSERT INTO {changes} (digest) VALUES (NEW.digest);
            INSERT INTO {changes} (digest) SELECT OLD.digest WHERE OLD.digest <> NEW.digest;
        END;
        CREATE TRIGGER {log_delete} AFTER DELETE ON {keys}
        BEGIN
            INSERT INTO {changes} (digest) VALUES (OLD.digest);
        END;
        CREATE TRIGGER {log_suspend} AFTER INSERT ON {suspensions}
        BEGIN
            INSERT INTO {changes} (tenant) VALUES (NEW.tenant);
        END;
        CREATE TRIGGER {log_resume} AFTER DELETE ON {suspensions}
        BEGIN
            INSERT INTO {changes} (tenant) VALUES (OLD.tenant);
        END;
        CREATE TRIGGER {log_rename} AFTER UPDATE OF tenant ON {suspensions}
        BEGIN
            INSERT INTO {changes} (tenant) VALUES (NEW.tenant), (OLD.tenant);
        END;
        CREATE TRIGGER {log_bound} AFTER INSERT ON {changes}
        WHEN NEW.number % {REMOVED_AT_ONCE} = 0
        BEGIN
            DELETE FROM {changes} WHERE number <= NEW.number - {KEPT};
        END;
        ",
        log_replace = tables.part("api_keys_log_replace"),
        log_insert = tables.part("api_keys_log_insert"),
        log_update = tables.part("api_keys_log_update"),
        log_delete = tables.part("api_keys_log_delete"),
        log_suspend = tables.part("api_keys_log_suspend"),
        log_resume = tables.part("api_keys_log_resume"),
        log_rename = tables.part("api_keys_log_rename"),
        log_bound = tables.part("api_key_changes_bound"),
    )
}
