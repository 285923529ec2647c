//! [`Columns`]: the columns of a table and the fields of a key.

use std::time::SystemTime;

use clap::{Args, ValueEnum};
use tower_api_key::key::StoredHash;
use tower_api_key::store::KeyHint;
use tower_api_key::{Ability, AbilitySet, KeyDigest, KeyId, KeyRecord, Stage, TenantId};

use super::rows::{Field, Fields};
use super::values::{flag, time, words};
use crate::exit::Failure;
use crate::id::parse_ability;

#[derive(Args)]
#[command(next_help_heading = "Columns")]
pub(crate) struct Columns {
    /// The hash algorithm, and the hashed part of the key
    #[arg(long, value_name = "HOW", default_value = "sha256")]
    hash: Hash,
    /// The column with the id of the key
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    id_column: String,
    /// A prefix for the ids, so that they differ from those of other keys
    #[arg(long, value_name = "TEXT", default_value = "")]
    id_prefix: String,
    /// The column with the hash
    #[arg(long, value_name = "COLUMN", default_value = "hash")]
    hash_column: String,
    /// The column with the name of the key
    #[arg(long, value_name = "COLUMN", default_value = "name")]
    name_column: String,
    /// The name of keys whose line has none
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The column with the tenant
    #[arg(long, value_name = "COLUMN")]
    tenant_column: Option<String>,
    /// The tenant of keys whose line has none
    #[arg(long)]
    tenant: Option<TenantId>,
    /// The column with the stage
    #[arg(long, value_name = "COLUMN")]
    stage_column: Option<String>,
    /// The stage of keys whose line has none
    #[arg(long)]
    stage: Option<Stage>,
    /// The column with the abilities
    #[arg(long, value_name = "COLUMN")]
    abilities_column: Option<String>,
    /// An additional ability of all keys; may be repeated
    #[arg(long = "ability", value_name = "ABILITY", value_delimiter = ',')]
    #[arg(value_parser = parse_ability)]
    abilities: Vec<Ability>,
    /// The column with the time of issue; by default now
    #[arg(long, value_name = "COLUMN")]
    created_column: Option<String>,
    /// The column with the expiry
    #[arg(long, value_name = "COLUMN")]
    expires_column: Option<String>,
    /// The column with the time of the revocation
    #[arg(long, value_name = "COLUMN")]
    revoked_column: Option<String>,
    /// The column with whether the key is disabled: `1`, `true`, `t` or `yes`
    #[arg(long, value_name = "COLUMN")]
    disabled_column: Option<String>,
    /// The column with the hint, the visible part of the key, such as `sk_...x789`
    #[arg(long, value_name = "COLUMN")]
    hint_column: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Hash {
    /// SHA-256 of the whole key
    #[value(name = "sha256")]
    Sha256,
    /// SHA-256 of the secret in a key `id|secret`, like in Laravel Sanctum
    #[value(name = "sha256-after-id")]
    Sha256AfterId,
    /// HMAC-SHA-256 of the whole key with a pepper
    #[value(name = "hmac-sha256")]
    HmacSha256,
}

impl Columns {
    /// Refuses invalid options.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if !self.id_prefix.is_empty() && self.id_prefix.parse::<KeyId>().is_err() {
            return Err(Failure::usage(
                "invalid --id-prefix: use only A-Z, a-z, 0-9, `_`, `-` and `.`",
            ));
        }
        Ok(())
    }

    /// Returns the required columns, each with its option.
    pub(super) fn wanted(&self) -> Vec<(&'static str, &str)> {
        let name = Some(&self.name_column).filter(|_| self.name.is_none());
        [
            ("--id-column", Some(&self.id_column)),
            ("--hash-column", Some(&self.hash_column)),
            ("--name-column", name),
            ("--tenant-column", self.tenant_column.as_ref()),
            ("--stage-column", self.stage_column.as_ref()),
            ("--abilities-column", self.abilities_column.as_ref()),
            ("--created-column", self.created_column.as_ref()),
            ("--expires-column", self.expires_column.as_ref()),
            ("--revoked-column", self.revoked_column.as_ref()),
            ("--disabled-column", self.disabled_column.as_ref()),
            ("--hint-column", self.hint_column.as_ref()),
        ]
        .into_iter()
        .filter_map(|(option, column)| Some((option, column?.as_str())))
        .collect()
    }

    /// Returns a sentence about the settings with which servers find the keys.
    pub(super) const fn what_servers_need(&self) -> &'static str {
        match self.hash {
            Hash::Sha256 => {
                "Servers find these keys if their `KeyHasher` is `sha256()`, or has `or_sha256()`."
            }
            Hash::Sha256AfterId => {
                "Servers find these keys if their `KeyHasher` has `or_sha256_after_id()`, and those in \
                 `Authorization: Bearer` by an extractor `Bearer.with_any_key_characters()`."
            }
            Hash::HmacSha256 => {
                "Servers find these keys if their `KeyHasher` has the pepper of the other system: \
                 `hmac_sha256(pepper)` or `or_hmac_sha256(pepper)`."
            }
        }
    }

    /// Returns the record of a line, or an error that does not repeat its values.
    pub(super) fn record(&self, fields: &Fields, now: SystemTime) -> Result<KeyRecord, String> {
        let text = |column: &str| match fields.get(column) {
            Some(Field::Text(text)) => Ok(Some(text.as_str())),
            Some(Field::List(_)) => Err(format!("`{column}`: it is a list")),
            None => Ok(None),
        };
        let needed = |column: &str| text(column)?.ok_or_else(|| format!("`{column}`: it is empty"));
        let optional = |column: &Option<String>| match column {
            Some(column) => Ok(text(column)?.map(|text| (column.clone(), text))),
            None => Ok::<_, String>(None),
        };
        let optional_time = |column: &Option<String>| match optional(column)? {
            Some((column, text)) => time(text).map(Some).map_err(|error| said(&column, error)),
            None => Ok(None),
        };

        let own_id = needed(&self.id_column)?;
        let id: KeyId = parse(&self.id_column, &format!("{}{own_id}", self.id_prefix))?;
        let digest = self.digest(needed(&self.hash_column)?, own_id)?;
        let name = text(&self.name_column)?.or(self.name.as_deref());
        let name = name.ok_or_else(|| {
            format!("`{}`: it is empty: set --name for such keys", self.name_column)
        })?;
        let created_at = optional_time(&self.created_column)?.unwrap_or(now);

        let mut record = KeyRecord::new(id, digest, name, created_at);
        record.set_tenant(match optional(&self.tenant_column)? {
            Some((column, text)) => Some(parse(&column, text)?),
            None => self.tenant.clone(),
        });
        record.set_stage(match optional(&self.stage_column)? {
            Some((column, text)) => Some(parse(&column, text)?),
            None => self.stage.clone(),
        });
        record.set_abilities(self.abilities(fields)?);
        record.set_expires_at(optional_time(&self.expires_column)?);
        record.set_revoked_at(optional_time(&self.revoked_column)?);
        if let Some((column, text)) = optional(&self.disabled_column)? {
            record.set_disabled(flag(text).map_err(|error| said(&column, error))?);
        }
        if let Some((_, hint)) = optional(&self.hint_column)? {
            record.set_hint(KeyHint::from_text(hint));
        }
        Ok(record)
    }

    fn digest(&self, hash: &str, own_id: &str) -> Result<KeyDigest, String> {
        let hash: StoredHash = parse(&self.hash_column, hash)?;
        Ok(match self.hash {
            Hash::Sha256 | Hash::HmacSha256 => hash.of_key(),
            Hash::Sha256AfterId => hash.of_secret_after(own_id),
        })
    }

    fn abilities(&self, fields: &Fields) -> Result<AbilitySet, String> {
        let own =
            self.abilities_column.as_ref().and_then(|column| Some((column, fields.get(column)?)));
        let own: Vec<Ability> = match own {
            None => Vec::new(),
            Some((column, field)) => {
                let words = match field {
                    Field::Text(text) => words(text).map_err(|error| said(column, error))?,
                    Field::List(words) => words.clone(),
                };
                let own = words.iter().map(|word| parse_ability(word));
                own.collect::<Result<_, _>>().map_err(|error| said(column, error))?
            }
        };
        Ok(own.into_iter().chain(self.abilities.iter().cloned()).collect())
    }
}

fn said(column: &str, error: impl std::fmt::Display) -> String {
    format!("`{column}`: {error}")
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    column: &str,
    text: &str,
) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| said(column, error))
}
