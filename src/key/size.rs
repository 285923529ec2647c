//! [`HeapSize`]: the allocated memory of a value.

use std::sync::Arc;

/// The overhead of each allocation, and of an `Arc`.
const ALLOCATION: usize = 16;
const COUNTS: usize = 16;

/// Estimates the bytes that a value has allocated. What is shared with other values counts for each.
pub(crate) trait HeapSize {
    fn heap_size(&self) -> usize;
}

impl HeapSize for Box<str> {
    fn heap_size(&self) -> usize {
        ALLOCATION + self.len()
    }
}

impl HeapSize for Arc<str> {
    fn heap_size(&self) -> usize {
        ALLOCATION + COUNTS + self.len()
    }
}

impl HeapSize for String {
    fn heap_size(&self) -> usize {
        ALLOCATION + self.capacity()
    }
}

impl<T: HeapSize> HeapSize for Option<T> {
    fn heap_size(&self) -> usize {
        self.as_ref().map_or(0, HeapSize::heap_size)
    }
}

impl<T: HeapSize> HeapSize for [T] {
    fn heap_size(&self) -> usize {
        size_of_val(self) + self.iter().map(HeapSize::heap_size).sum::<usize>()
    }
}

impl<T: HeapSize> HeapSize for Arc<[T]> {
    fn heap_size(&self) -> usize {
        ALLOCATION + COUNTS + (**self).heap_size()
    }
}

impl HeapSize for ipnet::IpNet {
    fn heap_size(&self) -> usize {
        0
    }
}
