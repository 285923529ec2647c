//! The memory that a record takes.

use serde_json::{Map, Value};

use crate::key::HeapSize;
use crate::store::{Actor, KeyRecord};

/// The capacity of a node of a B-tree, of which half is used on average.
const NODE: usize = 11;

/// Estimates the bytes that a record takes.
pub(crate) fn size_of_record(record: &KeyRecord) -> usize {
    record.size()
}

impl HeapSize for Actor {
    fn heap_size(&self) -> usize {
        match self {
            Self::System => 0,
            Self::Key(id) => id.heap_size(),
            Self::Named(name) => name.heap_size(),
        }
    }
}

impl HeapSize for Value {
    fn heap_size(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => 0,
            Self::String(text) => text.heap_size(),
            Self::Array(values) => values.heap_size(),
            Self::Object(map) => map.heap_size(),
        }
    }
}

impl HeapSize for Map<String, Value> {
    fn heap_size(&self) -> usize {
        let nodes = if self.is_empty() { 0 } else { (2 * self.len()).div_ceil(NODE) };
        let values = self.iter().map(|(name, value)| name.heap_size() + value.heap_size());
        nodes * NODE * (size_of::<String>() + size_of::<Value>()) + values.sum::<usize>()
    }
}
