//! The name of the channel on which changes are notified.

use crate::key::KeyHasher;

/// The longest name, in bytes.
const MAX_LENGTH: usize = 63;

/// Returns the channel of a table, as the trigger does.
pub(super) fn channel(schema: &str, table: &str) -> String {
    let name = format!("{schema}.{table}");
    if name.len() <= MAX_LENGTH {
        return name;
    }
    // The hexadecimal digits of its SHA-256.
    let digits = KeyHasher::sha256().digest(&name).to_string();
    format!("api_keys.{}", &digits[..32])
}

/// The same in SQL: the body of the trigger's function.
pub(super) const NOTIFY: &str = "
    DECLARE
        channel text := TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME;
    BEGIN
        IF octet_length(convert_to(channel, 'UTF8')) > 63 THEN
            channel := 'api_keys.'
                || left(encode(sha256(convert_to(channel, 'UTF8')), 'hex'), 32);
        END IF;
        IF TG_OP = 'TRUNCATE' THEN
            PERFORM pg_notify(channel, '*');
            RETURN NULL;
        END IF;
        IF TG_OP <> 'INSERT' THEN
            PERFORM pg_notify(channel, encode(OLD.digest, 'hex'));
        END IF;
        -- The same payload twice in a transaction is sent once.
        IF TG_OP <> 'DELETE' THEN
            PERFORM pg_notify(channel, encode(NEW.digest, 'hex'));
        END IF;
        RETURN NULL;
    END
";

/// The body of the function of the trigger of the table of suspended tenants, on the channel of the table
/// of keys.
pub(super) fn notify_of_tenants(keys: &str) -> String {
    format!(
        "
    DECLARE
        channel text := TG_TABLE_SCHEMA || '.{keys}';
    BEGIN
        IF octet_length(convert_to(channel, 'UTF8')) > 63 THEN
            channel := 'api_keys.'
                || left(encode(sha256(convert_to(channel, 'UTF8')), 'hex'), 32);
        END IF;
        IF TG_OP = 'TRUNCATE' THEN
            PERFORM pg_notify(channel, '*');
            RETURN NULL;
        END IF;
        IF TG_OP <> 'INSERT' THEN
            PERFORM pg_notify(channel, 'tenant ' || OLD.tenant);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            PERFORM pg_notify(channel, 'tenant ' || NEW.tenant);
        END IF;
        RETURN NULL;
    END
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_too_long_is_hashed() {
        assert_eq!(channel("public", "acme_api_keys"), "public.acme_api_keys");
        let long = channel(&"x".repeat(63), "api_keys");
        assert!(long.starts_with("api_keys.") && long.len() == 41, "{long}");
        assert_ne!(long, channel(&"x".repeat(62), "api_keys"));
        assert_eq!(channel(&"x".repeat(54), "api_keys").len(), 63);
        assert_eq!(channel(&"x".repeat(55), "api_keys").len(), 41);
    }
}
