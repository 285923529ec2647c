//! [`Key`]: a key as JSON, and [`details`]: a key as text.

use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};
use tower_api_key::TenantId;
use tower_api_key::manage::KeyView;
use tower_api_key::store::StoredKey;

use crate::text::printable;
use crate::time::format_relative;

/// A key as JSON.
#[derive(Serialize)]
pub(crate) struct Key {
    #[serde(flatten)]
    key: KeyView,
    tenant: Option<TenantId>,
    metadata: Map<String, Value>,
}

/// A new key, with its secret.
#[derive(Serialize)]
pub(crate) struct NewKey<'a> {
    #[serde(flatten)]
    pub(crate) key: Key,
    pub(crate) secret: &'a str,
    /// The key that was rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) predecessor: Option<Key>,
}

impl Key {
    pub(crate) fn new(key: &StoredKey, now: SystemTime) -> Self {
        Self {
            key: KeyView::new(key, now),
            tenant: key.record.tenant().cloned(),
            metadata: key.record.metadata().clone(),
        }
    }
}

/// Describes a key as text, one attribute a line, without those that it does not have.
pub(crate) fn details(key: &StoredKey, now: SystemTime) -> String {
    let record = &*key.record;
    let restrictions = record.restrictions();
    let time = |time: Option<SystemTime>| time.map(|time| vec![format_relative(time, now)]);
    let or = |lines: Option<Vec<String>>, otherwise: &str| {
        lines.or_else(|| Some(vec![otherwise.to_owned()]))
    };
    let lines: [(&str, Option<Vec<String>>); 22] = [
        ("id", one(record.id())),
        ("name", one(record.name())),
        ("state", one(&record.state(now))),
        ("hint", one(record.hint())),
        ("kind", one(&record.kind())),
        ("tenant", record.tenant().and_then(one)),
        ("stage", record.stage().and_then(one)),
        ("abilities", or(some(record.abilities().iter()), "none")),
        ("limits", some(record.limits().iter())),
        ("addresses", list(&restrictions.addresses)),
        ("origins", list(&restrictions.origins)),
        ("referrers", list(&restrictions.referrers)),
        ("endpoints", list(&restrictions.endpoints)),
        ("created", time(Some(record.created_at()))),
        ("issued by", record.created_by().and_then(one)),
        ("last used", or(time(key.last_used_at), "never, or not recorded")),
        ("expires", or(time(record.expires_at()), "never")),
        ("revoked", time(record.revoked_at())),
        ("to rotate", time(record.rotation_due_at())),
        ("successor", record.successor().and_then(one)),
        ("counts as", record.counted_as().and_then(one)),
        ("metadata", some(record.metadata().iter().map(|(name, value)| format!("{name}={value}")))),
    ];
    let mut text = String::new();
    for (name, values) in lines {
        for (index, value) in values.into_iter().flatten().enumerate() {
            let name = if index == 0 { name } else { "" };
            text.push_str(&format!("{name:9}  {}\n", printable(&value)));
        }
    }
    text
}

fn one(value: &(impl ToString + ?Sized)) -> Option<Vec<String>> {
    Some(vec![value.to_string()])
}

/// Returns nothing for an empty list.
fn some(values: impl Iterator<Item: ToString>) -> Option<Vec<String>> {
    let values: Vec<_> = values.map(|value| value.to_string()).collect();
    (!values.is_empty()).then_some(values)
}

/// Lists what a restriction allows.
fn list<T: std::fmt::Display>(list: &Option<Arc<[T]>>) -> Option<Vec<String>> {
    let list = list.as_ref()?;
    some(list.iter()).or_else(|| Some(vec!["none: the list is empty".to_owned()]))
}
